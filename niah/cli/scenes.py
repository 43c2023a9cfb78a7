"""`niah scenes`."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from niah.cli.axes import with_axes
from niah.cli.messages import note
from niah.cli.options import NEEDLES_HELP, SEVERAL, numbers, separated
from niah.cli.scene_options import (
    CLIPS,
    SCENES,
    AudioRoot,
    Babble,
    Broader,
    NeedlePart,
    Positions,
    Snrs,
)

FILES = "Files"
OTHERS = ("pooling",)  # axes that do not change a scene


@partial(with_axes, without=OTHERS)
def scenes(
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for sounds, manifest.csv, answers.parquet and scenes.json. The same command again goes on; "
            "more lengths or haystacks amend."
        ),
    ],
    needles: Annotated[str, typer.Option(help=f"{NEEDLES_HELP} [default: those of --labels]")] = "",
    lengths: Annotated[
        str,
        typer.Option(
            help="Scene lengths in seconds, comma-separated; the needle alone is always one. [default: 10,20,50,100]"
        ),
    ] = "",
    haystack: Annotated[
        list[str] | None,
        typer.Option(
            "--haystack",
            help=f"silence, gaussian, babble, babble-official, a card, a recording or a folder; {SEVERAL}. "
            "[default: silence, gaussian, babble]",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, forecast the disk, and stop.")
    ] = False,
    labels: Annotated[
        str,
        typer.Option(
            help="Classes that are scored: audioset-527, esc-50, synthetic, .. or a CSV. "
            "[default: synthetic for the synthetic needles, else audioset-527]",
            rich_help_panel=CLIPS,
        ),
    ] = "",
    limit: Annotated[
        int | None,
        typer.Option(
            help="Use N clips: a fixed, stratified choice. [default: as `niah run`]",
            rich_help_panel=CLIPS,
        ),
    ] = None,
    audio_root: AudioRoot = None,
    broader: Broader = False,
    strict: Annotated[
        bool,
        typer.Option(
            help="Stop at the first clip that is unreadable or needs converting.",
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
            help="niah-v2 (its current version, niah-v2.1): dass-v1 has no waveforms.",
            rich_help_panel=SCENES,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Seed of the choice of clips and of noise.", rich_help_panel=SCENES)
    ] = 0,
    noise_seed: Annotated[
        int | None,
        typer.Option(help="Seed of the noise alone. [default: --seed]", rich_help_panel=SCENES),
    ] = None,
    sample_rate: Annotated[
        int, typer.Option(help="Of the files, in Hz.", rich_help_panel=FILES)
    ] = 16000,
    format_name: Annotated[
        str, typer.Option("--format", help="flac16, flac24 or wav-float.", rich_help_panel=FILES)
    ] = "flac16",
    gain: Annotated[
        float | None,
        typer.Option(
            help="Gain of all scenes in dB. [default: 0, or the largest at which no scene clips]",
            rich_help_panel=FILES,
        ),
    ] = None,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes", help="Write even if the disk may be too small.", rich_help_panel=FILES
        ),
    ] = False,
    *,
    axes: dict[str, Any],
) -> None:
    """Write a run's scenes as sound files, for a system that niah cannot call; `niah score` takes its predictions."""
    from niah.exchange.scene_plan import scene_options
    from niah.exchange.writing import write_scenes

    stated = {
        "haystacks": separated(haystack),
        "snrs_db": numbers(snr, "--snr"),
        "positions": numbers(positions, "--positions"),
        "lengths_s": numbers(lengths, "--lengths"),
        "protocol": protocol,
    }
    settings = {
        **{name: value for name, value in stated.items() if value not in (None, ())},
        **axes,
        "needles": needles,
        "limit": limit,
        "audio_root": audio_root,
        "broader": broader,
        "strict": strict,
        "needle_part": needle_part,
        "babble": babble,
        "seed": seed,
        "noise_seed": noise_seed,
        "out": out,
    }
    options = scene_options(settings, labels, sample_rate)
    forecast = write_scenes(
        options, format_name=format_name, gain_db=gain, dry_run=dry_run, yes=yes, note=note
    )
    if not forecast.scenes:
        print("all scenes are there already")
    else:
        print(f"{forecast}; {'nothing was' if dry_run else 'all are'} written")
    if not dry_run:
        print(f"scenes   {out / 'manifest.csv'}")
        print(f"labels   {out / 'answers.parquet'}")
