"""`niah run`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from niah.cli.axes import with_axes
from niah.cli.dry_run import print_plan
from niah.cli.machines import cluster_spec, end_on_sigterm
from niah.cli.messages import fail, note
from niah.cli.options import (
    LABELS_HELP,
    MODEL_HELP,
    NEEDLES_DEFAULT,
    NEEDLES_HELP,
    PROMPT_HELP,
    PROTOCOL_HELP,
    SAMPLE_RATE_HELP,
    SEVERAL,
    TRUST_HELP,
    complete_haystack,
    complete_model,
    numbers,
    separated,
)
from niah.cli.report import show_report
from niah.cli.scene_options import (
    CLIPS,
    SCENES,
    AudioRoot,
    Babble,
    Broader,
    FalseAlarms,
    NeedlePart,
    NoiseSeed,
    Positions,
    Seed,
    Snrs,
    Stream,
)
from niah.cli.stream import after_run, stream_words
from niah.errors import NiahError
from niah.system.plurals import plural

if TYPE_CHECKING:
    import pandas as pd

    from niah.sweep.options import RunOptions


MODELS = "Models"
WINDOWS = "Sliding windows"
RUNNING = "How it is run"
MACHINES = "Several processes or machines"


@with_axes
def run(
    context: typer.Context,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help=f"{MODEL_HELP}; {SEVERAL}. NAME:v2 selects other weights. "
            "[default: dass-nano, ast-sin-nano, aum-nano]",
            autocompletion=complete_model,
        ),
    ] = None,
    needles: Annotated[str, typer.Option(help=f"{NEEDLES_HELP} {NEEDLES_DEFAULT}")] = "",
    lengths: Annotated[
        str,
        typer.Option(
            help="Scene lengths in seconds, comma-separated; 10 is the needle alone, less its loudest stretch. "
            "[default: 10,20,50,100]"
        ),
    ] = "",
    haystack: Annotated[
        list[str] | None,
        typer.Option(
            "--haystack",
            help="zero, silence, gaussian, babble, babble-official, a card, a recording or a folder; "
            f"{SEVERAL}. [default: zero, gaussian, babble]",
            autocompletion=complete_haystack,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Run directory. The same command again resumes; more lengths or models amend. "
            "[default: runs/default, or runs/PRESET]"
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="A figure of the paper: fig1c, fig3, fig4, fig5 or fig6. Options that you give override the preset."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="Options from a file: a TOML (lengths = [10, 50]), or the run.json of a run that is repeated. "
            "Options that you give override the file's."
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Check everything, list the cells and which are done, and stop."
        ),
    ] = False,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help="Weights file for the model (.safetensors, .pth), or 'random' (speed only).",
            rich_help_panel=MODELS,
        ),
    ] = None,
    labels: Annotated[str, typer.Option(help=LABELS_HELP, rich_help_panel=MODELS)] = "",
    sample_rate: Annotated[
        int | None, typer.Option(help=SAMPLE_RATE_HELP, rich_help_panel=MODELS)
    ] = None,
    prompt: Annotated[str, typer.Option(help=PROMPT_HELP, rich_help_panel=MODELS)] = "",
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help=TRUST_HELP, rich_help_panel=MODELS)
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            help="Use N clips: a fixed, stratified choice. [default: all; 100 of the synthetic, 200 of a hub's]",
            rich_help_panel=CLIPS,
        ),
    ] = None,
    audio_root: AudioRoot = None,
    broader: Broader = False,
    strict: Annotated[
        bool,
        typer.Option(
            help="Stop at the first clip that is unreadable or needs converting (resampled, stereo).",
            rich_help_panel=CLIPS,
        ),
    ] = False,
    needle_part: NeedlePart = "first",
    babble: Babble = None,
    snr: Snrs = "",
    positions: Positions = "",
    protocol: Annotated[
        str | None,
        typer.Option(
            help=f"{PROTOCOL_HELP} [default: niah-v2; dass-v1 in a preset]", rich_help_panel=SCENES
        ),
    ] = None,
    seed: Seed = 0,
    false_alarms: FalseAlarms = "",
    stream: Stream = None,
    noise_seed: NoiseSeed = None,
    window: Annotated[
        float | None,
        typer.Option(
            help="Score windows of N seconds (10: as long as a needle) and pool their scores.",
            rich_help_panel=WINDOWS,
        ),
    ] = None,
    hop: Annotated[
        float | None,
        typer.Option(
            help="Seconds from one window to the next. [default: half the window]",
            rich_help_panel=WINDOWS,
        ),
    ] = None,
    window_pool: Annotated[
        str | None,
        typer.Option(
            help="Pool the windows' scores by max, mean or noisy-or. [default: max]",
            rich_help_panel=WINDOWS,
        ),
    ] = None,
    reuse: Annotated[
        bool,
        typer.Option(
            "--reuse/--no-reuse",
            help="Score windows of equal content once; the scores are the same to the last bit.",
            rich_help_panel=WINDOWS,
        ),
    ] = True,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda or cuda:N.", rich_help_panel=RUNNING)
    ] = "auto",
    dtype: Annotated[
        str, typer.Option(help="float32, bfloat16 or float16.", rich_help_panel=RUNNING)
    ] = "float32",
    kernel: Annotated[
        str,
        typer.Option(
            help="Scan kernel of state-space models: auto, reference, chunked, cpu, triton or mamba_ssm. "
            "A scan kernel other than the default starts a separate run.",
            rich_help_panel=RUNNING,
        ),
    ] = "auto",
    batch_size: Annotated[
        str,
        typer.Option(
            help="Clips in a forward pass: N, or auto (1 on a CPU, probed on a GPU).",
            rich_help_panel=RUNNING,
        ),
    ] = "auto",
    shard: Annotated[
        str,
        typer.Option(
            help="Score one of several shards of the cells, 1/8 to 8/8: processes that share --out, or folders of "
            "their own for `niah merge`.",
            rich_help_panel=MACHINES,
        ),
    ] = "",
    slice_minutes: Annotated[
        float,
        typer.Option(
            "--slice",
            help="Cut cells into slices of about N minutes of work, which processes share.",
            rich_help_panel=MACHINES,
        ),
    ] = 10.0,
    cluster: Annotated[
        str,
        typer.Option(
            help="dask.distributed (extra cluster): local[:N], tcp://HOST:PORT, slurm[:N], pbs[:N], sge[:N], "
            "lsf[:N], or srun in an allocation.",
            rich_help_panel=MACHINES,
        ),
    ] = "",
    cluster_options: Annotated[
        Path | None,
        typer.Option(
            help="TOML file of a batch system's options: cores, memory, walltime, queue, account, ..",
            rich_help_panel=MACHINES,
        ),
    ] = None,
    *,
    axes: dict[str, Any],
) -> None:
    """Measure models over lengths, haystacks and positions; write tables, figures and report.html into --out."""
    from niah.sweep.presets import notes_on_absent, options_of
    from niah.sweep.share import Share

    typed = {
        "models": separated(model),
        "haystacks": separated(haystack),
        "snrs_db": numbers(snr, "--snr"),
        "positions": numbers(positions, "--positions"),
        "lengths_s": numbers(lengths, "--lengths"),
        "false_alarms": numbers(false_alarms, "--false-alarms"),
        "protocol": protocol,
        "window_s": window,
        "hop_s": hop,
        "window_pool": window_pool,
        "out": out,
    }
    _refuse_empty(context, typed)
    options = {
        **{name: value for name, value in typed.items() if value not in (None, ())},
        **axes,
        "preset": preset,
        "checkpoint": checkpoint,
        "labels": labels,
        "sample_rate": sample_rate,
        "prompt": prompt,
        "trust_remote_code": trust_remote_code,
        "needles": needles,
        "audio_root": audio_root,
        "limit": limit,
        "broader": broader,
        "babble": babble,
        "reuse": reuse,
        "device": device,
        "dtype": dtype,
        "kernel": kernel,
        "batch_size": _batch_size(batch_size),
        "seed": seed,
        "noise_seed": noise_seed,
        "strict": strict,
        "needle_part": needle_part,
    }
    if config is not None:
        from niah.cli.config import merged, read_config

        options = merged(context, read_config(config, note), options)
    parts = options_of(options)
    stream_it = after_run(
        stream, numbers(false_alarms, "--false-alarms"), parts[0].out, shard or cluster
    )
    share = Share.parse(shard, 60 * slice_minutes)
    spec = cluster_spec(cluster, cluster_options, share)
    if not (dry_run or shard or cluster or len(parts) > 1) and _has_ended(parts[0]):
        stream_it()
        return
    for text in notes_on_absent(options):
        note(text)
    if dry_run:
        print_plan(parts, share, 1 if spec is None else spec.workers, stream_words(stream))
        return
    from niah.sweep.loop import run_sweep

    with end_on_sigterm():
        if spec is None:
            results = [run_sweep(part, note, share) for part in parts]
        else:
            from niah.cluster.driver import sweep_on_cluster

            results = sweep_on_cluster(parts, spec, share, note)
    if working := results[-1].still_working:
        print(
            f"shard {share} has ended; still at work in {parts[0].out}: {', '.join(working)}. The last one writes "
            f"tables and figures, or `niah report {parts[0].out}`"
        )
        return
    _show(parts[0].out, results[-1].cells)
    stream_it()


def _show(out: Path, cells: "pd.DataFrame") -> None:
    """Report on a run that has ended; a failed cell is its exit status."""
    show_report(out, unless_made=True)
    if failed := int((cells["status"] == "error").sum()):
        fail(f"{plural(failed, 'cell')} failed, see the notes above and cells.csv", status=1)


def _has_ended(options: "RunOptions") -> bool:
    """Report on a run that has nothing left to do; return whether it is one."""
    from niah.records.run_directory import RunDirectory
    from niah.sweep.finished import ended

    known = ended(options)
    if known is None:
        return False
    for text in known.notes:
        note(text)
    _show(options.out, RunDirectory(options.out).cells())
    return True


def _refuse_empty(context: typer.Context, typed: dict[str, Any]) -> None:
    """Refuse a list that was typed but is empty (`--lengths ,`): it must not become the default."""
    lists = {"snr": "snrs_db", "positions": "positions", "lengths": "lengths_s"}
    for option, name in (lists | {"false_alarms": "false_alarms"}).items():
        source = context.get_parameter_source(option)
        if typed[name] == () and source is not None and source.name == "COMMANDLINE":
            raise NiahError(f"--{option.replace('_', '-')}: give at least one of {name}")


def _batch_size(text: str) -> int | None:
    if text == "auto":
        return None
    if not (text.isascii() and text.isdigit()):
        raise NiahError(f"--batch-size must be 'auto' or a whole number, got '{text}'")
    return int(text)
