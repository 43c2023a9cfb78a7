"""`niah data`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from niah.cli.messages import note, print_table
from niah.cli.options import NEEDLES_HELP
from niah.errors import NiahError

app = typer.Typer(help="Check and fetch needle sets.", no_args_is_help=True, rich_markup_mode=None)


@app.command("fetch")
def data_fetch(
    name: Annotated[
        str,
        typer.Argument(
            metavar="[NAME]",
            help="A set, or hf:OWNER/NAME[@REVISION] of the Hugging Face hub; without it, the list.",
        ),
    ] = "",
    limit: Annotated[
        int | None, typer.Option(help="Clips of a hub's set. [default: 200]", show_default=False)
    ] = None,
    labels: Annotated[str, typer.Option(help="Label vocabulary of a hub's set.")] = "audioset-527",
) -> None:
    """Fetch a public needle set into the cache, with its checksum and its licence; the same command resumes."""
    from niah.needles.fetching import fetch_set, fetchable_sets

    if not name:
        rows = [
            (each.name, each.title, each.licence, "here" if each.is_here else "to fetch")
            for each in fetchable_sets()
        ]
        print_table(("name", "what", "licence", ""), rows)
        print("\nOr a set of the Hugging Face hub: niah data fetch hf:OWNER/NAME")
        return
    if name.startswith("hf:"):
        _fetch_from_hub(name, labels, limit)
        return
    fetched = fetch_set(name, note)
    print(f"licence  {fetched.licence}")
    print(f"folder   {fetched.folder}")
    if fetched.needles:
        print(f"needles  --needles {fetched.folder / fetched.needles}")
    if fetched.then:
        print(f"then     {fetched.then}")


def _fetch_from_hub(spec: str, labels: str, limit: int | None) -> None:
    from niah.needles import load_needles
    from niah.needles.defaults import default_limit
    from niah.vocabularies import vocabulary

    needles = load_needles(
        spec, vocabulary=vocabulary(labels), limit=default_limit(spec) if limit is None else limit
    )
    print(f"licence  {needles.licence}")
    print(f"clips    {len(needles)}")
    print(f"needles  --needles {needles.pinned or spec}")


def _check_target(write: Path, needles: str, labels: str) -> None:
    """Refuse to write over what is read, the list, the label file, a table in the folder of the set, or a run's part.

    Raises:
        NiahError: that, or a name that is not read back as a CSV.
    """
    from niah.needles.clean_list import is_clean_list
    from niah.records.run_parts import refuse_part

    refuse_part(write, "--write")
    if write.suffix.lower() != ".csv":
        raise NiahError(
            f"--write {write}: the list is a CSV and would not be read back: name it {write.stem}.csv"
        )
    if not write.is_file():
        return
    listed = Path(needles.partition("?")[0])
    if listed.exists() and write.samefile(listed):
        raise NiahError(
            f"--write {write} is the list itself, whose other columns and clips would be lost"
        )
    if labels and Path(labels).exists() and write.samefile(labels):
        raise NiahError(f"--write {write} is the label vocabulary, which would be lost")
    inside = listed.is_dir() and write.resolve().is_relative_to(listed.resolve())
    if inside and not is_clean_list(write):
        raise NiahError(
            f"--write {write} is a table of the set, which would be lost: name a new file"
        )


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
    from niah.needles.clean_list import check_clean_list, write_clean_list
    from niah.needles.defaults import default_limit
    from niah.needles.verify import verify
    from niah.vocabularies import vocabulary

    if write is not None:
        _check_target(write, needles, labels)
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
    if write is not None:
        check_clean_list(write, needle_set)
    report = verify(needle_set, frontend.sample_rate, frontend)
    if limit is None and embedded:
        report = replace(report, run_takes=default_limit(needles))
    if write is not None and report.n_readable:
        write_clean_list(write, needle_set, report.readable_ids)  # before a pipe may break
    print(report.markdown())
    if not report.n_readable:
        raise typer.Exit(1)
