"""The files that a training leaves: weights and their card, for `niah run --model OUT/card.toml`."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from niah.adapters.checkpoints import TRAINING
from niah.cards import ModelCard
from niah.errors import NiahError
from niah.system.atomic import atomic_write, one_line_os_errors
from niah.system.download import sha256_of
from niah.system.folders import last_part, published
from niah.system.plain_names import component
from niah.system.user_modules import is_beside, loaded_files
from niah.toml_tables import toml_line
from niah.training.log import LOG
from niah.training.loop import Trained
from niah.training.recipes import Recipe
from niah.vocabularies import SUFFIXES

CARD = "card.toml"
WEIGHTS = "weights.safetensors"


Code = Mapping[Path, bytes]
"""Modules beside a card, by their place in its folder: the adapter, and what it imports from there."""


def own_code(card: ModelCard) -> Code:
    """Read the modules beside a card that are loaded; {} where its adapter is installed.

    Args:
        card: its adapter is imported.
    """
    is_own = is_beside(card.folder, card.adapter.partition(":")[0])
    names = loaded_files(card.folder) if is_own else []
    return {name: (card.folder / name).read_bytes() for name in names}


def refuse_foreign(out: Path, code: Code) -> None:
    """Refuse a folder whose files a training would write over, though none has written them: it has no log there.

    Args:
        out: folder of a training.
        code: of the trained architecture.

    Raises:
        NiahError: it holds a card, weights, labels or other code than the adapter's, under the names of a training's.
    """
    if (out / LOG).is_file():
        return
    names = [CARD, WEIGHTS, *(f"labels{suffix}" for suffix in SUFFIXES)]
    foreign = [name for name in names if (out / name).is_file()]
    foreign += [str(name) for name, own in code.items() if _content(out / name) not in (own, None)]
    if foreign:
        raise NiahError(
            f"{out} holds {', '.join(foreign)}, which a training would write over, and no {LOG} of one: "
            "give another --out, or move them away"
        )


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
        stream.write(save(state, metadata={TRAINING: json.dumps(content)}))
    return out / WEIGHTS


def write_card(
    card: ModelCard,
    out: Path,
    recipe: Recipe,
    weights: Path,
    *,
    parameters: int,
    clips: int,
    code: Code = MappingProxyType({}),
) -> Path:
    """Write the card of the trained weights; labels of a CSV file are copied beside it, and a user's adapter.

    The architecture's entries (adapter, config, paper) are those of the recipe's model; the entries on the weights are
    new: a name after the folder, the number of parameters, the training clips, the file's checksum.

    Args:
        card: the trained architecture's, with the recipe's labels and config.
        out: folder.
        recipe: recipe of the training.
        weights: the file of `write_weights`.
        parameters: number of the network's parameters.
        clips: number of training clips.
        code: of the trained architecture, as it was trained.

    Returns:
        The card's file.
    """
    labels = card.labels
    if isinstance(card.labels_source, Path):
        labels = f"labels{card.labels_source.suffix.lower()}"
        with atomic_write(out / labels) as stream:
            stream.write(Path(card.labels_source).read_bytes())
    _write_code(code, out)
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
    lines = [toml_line(key, value) for key, value in values.items() if value]
    lines += ["", "[config]", *(toml_line(key, value) for key, value in card.config.items())]
    lines += ["", "[weights.trained]", toml_line("file", WEIGHTS)]
    lines += [toml_line("sha256", sha256_of(weights)), ""]
    with atomic_write(out / CARD) as stream:
        stream.write("\n".join(lines).encode())
    return out / CARD


def _write_code(code: Code, out: Path) -> None:
    for name, content in code.items():
        if _content(out / name) != content:
            with one_line_os_errors(out):
                (out / name).parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(out / name) as stream:
                stream.write(content)


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


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
