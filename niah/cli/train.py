"""`niah train`."""

import os
from math import isnan
from pathlib import Path
from typing import Annotated

import typer

from niah.cli.messages import fail, note, print_table
from niah.errors import NiahError

_INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(help="A recipe's name (`niah train --list`) or your own .toml."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the log, the checkpoint and the trained weights; the same command resumes."
        ),
    ] = None,
    train_needles: Annotated[
        str | None, typer.Option("--train", help="Training clips instead of the recipe's.")
    ] = None,
    evaluation: Annotated[
        str | None, typer.Option("--eval", help="Validation clips instead of the recipe's.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value that overrides the recipe; repeat for several."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=1024,
            help="Processes that read sound ahead (pipeline = waveform). [default: one a core]",
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse clips that cannot be read.")
    ] = False,
    max_excluded: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Largest share of unreadable clips; more is refused."),
    ] = 0.05,
    features_gb: Annotated[
        float,
        typer.Option(
            min=0.0, help="Largest feature store in the cache, in GB (pipeline = features)."
        ),
    ] = 100.0,
    show: Annotated[bool, typer.Option("--list", help="List the shipped recipes.")] = False,
) -> None:
    """Train or distil a model, and write weights for `niah run --checkpoint`.

    On several GPUs: accelerate launch -m niah train RECIPE --out DIR.
    """
    if show:
        _list_recipes()
        return
    if recipe is None or out is None:
        raise NiahError("give RECIPE and --out DIR (`niah train --list` lists the recipes)")
    for option, value in (("--max-excluded", max_excluded), ("--features-gb", features_gb)):
        if isnan(value):  # no comparison with a bound tells
            raise NiahError(f"{option} must be a number, got nan")
    from niah.training.command import train_recipe

    try:
        weights = train_recipe(
            recipe,
            out,
            train=train_needles,
            validation=evaluation,
            settings=settings or [],
            device=device,
            workers=workers,
            largest_excluded=0.0 if strict else max_excluded,
            features_gb=features_gb,
        )
    except KeyboardInterrupt:
        fail("interrupted; the same command goes on from the last checkpoint", status=_INTERRUPTED)
    if os.environ.get("RANK", "0") == "0":  # the first of several processes
        _print_result(weights)


def _print_result(weights: Path) -> None:
    """Print the path of the weights, and on stderr the score and the next command."""
    from niah.training.log import LOG, read_log
    from niah.training.trained_model import CARD

    last = read_log(weights.parent / LOG)[-1]
    score = f"{float(last['validation_mAP']):.3f}"
    averaged = f"{float(last['averaged_mAP']):.3f}"
    note(f"validation mAP {averaged} (averaged weights), {score} after epoch {last['epoch']} alone")
    note(f"next: niah run --model {weights.parent / CARD} --needles EVALUATION_CLIPS")
    print(weights)


def _list_recipes() -> None:
    from niah.training.recipes import recipes

    rows = [
        (
            each.name,
            each.model,
            each.train or "--train, --eval",
            str(each.epochs),
            each.summary,
        )
        for each in recipes()
    ]
    print_table(("name", "model", "clips", "epochs", "note"), rows)
