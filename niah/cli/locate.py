"""`niah locate`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from niah.cli.messages import note
from niah.cli.options import SEVERAL, listed, numbers, separated, separated_models
from niah.cli.report import report_again
from niah.errors import NiahError

_OF_WINDOWS = "Occlusion and windows"


def locate(
    directory: Annotated[Path, typer.Argument(help="A run directory of `niah run`.")],
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help=f"{SEVERAL.capitalize()}. [default: the run's]"),
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
    events: Annotated[
        bool,
        typer.Option(
            "--events",
            help="Score sound events in time instead: PSDS1, onset F, counts. --method is positions, windows or auto.",
        ),
    ] = False,
    needle_count: Annotated[
        str, typer.Option(help="Events: hide N copies of the clip, evenly spread. [default: 1]")
    ] = "",
    collar: Annotated[
        float, typer.Option(help="Events: seconds between two onsets that are the same.")
    ] = 1.0,
    window: Annotated[
        float | None, typer.Option(help=f"{_OF_WINDOWS}: seconds of a window. [default: 10]")
    ] = None,
    hop: Annotated[
        float | None, typer.Option(help=f"{_OF_WINDOWS}: seconds between windows. [default: 5]")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help=f"{_OF_WINDOWS}: windows in one forward pass. [default: 1]")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda or cuda:N. [default: the run's]")
    ] = None,
) -> None:
    """Find where each model heard the needle: hit rate and error of the peak, or sound events, against length."""
    from rich.console import Console

    from niah.diagnosis.events import rows as event_rows
    from niah.diagnosis.events.measure import EventOptions, locate_events
    from niah.diagnosis.events.table import events_table
    from niah.diagnosis.localisation.locate import LocateOptions
    from niah.diagnosis.localisation.locate import locate as run_locate
    from niah.diagnosis.localisation.table import stored_table
    from niah.diagnosis.run_scenes import open_scenes, scene_notes

    counts = listed(needle_count, int, "--needle-count") or (1,)
    if not events and (needle_count or collar != EventOptions.collar_s):
        raise NiahError("--needle-count and --collar are of sound events: add --events")
    windows: dict[str, Any] = {
        name: value
        for name, value in (("window_s", window), ("hop_s", hop), ("batch_size", batch_size))
        if value is not None
    }
    if windows and method == "positions":
        raise NiahError(
            "--window, --hop and --batch-size are of windows, which --method positions has not: leave them out, "
            "or ask for --method auto"
        )
    wanted = (
        EventOptions(method, collar_s=collar, needle_counts=counts, **windows) if events else None
    )
    options = LocateOptions(
        run=directory,
        models=separated_models(model, directory),
        method="auto" if events else method,
        limit=limit,
        haystacks=separated(haystack),
        snrs_db=numbers(snr, "--snr"),
        positions=numbers(positions, "--positions"),
        lengths_s=numbers(lengths, "--lengths"),
        device=device,
        **windows,
    )
    for text in scene_notes(directory):
        note(text)
    if wanted is None:
        written = run_locate(options, note)
        table = stored_table(directory)
    else:
        written = locate_events(open_scenes(options), wanted, note)
        table = events_table(event_rows.read(directory))
    Console().print(table)
    for path in written:
        print(f"written  {path}")
    report_again(directory)
