"""The needles of a run that names none: those of the models' vocabulary."""

from niah.errors import NiahError
from niah.vocabularies import Vocabulary, vocabulary

EMBEDDED = "synthetic"
AUDIOSET_EVALUATION = "hf:mteb/audioset@168a7e681ee40609129535d49855c7e3e77e5efa"
"""A sample of AudioSet's evaluation clips on the Hugging Face hub, as MAEB pins it."""
EMBEDDED_LIMIT = 100
HUB_LIMIT = 200  # a set of the hub may have terabytes
WHAT_TO_GIVE = (
    "Give clips of your own by --needles FILE (.csv, .json, .parquet or a folder), or --checkpoint random "
    "(speed and memory only)"
)


def default_limit(spec: str) -> int | None:
    """Return the number of clips of a set where the user names none; None: all."""
    if spec == EMBEDDED:
        return EMBEDDED_LIMIT
    return HUB_LIMIT if spec.startswith("hf:") else None


def how_to_fetch(spec: str) -> str:
    """Return the command that fetches a set of the hub into its cache, for a machine without a network."""
    repository, _, revision = spec.removeprefix("hf:").partition("@")
    return f"`hf download {repository} --repo-type dataset --revision {revision}`"


def default_needles(labels: Vocabulary, *, random: bool = False) -> str:
    """Return the needle spec that fits a vocabulary.

    Args:
        labels: the classes that the models score.
        random: whether all weights are random, so that labels do not matter.

    Raises:
        NiahError: there are no public clips with such labels.
    """
    if random or labels.ids == vocabulary("synthetic").ids:
        return EMBEDDED
    if set(labels.ids) <= set(vocabulary("audioset-527").ids):
        return AUDIOSET_EVALUATION
    esc50 = set(vocabulary("esc-50").ids)
    hint = (
        " ESC-50 is a folder of its authors, or hf:ashraq/esc50."
        if set(labels.ids) <= esc50
        else ""
    )
    raise NiahError(
        f"there are no default needles with the labels '{labels.name}'.{hint} {WHAT_TO_GIVE}"
    )
