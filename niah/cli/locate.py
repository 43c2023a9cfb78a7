"""`niah locate`."""

from pathlib import Path
from typing import Annotated

import typer

from niah.cli.options import numbers


def locate(
    directory: Annotated[Path, typer.Argument(help="A run directory of `niah run`.")],
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="Repeat for several. [default: the run's]"),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="positions (exact, for DASS), occlusion (any model), both, or auto: positions if the model has them."
        ),
    ] = "auto",
    limit: Annotated[int, typer.Option(help="Use the first N clips of the run.")] = 20,
    haystack: Annotated[
        list[str] | None, typer.Option("--haystack", help="[default: the run's]")
    ] = None,
    snr: Annotated[str, typer.Option(help="[default: the run's]")] = "",
    positions: Annotated[str, typer.Option(help="[default: the run's]")] = "",
    lengths: Annotated[str, typer.Option(help="[default: the run's]")] = "",
    window: Annotated[
        float, typer.Option(help="Occlusion: seconds that are hidden at once.")
    ] = 10.0,
    hop: Annotated[float, typer.Option(help="Occlusion: seconds between windows.")] = 5.0,
    batch_size: Annotated[int, typer.Option(help="Occlusion: windows in one forward pass.")] = 1,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda or cuda:N. [default: the run's]")
    ] = None,
) -> None:
    """Find where each model heard the needle: hit rate and error of the peak, against length and position."""
    from rich.console import Console

    from niah.diagnosis.localisation.locate import LocateOptions
    from niah.diagnosis.localisation.locate import locate as run_locate
    from niah.diagnosis.localisation.table import localisation_table, read

    written = run_locate(
        LocateOptions(
            run=directory,
            models=tuple(model or ()),
            method=method,
            limit=limit,
            haystacks=tuple(haystack or ()),
            snrs_db=numbers(snr, "--snr"),
            positions=numbers(positions, "--positions"),
            lengths_s=numbers(lengths, "--lengths"),
            window_s=window,
            hop_s=hop,
            device=device,
            batch_size=batch_size,
        )
    )
    Console().print(localisation_table(read(directory)))
    for path in written:
        print(f"written  {path}")
