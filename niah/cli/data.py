"""`niah data`."""

from pathlib import Path
from typing import Annotated

import typer

from niah.cli.options import NEEDLES_HELP

app = typer.Typer(
    help="Needle sets: check what is there.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("verify")
def data_verify(
    needles: Annotated[str, typer.Argument(help=NEEDLES_HELP)],
    labels: Annotated[
        str,
        typer.Option(help="Label vocabulary: audioset-527, esc-50, esc-10, synthetic, or a CSV."),
    ] = "audioset-527",
    audio_root: Annotated[
        Path | None, typer.Option(help="Folder of the clips that a Google segment CSV names.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Check N clips only.")] = None,
    broader: Annotated[
        bool, typer.Option(help="Also labels that cover other sounds besides.")
    ] = False,
) -> None:
    """Check a needle set: ids, labels, sample rates, unreadable files, feature mean and deviation, licence."""
    from niah.frontends.kaldi import KaldiFrontend
    from niah.needles import load_needles
    from niah.needles.verify import verify
    from niah.vocabularies import vocabulary

    frontend = KaldiFrontend()
    found = load_needles(
        needles, vocabulary=vocabulary(labels), limit=limit, broader=broader, audio_root=audio_root
    )
    print(verify(found, frontend.sample_rate, frontend).markdown())
