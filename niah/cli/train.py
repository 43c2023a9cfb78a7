"""`niah train`."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[
        str, typer.Argument(help="A recipe's name (models/recipes) or a .toml of your own.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for the log, the checkpoint and the trained weights; the same command resumes."
        ),
    ],
    train_needles: Annotated[
        str | None, typer.Option("--train", help="Training clips instead of the recipe's.")
    ] = None,
    evaluation: Annotated[
        str | None, typer.Option("--eval", help="Validation clips instead of the recipe's.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value over the recipe; repeat for several."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes that read sound ahead (pipeline = waveform). [default: a core each]"
        ),
    ] = None,
) -> None:
    """Train or distil; writes weights that `niah run --checkpoint` takes.

    On several GPUs: accelerate launch -m niah train RECIPE --out DIR.
    """
    from niah.training.command import train_recipe

    weights = train_recipe(
        recipe,
        out,
        train=train_needles,
        validation=evaluation,
        settings=settings or [],
        device=device,
        workers=workers,
    )
    print(weights)
