"""The files that a training leaves: weights and their card, for `niah run --model OUT/card.toml`."""

import json
from pathlib import Path
from typing import Any

from niah.cards import ModelCard
from niah.errors import NiahError
from niah.system.atomic import atomic_write
from niah.system.download import sha256_of
from niah.system.folders import last_part, published
from niah.system.plain_names import component
from niah.training.loop import Trained
from niah.training.recipes import Recipe

CARD = "card.toml"
WEIGHTS = "weights.safetensors"


def write_weights(out: Path, trained: Trained, recipe: Recipe) -> Path:
    """Write the averaged weights; the file's metadata names the recipe and the last log line.

    Args:
        out: folder.
        trained: weights and the last log line.
        recipe: recipe of the training.

    Returns:
        The file.
    """
    from safetensors.torch import save

    # under one key: several are written in a random order, and the same training gives the same file
    content = {"recipe": published(recipe.parts(), paths=True), "log": trained.log}
    state = {key: value.contiguous().cpu() for key, value in trained.state.items()}
    with atomic_write(out / WEIGHTS) as stream:
        stream.write(save(state, metadata={"training": json.dumps(content)}))
    return out / WEIGHTS


def write_card(
    card: ModelCard, out: Path, recipe: Recipe, weights: Path, *, parameters: int, clips: int
) -> Path:
    """Write the card of the trained weights; labels of a CSV file are copied beside it.

    The architecture's entries (adapter, config, paper) are those of the recipe's model; the entries on the weights are
    new: a name after the folder, the number of parameters, the training clips, the file's checksum.

    Args:
        card: the trained architecture's, with the recipe's labels and config.
        out: folder.
        recipe: recipe of the training.
        weights: the file of `write_weights`.
        parameters: number of the network's parameters.
        clips: number of training clips.

    Returns:
        The card's file.
    """
    labels = card.labels
    if isinstance(card.labels_source, Path):
        labels = f"labels{card.labels_source.suffix.lower()}"
        with atomic_write(out / labels) as stream:
            stream.write(Path(card.labels_source).read_bytes())
    values: dict[str, Any] = {
        "name": name_of(out, recipe),
        "adapter": card.adapter,
        "labels": labels,
        "family": card.family,
        "title": f"{card.name}, trained by the recipe {recipe.name}",
        "paper": card.paper,
        "parameters": parameters,
        "trained_on_s": card.trained_on_s,
        "trained_on": f"{clips} clips of {last_part(recipe.train)}",
    }
    lines = [_line(key, value) for key, value in values.items() if value]
    lines += ["", "[config]", *(_line(key, value) for key, value in card.config.items())]
    lines += ["", "[weights.trained]", _line("file", WEIGHTS)]
    lines += [_line("sha256", sha256_of(weights)), ""]
    with atomic_write(out / CARD) as stream:
        stream.write("\n".join(lines).encode())
    return out / CARD


def name_of(out: Path, recipe: Recipe) -> str:
    """Return the trained model's name: the output folder's, or the recipe's where that is no plain name.

    Args:
        out: output folder.
        recipe: recipe of the training.
    """
    try:
        return component(out.resolve().name, "the name of --out")
    except NiahError:
        return recipe.name


def _line(key: str, value: object) -> str:
    """Return a line of TOML; strings, numbers, truths and lists are written as in JSON."""
    return f"{key} = {json.dumps(value)}"
