"""Parsers and help texts that several commands share."""

import os
import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

from niah.errors import NiahError


def complete_model(incomplete: str) -> list[str]:
    """Return the names of cards that begin so, for a shell's completion."""
    from niah.cards import model_cards

    return [card.name for card in model_cards() if card.name.startswith(incomplete)]


def complete_haystack(incomplete: str) -> list[str]:
    """Return the names of haystacks that begin so, for a shell's completion."""
    from niah.cards import haystack_cards

    return [card.name for card in haystack_cards() if card.name.startswith(incomplete)]


_SECONDS = {"": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600}
_TIME = re.compile(rf"(\d+\.?\d*) ?({'|'.join(_SECONDS)})", re.IGNORECASE)


def listed(text: str, kind: Callable[[str], Any], option: str) -> tuple[Any, ...]:
    """Return the values of a comma-separated list; empty parts are passed over.

    Args:
        text: What the user typed.
        kind: Type of one value: float, int or str.
        option: The option's name, for the message.

    Raises:
        NiahError: a part is no number of that kind.
    """
    try:
        return tuple(kind(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        numbers = "whole numbers" if kind is int else "numbers"
        hint = _in_seconds(text) if option == "--lengths" else ""
        raise NiahError(
            f"{option}: '{text}' must be {numbers}, separated by commas{hint}"
        ) from None


def _in_seconds(text: str) -> str:
    """Return what a list of times with units is in seconds, which has none; "" for any other."""
    times = [_TIME.fullmatch(part.strip()) for part in text.split(",") if part.strip()]
    if not all(times):
        return ""
    seconds = (float(time[1]) * _SECONDS[time[2].lower()] for time in times if time)
    return f": in seconds {','.join(f'{each:g}' for each in seconds)}"


def separated(texts: Iterable[str] | None, known: Collection[str] = ()) -> tuple[str, ...]:
    """Return the models or haystacks of an option that is repeated or has several, separated by commas.

    Args:
        texts: what the user typed, one for each time.
        known: names that may have commas of their own; so may a path that exists, or that of a FILE.py:NAME.
    """

    def is_one(text: str) -> bool:
        if "," not in text or text.partition("@")[0] in known:
            return True
        paths = (text, text.rpartition(":")[0])
        return any("," in path and os.path.exists(path) for path in paths)  # noqa: PTH110 - never raises

    values: list[str] = []
    for text in texts or ():
        parts = [text] if is_one(text) else [part.strip() for part in text.split(",")]
        values += list(filter(None, parts)) or [text]
    return tuple(values)


def separated_models(texts: Iterable[str] | None, *runs: Path | None) -> tuple[str, ...]:
    """Return the models of runs that are meant, NAME or NAME@SHA256; a name that stands in a run.json is whole."""
    from niah.records.run_json import read_run_json

    typed = list(texts or ())
    if not any("," in text for text in typed):
        return tuple(typed)
    files = [run / "run.json" for run in runs if run is not None]
    stored = [read_run_json(file).get("models", {}) for file in files if file.is_file()]
    return separated(typed, [name for models in stored for name in models])


def numbers(text: str, option: str) -> tuple[float, ...]:
    """Return the numbers of a comma-separated list.

    Raises:
        NiahError: a part is no number; names the option.
    """
    return listed(text, float, option)


SEVERAL = "several by commas, or repeat"
BABBLE_HELP = (
    "Source of babble: a file (repeated as it is) or a folder of voices (30 are mixed). "
    "[default: synthetic talkers]"
)
NEEDLES_HELP = (
    "Labelled clips: 'synthetic' (embedded), an AST/DASS .json, a .csv or .jsonl (path,labels; Google segments; "
    "ESC-50's), .parquet or tar shards, an .arrow manifest, annotated events (Raven, Audacity, DCASE), a folder a "
    "class or with metadata.csv, or the folder of ESC-50, FSD50K or AudioSet parquet. Columns "
    "filter: 'meta.csv?fold=4'. Or a set of the Hugging Face hub: hf:OWNER/NAME[@REVISION][:CONFIG][/SPLIT]."
)
NEEDLES_DEFAULT = (
    "[default: by the model's labels: synthetic, or 200 clips of hf:mteb/audioset for AudioSet's]"
)
MODEL_HELP = (
    "Model name, card.toml, FILE.py:NAME, hf:OWNER/NAME[@REVISION] or a transformers folder"
)
OWN_LABELS_HELP = (
    "Classes of a model without a card: audioset-527, esc-50, synthetic, .., a CSV, or 'model'."
)
LABELS_HELP = (
    "Classes of a model without a card, and the only ones that count in the run: audioset-527, esc-50, synthetic, .., "
    "a CSV, or 'model' for its own. [default: those that all models score]"
)
PROMPT_HELP = (
    "Text models (CLAP): the prompt around a class's name. [default: 'this is a sound of {}']"
)
TRUST_HELP = "Run the Python files of a hub's repository; recorded in every row."
SAMPLE_RATE_HELP = "Rate in Hz at which a function of waveforms takes them."
FALSE_ALARMS_HELP = (
    "Recall at these rates of false alarms, an hour and class, comma-separated (0.1,1,10), with thresholds from scenes "
    "without a needle. [default: not computed]"
)
PROTOCOL_HELP = (
    "niah-v2 (its current version, niah-v2.1) or dass-v1 (the paper's released harness)."
)
