"""`niah stream`, and `niah run --stream`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from niah.cli.messages import note
from niah.cli.options import SEVERAL, listed, numbers, separated, separated_models
from niah.cli.report import report_again
from niah.errors import NiahError

if TYPE_CHECKING:
    from niah.diagnosis.run_scenes import WantedScenes
    from niah.diagnosis.streaming.measure import StreamOptions

CLIPS = 50


def stream(
    directory: Annotated[Path, typer.Argument(help="A run directory of `niah run`.")],
    hop: Annotated[float, typer.Option(help="Seconds heard between two answers.")] = 1.0,
    method: Annotated[
        str,
        typer.Option(
            help="state (carried from hop to hop: causal AuM and SSAMBA, your own start() and step()), windows (any "
            "model), or auto: state if the model carries one."
        ),
    ] = "auto",
    window: Annotated[
        float | None,
        typer.Option(
            help="Windows: the last N seconds are scored. [default: the model's own, 10 at most]"
        ),
    ] = None,
    false_alarms: Annotated[
        str,
        typer.Option(
            help="Thresholds allow N needle-free hops an hour and class to be above them; several, comma-separated. "
            "N an hour need 3.69 / N hours of needle-free scenes. [default: 10]"
        ),
    ] = "",
    repeat: Annotated[
        str,
        typer.Option(
            help="A long sound: the clip N times, back to back; comma-separated. [default: 1]"
        ),
    ] = "",
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help=f"{SEVERAL.capitalize()}. [default: the run's]"),
    ] = None,
    limit: Annotated[int, typer.Option(help="Use the first N clips of the run.")] = CLIPS,
    haystack: Annotated[
        list[str] | None, typer.Option("--haystack", help="[default: the run's]")
    ] = None,
    snr: Annotated[str, typer.Option(help="[default: the run's]")] = "",
    positions: Annotated[str, typer.Option(help="[default: the run's]")] = "",
    lengths: Annotated[str, typer.Option(help="[default: the run's]")] = "",
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda or cuda:N. [default: the run's]")
    ] = None,
) -> None:
    """Feed a run's scenes to its models hop by hop: how soon they answer, how steadily, for how long, at what cost.

    A model is scored on what has been played so far alone. `niah run --stream HOP` does the same after a run.
    """
    from niah.diagnosis.run_scenes import WantedScenes
    from niah.diagnosis.streaming.measure import StreamOptions

    options = StreamOptions(
        hop,
        method,
        window,
        numbers(false_alarms, "--false-alarms") or StreamOptions.per_hour,
        listed(repeat, int, "--repeat") or StreamOptions.repeats,
    )
    wanted = WantedScenes(
        run=directory,
        models=separated_models(model, directory),
        limit=limit,
        haystacks=separated(haystack),
        snrs_db=numbers(snr, "--snr"),
        positions=numbers(positions, "--positions"),
        lengths_s=numbers(lengths, "--lengths"),
        device=device,
    )
    _stream(wanted, options)


def after_run(
    hop_s: float | None, rates: Sequence[float], directory: Path, shared: str
) -> Callable[[], None]:
    """Return what `niah run --stream` does when the run has ended; the options are checked at once.

    Args:
        hop_s: seconds of a hop; None without the option.
        rates: false alarms an hour and class; none for the default.
        directory: of the run.
        shared: the processes that share the run; "" for this one alone.

    Raises:
        NiahError: a hop that is none, or a run of several processes.
    """
    if hop_s is None:
        return lambda: None
    from niah.diagnosis.run_scenes import WantedScenes
    from niah.diagnosis.streaming.measure import StreamOptions

    if shared:
        raise NiahError(
            f"--stream is for one process: leave it out, and then `niah stream {directory}`"
        )
    options = StreamOptions(hop_s, per_hour=tuple(rates) or StreamOptions.per_hour)
    return lambda: _stream(WantedScenes(directory, limit=CLIPS), options)


def stream_words(hop_s: float | None) -> str:
    """Return what `niah run --stream` does after the cells, for a dry run; "" without the option.

    Args:
        hop_s: seconds of a hop; None without the option.
    """
    if hop_s is None:
        return ""
    return (
        f"--stream {hop_s:g}: the scenes of the first {CLIPS} clips again, an answer after every {hop_s:g} s of them, "
        "whose time is not forecast"
    )


def _stream(wanted: "WantedScenes", options: "StreamOptions") -> None:
    from niah.diagnosis.run_scenes import open_scenes, scene_notes
    from niah.diagnosis.streaming.measure import stream as run_stream

    for text in scene_notes(wanted.run):
        note(text)
    _show(wanted.run, run_stream(open_scenes(wanted), options, note))


def _show(directory: Path, written: list[Path]) -> None:
    from rich.console import Console

    from niah.diagnosis.streaming.figure import draw
    from niah.diagnosis.streaming.rows import read, read_curves
    from niah.diagnosis.streaming.table import stream_tables

    for table in stream_tables(read(directory)):
        Console().print(table)
    figures = draw(read_curves(directory), directory / "figures")
    for path in (*written, *(figure.file for figure in figures)):
        print(f"written  {path}")
    report_again(directory)
