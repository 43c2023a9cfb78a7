"""Parsers and help texts that several commands share."""

from collections.abc import Callable
from typing import Any

import typer


def listed(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """Make a parser of comma-separated values.

    Args:
        kind: converts one value.

    Returns:
        A function from text to a tuple; it refuses values that `kind` does.
    """

    def parse(text: str) -> tuple[Any, ...]:
        try:
            return tuple(kind(part.strip()) for part in text.split(",") if part.strip())
        except ValueError:
            raise typer.BadParameter(f"'{text}' must be numbers, separated by commas") from None

    return parse


numbers = listed(float)
counts = listed(int)
words = listed(str)

BABBLE_HELP = (
    "Source of babble: a file (repeated as it is) or a folder of voices (30 are mixed). "
    "[default: synthetic talkers]"
)
NEEDLES_HELP = (
    "Labelled clips: 'synthetic' (embedded), an AST/DASS .json, a .csv (path,labels; Google segments; ESC-50's), "
    ".parquet shards, or the folder of ESC-50, FSD50K or AudioSet parquet. Columns filter: 'meta.csv?fold=4'."
)
LABELS_HELP = "Classes of a model without a card: audioset-527, esc-50, synthetic, .., a CSV, or 'model' for its own."
SAMPLE_RATE_HELP = "Rate in Hz at which a function of waveforms takes them."
PROTOCOL_HELP = (
    "niah-v2 (its current version, niah-v2.1) or dass-v1 (the paper's released harness)."
)
