"""`niah data`."""

from pathlib import Path
from typing import Annotated

import typer

from niah.cli.options import NEEDLES_HELP

app = typer.Typer(help="Check needle sets.", no_args_is_help=True, rich_markup_mode=None)


@app.command("verify")
def data_verify(
    needles: Annotated[str, typer.Argument(help=NEEDLES_HELP)],
    labels: Annotated[
        str,
        typer.Option(
            help="Label vocabulary: audioset-527, esc-50, esc-10, synthetic, or a file (CSV, or a .txt of one label a "
            "line). By default audioset-527, for the embedded clips synthetic.",
            show_default=False,
        ),
    ] = "",
    audio_root: Annotated[
        Path | None, typer.Option(help="Folder of the clips that a Google segment CSV names.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Check only N clips. [default: all; 200 of a hub's]")
    ] = None,
    broader: Annotated[
        bool, typer.Option(help="Also use labels that cover other sounds too.")
    ] = False,
    strict: Annotated[
        bool, typer.Option(help="Refuse labels outside the vocabulary and clips without a label.")
    ] = False,
    write: Annotated[
        Path | None,
        typer.Option(help="Write a CSV of the readable clips, for --needles.", metavar="FILE.csv"),
    ] = None,
) -> None:
    """Check a needle set: ids, labels, sample rates, unreadable files, feature mean and deviation, licence.

    Exits with 1 if no clip is readable. Clips are counted as in a run.
    """
    from niah.frontends.kaldi import KaldiFrontend
    from niah.needles import load_needles
    from niah.needles.clean_list import write_clean_list
    from niah.needles.defaults import default_limit
    from niah.needles.verify import verify
    from niah.vocabularies import vocabulary

    frontend = KaldiFrontend()
    embedded = needles.partition(":")[0] == "synthetic"
    needle_set = load_needles(
        needles,
        vocabulary=vocabulary(labels or ("synthetic" if embedded else "audioset-527")),
        limit=default_limit(needles) if limit is None and not embedded else limit,
        broader=broader,
        audio_root=audio_root,
        strict=strict,
    )
    report = verify(needle_set, frontend.sample_rate, frontend)
    print(report.markdown())
    if not report.n_readable:
        raise typer.Exit(1)
    if write is not None:
        write_clean_list(write, needle_set, report.readable_ids)
