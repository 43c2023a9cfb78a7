"""The card of a trained model, written beside its weights: `niah run --model OUT/card.toml` is all it takes."""

import json
from pathlib import Path
from typing import Any

from niah.cards import ModelCard
from niah.system.atomic import atomic_write

CARD = "card.toml"


def write_card(card: ModelCard, out: Path, weights: str) -> Path:
    """Write `out/card.toml` for the file `weights` in `out`; labels of a CSV file are copied beside it."""
    labels = card.labels
    if labels.endswith(".csv"):
        labels = "labels.csv"
        with atomic_write(out / labels) as stream:
            stream.write(Path(card.labels_source).read_bytes())
    told: dict[str, Any] = {
        "name": card.name,
        "adapter": card.adapter,
        "labels": labels,
        "family": card.family,
        "title": card.title,
        "paper": card.paper,
        "licence": card.licence,
        "parameters": card.parameters,
        "trained_on_s": card.trained_on_s,
    }
    lines = [_line(key, value) for key, value in told.items() if value]
    lines += ["", "[config]", *(_line(key, value) for key, value in card.config.items())]
    lines += ["", "[weights.trained]", _line("file", weights), ""]
    with atomic_write(out / CARD) as stream:
        stream.write("\n".join(lines).encode())
    return out / CARD


def _line(key: str, value: object) -> str:
    """JSON's strings, numbers, truths and lists are TOML's too."""
    return f"{key} = {json.dumps(value)}"
