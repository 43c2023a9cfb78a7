"""Options that name the clips and the scenes, the same in `niah run` and `niah scenes`."""

from pathlib import Path
from typing import Annotated

import typer

from niah.cli.options import BABBLE_HELP, FALSE_ALARMS_HELP

CLIPS = "Needles"
SCENES = "Scenes"

AudioRoot = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the clips that a Google segment CSV names.", rich_help_panel=CLIPS
    ),
]
Broader = Annotated[
    bool,
    typer.Option(
        help="Also use labels that cover other sounds too (ESC-50 to AudioSet).",
        rich_help_panel=CLIPS,
    ),
]
NeedlePart = Annotated[
    str,
    typer.Option(
        help="Which 10 s of a longer clip are hidden: first, loudest or centre.",
        rich_help_panel=CLIPS,
    ),
]
Babble = Annotated[Path | None, typer.Option(help=BABBLE_HELP, rich_help_panel=SCENES)]
Snrs = Annotated[
    str,
    typer.Option(
        help="Needle over noise in dB, comma-separated. [default: 10]", rich_help_panel=SCENES
    ),
]
Positions = Annotated[
    str,
    typer.Option(
        help="Where the needle starts, 0 to 1, comma-separated. [default: 0.5]",
        rich_help_panel=SCENES,
    ),
]
FalseAlarms = Annotated[str, typer.Option(help=FALSE_ALARMS_HELP, rich_help_panel=SCENES)]
Seed = Annotated[
    int,
    typer.Option(
        help="Seed of the choice and order of clips, of noise and of random weights.",
        rich_help_panel=SCENES,
    ),
]
NoiseSeed = Annotated[
    int | None,
    typer.Option(
        help="Seed of the noise alone: the same clips in other noise. [default: --seed]",
        rich_help_panel=SCENES,
    ),
]
Stream = Annotated[
    float | None,
    typer.Option(
        help="Then feed the first 50 clips' scenes hop by hop, N seconds at a time, as `niah stream` does.",
        rich_help_panel=SCENES,
    ),
]
