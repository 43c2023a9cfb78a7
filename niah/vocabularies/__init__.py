"""Label vocabularies: which classes a network scores, in its order.

A vocabulary is a CSV with the header `index,mid,display_name` (AudioSet's
`class_labels_indices.csv`). Those in `niah/vocabularies/` hold facts only: the 527 AudioSet classes
(Gemmeke et al. 2017), ESC-50 in target order and the ten of ESC-10 (Piczak 2015), and ESC-50's
categories in AudioSet's labels.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError, nearest

HEADER = ("index", "mid", "display_name")
NAMES = ("audioset-527", "esc-50", "esc-10", "synthetic")
_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Vocabulary:
    """Classes in the order of the network's outputs.

    `ids` are what label files carry (AudioSet: MIDs such as /m/09x0r), `names` what people read.
    """

    name: str
    ids: tuple[str, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _indices(self) -> dict[str, int]:
        return {id_: i for i, id_ in enumerate(self.ids)}

    def __contains__(self, id_: str) -> bool:
        return id_ in self._indices

    def index(self, id_: str) -> int:
        """Return the output index of a label id.

        Raises:
            NiahError: there is none; the message has the nearest ids and names.
        """
        try:
            return self._indices[id_]
        except KeyError:
            message = f"label '{id_}' is not in vocabulary '{self.name}'.{self._guess(id_)}"
            raise NiahError(message) from None

    def _guess(self, id_: str) -> str:
        """Guess by display name first: nobody misspells a MID, many write a name for one."""
        by_name = dict(zip(self.names, self.ids, strict=True))
        if id_ in by_name:
            return f" '{id_}' is the display name of '{by_name[id_]}': give that id."
        guess = nearest(id_, [*self.ids, *self.names])
        return guess if guess.startswith(" Did") or len(self) <= 50 else ""

    def targets(self, label_sets: Iterable[Sequence[str]]) -> NDArray[np.bool_]:
        """One row a clip, (n, classes) bool: true where the clip carries the label."""
        rows = [[self.index(label) for label in labels] for labels in label_sets]
        out = np.zeros((len(rows), len(self)), dtype=np.bool_)
        for i, row in enumerate(rows):
            out[i, row] = True
        return out


def vocabulary(name_or_csv: str | Path) -> Vocabulary:
    """Load a vocabulary by name (`NAMES`) or from a CSV `index,mid,display_name`.

    Raises:
        NiahError: unknown name, a missing file, another header, indices that are not 0, 1, 2, ... or a repeated id;
            file and line are named.
    """
    name = str(name_or_csv)
    if name in NAMES:
        return _shipped(name)
    if isinstance(name_or_csv, str) and not name.endswith(".csv"):
        raise NiahError(
            f"vocabulary '{name}' is unknown.{nearest(name, NAMES)} A CSV path works too."
        )
    return _read(Path(name_or_csv), Path(name_or_csv).stem)


@cache
def _shipped(name: str) -> Vocabulary:
    return _read(_FOLDER / f"{name}.csv", name)


def _read(path: Path, name: str) -> Vocabulary:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file, skipinitialspace=True))
    except OSError as error:
        raise NiahError(f"vocabulary {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise NiahError(f"vocabulary {path}: is not a CSV of text ({error})") from error
    if not rows or tuple(cell.strip() for cell in rows[0]) != HEADER:
        raise NiahError(f"vocabulary {path}: the first line must be '{','.join(HEADER)}'")
    ids: dict[str, str] = {}
    for line, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        if len(row) != len(HEADER) or row[0].strip() != str(len(ids)):
            raise NiahError(
                f"vocabulary {path}: line {line} must be '{len(ids)},<mid>,<display name>'"
            )
        if row[1] in ids:
            raise NiahError(f"vocabulary {path}: line {line} repeats the id '{row[1]}'")
        ids[row[1]] = row[2]
    if not ids:
        raise NiahError(f"vocabulary {path}: has no classes")
    return Vocabulary(name, tuple(ids), tuple(ids.values()))


@dataclass(frozen=True)
class AudioSetMatch:
    """AudioSet labels of an ESC-50 category.

    `match` is exact, broader (the AudioSet class covers other sounds too) or none; `also_true` are
    further labels true by definition (a sub-sound that the category states, and ancestors in the
    ontology).
    """

    match: str
    mid: str
    also_true: tuple[str, ...]

    def labels(self, *, broader: bool = False) -> tuple[str, ...]:
        """MIDs of a clip of this category; none for an inexact match unless `broader`."""
        if self.match == "none" or (self.match == "broader" and not broader):
            return ()
        return (self.mid, *self.also_true)


@cache
def esc50_to_audioset() -> Mapping[str, AudioSetMatch]:
    """The 50 categories of ESC-50 in AudioSet's labels: 43 exact, 5 broader, 2 none."""
    with (_FOLDER / "esc-50-to-audioset.csv").open(newline="", encoding="utf-8") as file:
        return {
            row["category"]: AudioSetMatch(
                row["match"], row["mid"], tuple(filter(None, row["also_true_mids"].split(";")))
            )
            for row in csv.DictReader(file)
        }
