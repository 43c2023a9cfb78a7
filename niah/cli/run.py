"""`niah run`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from niah.cli.messages import fail, note, plural
from niah.cli.options import BABBLE_HELP, NEEDLES_HELP, counts, numbers, words
from niah.cli.report import show_report
from niah.errors import NiahError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from niah.sweep.options import RunOptions


def run(
    context: typer.Context,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="Model name or card.toml; repeat for several. NAME:v2 for other weights. "
            "[default: dass-nano, ast-sin-nano, aum-nano]",
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help="Weights file for the model (.safetensors, .pth), or 'random' (speed only)."
        ),
    ] = None,
    needles: Annotated[str, typer.Option(help=NEEDLES_HELP)] = "synthetic",
    audio_root: Annotated[
        Path | None, typer.Option(help="Folder of the clips that a Google segment CSV names.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            help="Use N clips: a fixed, stratified choice. [default: all; 100 of the synthetic]"
        ),
    ] = None,
    broader: Annotated[
        bool,
        typer.Option(help="Also use labels that cover other sounds besides (ESC-50 to AudioSet)."),
    ] = False,
    haystack: Annotated[
        list[str] | None,
        typer.Option(
            "--haystack",
            help="zero, silence, gaussian, babble, babble-official, a card, a recording or a folder; "
            "repeat for several. [default: zero, gaussian, babble]",
        ),
    ] = None,
    babble: Annotated[Path | None, typer.Option(help=BABBLE_HELP)] = None,
    snr: Annotated[str, typer.Option(help="Needle over noise in dB, comma-separated.")] = "10",
    positions: Annotated[
        str, typer.Option(help="Where the needle starts, 0 to 1, comma-separated.")
    ] = "0.5",
    lengths: Annotated[
        str, typer.Option(help="Seconds in all, comma-separated; 10 is the needle alone.")
    ] = "10,20,50,100",
    protocol: Annotated[
        str, typer.Option(help="dass-v1 (the paper's released harness) or niah-v2.")
    ] = "dass-v1",
    level: Annotated[
        str,
        typer.Option(
            help="surround, or mix: noise under the needle too (niah-v2); or surround,mix."
        ),
    ] = "surround",
    preset: Annotated[
        str | None,
        typer.Option(
            help="A figure of the paper: fig1c, fig3, fig4, fig5 or fig6. Options given beside it go before its own."
        ),
    ] = None,
    pooling: Annotated[
        str,
        typer.Option(
            help="Pool per-position logits (DASS) by average, max, top-k, log-sum-exp, sum, first, mid, last, "
            "first-token, mid-token, last-token; comma-separated. [default: the model's own]"
        ),
    ] = "",
    control: Annotated[
        list[str] | None,
        typer.Option(
            "--control",
            help="needle-free (what is said of nothing?) or sham (what does a seam do?); repeat or comma-separate.",
        ),
    ] = None,
    needle_s: Annotated[
        str,
        typer.Option(
            help="Hide the clip's loudest stretch of so many seconds (niah-v2); 10: all of it."
        ),
    ] = "10",
    needle_count: Annotated[
        str, typer.Option(help="The clip so many times, evenly spread (niah-v2).")
    ] = "1",
    distractors: Annotated[
        str, typer.Option(help="So many clips of near classes beside it (niah-v2).")
    ] = "0",
    window: Annotated[
        float | None,
        typer.Option(
            help="Sliding window: score windows of so many seconds (10: the model's own needle) and pool."
        ),
    ] = None,
    hop: Annotated[
        float | None,
        typer.Option(help="Seconds from a window to the next. [default: half the window]"),
    ] = None,
    window_pool: Annotated[
        str, typer.Option(help="max, mean (of probabilities) or noisy-or over the windows.")
    ] = "max",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    kernel: Annotated[
        str,
        typer.Option(
            help="Scan of state-space models: auto, cpu, triton, chunked, reference or mamba_ssm (where it is "
            "installed). Another than auto's own makes another run."
        ),
    ] = "auto",
    batch_size: Annotated[
        str, typer.Option(help="auto (1 on a CPU; probed at the longest length on a GPU) or N.")
    ] = "auto",
    seed: Annotated[
        int, typer.Option(help="Of noise, of the choice of clips, of random weights.")
    ] = 0,
    out: Annotated[
        Path,
        typer.Option(
            help="Run directory. The same command again resumes; more lengths or models amend."
        ),
    ] = Path("runs/default"),
    strict: Annotated[
        bool, typer.Option(help="Stop at the first bad clip instead of leaving it out.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the cells and stop.")] = False,
) -> None:
    """Sweep models over lengths, haystacks and positions; tables, figures and report.html in --out."""
    from niah.sweep.options import DEFAULT_HAYSTACKS, DEFAULT_MODELS
    from niah.sweep.presets import options_of, without_weights

    asked: dict[str, tuple[str, Any]] = {
        "models": ("model", tuple(model or DEFAULT_MODELS)),
        "haystacks": ("haystack", tuple(haystack or DEFAULT_HAYSTACKS)),
        "snrs_db": ("snr", numbers(snr)),
        "positions": ("positions", numbers(positions)),
        "lengths_s": ("lengths", numbers(lengths)),
        "protocol": ("protocol", protocol),
        "level": ("level", level),
        "poolings": ("pooling", words(pooling)),
        "controls": ("control", words(",".join(control or ()))),
        "needle_s": ("needle_s", numbers(needle_s)),
        "needle_counts": ("needle_count", counts(needle_count)),
        "distractors": ("distractors", counts(distractors)),
        "window_s": ("window", window),
        "hop_s": ("hop", hop),
        "window_pool": ("window_pool", window_pool),
    }
    given = {
        name: value
        for name, (parameter, value) in asked.items()
        if preset is None or _is_given(context, parameter)
    }
    if preset is None or _is_given(context, "out"):
        given["out"] = out
    parts = options_of(
        given := {
            **given,
            "preset": preset,
            "checkpoint": checkpoint,
            "needles": needles,
            "audio_root": audio_root,
            "limit": limit,
            "broader": broader,
            "babble": babble,
            "device": device,
            "dtype": dtype,
            "kernel": kernel,
            "batch_size": _batch_size(batch_size),
            "seed": seed,
            "strict": strict,
        }
    )
    for absent in without_weights(given):
        note(
            f"{absent} is left out: its card has no weights; give --model {absent} --checkpoint FILE"
        )
    if dry_run:
        _print_plan(parts)
        return
    from niah.sweep.loop import sweep

    tables = [sweep(part, note) for part in parts]
    show_report(parts[0].out)
    failed = int((tables[-1]["status"] == "error").sum())
    if failed:
        fail(f"{plural(failed, 'cell')} failed, see the notes above and cells.csv", status=1)


def _print_plan(parts: "Sequence[RunOptions]") -> None:
    """List the cells of the run, those that are done marked."""
    from niah.sweep.dry_run import planned_cells

    cells = dict.fromkeys(each for part in parts for each in planned_cells(part, note))
    for each in cells:
        print(f"{each.cell}{' (done)' if each.done else ''}")
    done = sum(each.done for each in cells)
    print(f"{plural(len(cells), 'cell')}, {done} of them done already; nothing was run")


def _is_given(context: typer.Context, parameter: str) -> bool:
    """Whether the user typed it: a preset gives way to that, not to a default."""
    source = context.get_parameter_source(parameter)
    return source is not None and source.name == "COMMANDLINE"


def _batch_size(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdigit():
        raise NiahError(f"--batch-size must be 'auto' or a whole number, got '{text}'")
    return int(text)
