"""`niah causes`."""

from pathlib import Path
from typing import Annotated

import typer

from niah.cli.options import (
    NEEDLES_DEFAULT,
    NEEDLES_HELP,
    PROTOCOL_HELP,
    SEVERAL,
    numbers,
    separated,
)


def causes(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help=f"An AST with positions beyond 10 s, DASS, or another state-space model; {SEVERAL}. "
            "[default: dass-nano, ast-sin-nano, aum-nano]",
        ),
    ] = None,
    checkpoint: Annotated[str | None, typer.Option(help="Weights file for the model.")] = None,
    lengths: Annotated[
        str,
        typer.Option(help="Scene lengths in seconds, comma-separated; 10 s is always measured."),
    ] = "20,50,100",
    needles: Annotated[str, typer.Option(help=f"{NEEDLES_HELP} {NEEDLES_DEFAULT}")] = "",
    limit: Annotated[int, typer.Option(help="Use N clips: a fixed, stratified choice.")] = 100,
    haystack: Annotated[str, typer.Option(help="One haystack, as in `niah run`.")] = "zero",
    snr: Annotated[float, typer.Option(help="Needle over noise in dB.")] = 10.0,
    position: Annotated[float, typer.Option(help="Where the needle starts, 0 to 1.")] = 0.5,
    protocol: Annotated[str, typer.Option(help=PROTOCOL_HELP)] = "niah-v2",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of the noise and of the choice of clips.")] = 0,
    out: Annotated[
        Path,
        typer.Option(help="Folder. The same command again resumes; more lengths or models amend."),
    ] = Path("runs/causes"),
) -> None:
    """Split each model's loss with length into its causes, one change at a time."""
    from rich.console import Console

    from niah.diagnosis.causes.measuring import CauseOptions
    from niah.diagnosis.causes.measuring import causes as run_causes
    from niah.diagnosis.causes.table import cause_rows, order_tables, tables
    from niah.placement import current_protocol
    from niah.records.run_directory import RunDirectory
    from niah.sweep.options import DEFAULT_MODELS

    written = run_causes(
        CauseOptions(
            models=separated(model) or DEFAULT_MODELS,
            lengths_s=numbers(lengths, "--lengths"),
            out=out,
            needles=needles,
            limit=limit,
            haystack=haystack,
            snr_db=snr,
            position=position,
            protocol=current_protocol(protocol),
            checkpoint=checkpoint,
            device=device,
            seed=seed,
        )
    )
    rows = cause_rows(RunDirectory(out))
    for table in [*tables(rows), *order_tables(rows)]:
        Console().print(table)
    for path in written:
        print(f"written  {path}")
