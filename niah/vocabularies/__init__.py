"""Label vocabularies: which classes a network scores, in its order.

A vocabulary is a CSV with the header `index,mid,display_name` (AudioSet's `class_labels_indices.csv`), a table with one
of its columns, or a text file of one label a line. Those in `niah/vocabularies/` hold facts only: the 527 AudioSet
classes (Gemmeke et al. 2017), the 521 of them that YAMNet scores, ESC-50 in target order and the ten of ESC-10 (Piczak
2015), and ESC-50's categories in AudioSet's labels.
"""

import csv
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError, nearest
from niah.system.text_files import read_text
from niah.system.text_tables import TextTable, read_table

HEADER = ("index", "mid", "display_name")
COLUMNS = (
    "mid",
    "display_name",
    "label",
    "name",
)  # the first that a table has is the id, the second the name
SUFFIXES = (".csv", ".tsv", ".txt")
NAMES = ("audioset-527", "yamnet-521", "esc-50", "esc-10", "synthetic")
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

    @cached_property
    def _composed(self) -> dict[str, str]:
        named = {unicodedata.normalize("NFC", n): id_ for n, id_ in self._ids_by_name.items()}
        return {**named, **{unicodedata.normalize("NFC", id_): id_ for id_ in self.ids}}

    @cached_property
    def _ids_by_name(self) -> dict[str, str]:
        counts = Counter(self.names)
        pairs = zip(self.names, self.ids, strict=True)
        return {name: id_ for name, id_ in pairs if counts[name] == 1}

    def id_of(self, label: str) -> str | None:
        """Return the id of a label that is an id, or a display name that only one class has; None if it is neither.

        Letters with accents may be written in one sign or in two, as macOS does: Unicode calls both the same text.
        """
        id_ = label if label in self._indices else self._ids_by_name.get(label)
        if id_ is None and not label.isascii():
            return self._composed.get(unicodedata.normalize("NFC", label))
        return id_

    def problem(self, label: str) -> str:
        """Say that a label is not in the vocabulary, with the nearest ids and names."""
        return f"label '{label}' is not in vocabulary '{self.name}'.{self._guess(label)}"

    def index(self, id_: str) -> int:
        """Return the output index of a label id.

        Raises:
            NiahError: there is none; the message has the nearest ids and names.
        """
        try:
            return self._indices[id_]
        except KeyError:
            raise NiahError(self.problem(id_)) from None

    def _guess(self, id_: str) -> str:
        """Guess by display name first: nobody misspells a MID, many write a name for one."""
        by_name = dict(zip(self.names, self.ids, strict=True))
        if id_ in by_name:
            return f" '{id_}' is the display name of '{by_name[id_]}': give that id."
        guess = nearest(id_, {*self.ids, *self.names})
        return guess if guess.startswith(" Did") or len(self) <= 50 else ""

    def targets(self, label_sets: Iterable[Sequence[str]]) -> NDArray[np.bool_]:
        """One row a clip, (n, classes) bool: true where the clip carries the label."""
        rows = [[self.index(label) for label in labels] for labels in label_sets]
        out = np.zeros((len(rows), len(self)), dtype=np.bool_)
        for i, row in enumerate(rows):
            out[i, row] = True
        return out


def vocabulary(name_or_csv: str | Path) -> Vocabulary:
    """Load a vocabulary by name (`NAMES`) or from a file.

    The columns `mid` (the id) and `display_name` may stand for each other, and so may `label` or `name`; `index` may be
    left out. A `.txt` file has one label a line.

    Raises:
        NiahError: unknown name, a missing file, a header without labels, indices that are not 0, 1, 2, ... or a
            repeated id; file and line are named.
    """
    name = str(name_or_csv)
    if name in NAMES:
        return _shipped(name)
    if Path(name).suffix.lower() in (".json", ".jsonl") and Path(name).is_file():
        raise NiahError(
            f"vocabulary {name}: labels are not read from JSON: write a CSV with the header {','.join(HEADER)}, or a "
            ".txt of one label a line, in the order of the outputs"
        )
    if isinstance(name_or_csv, str) and not name.lower().endswith(SUFFIXES):
        raise NiahError(
            f"vocabulary '{name}' is unknown.{nearest(name, NAMES)} A CSV path works too."
        )
    return _read(Path(name_or_csv), Path(name_or_csv).stem)


def display_name(id_: str) -> str:
    """Return the display name of a class of a shipped vocabulary ("Knock" of /m/07r4wb8); another id as it is."""
    return _display_names().get(id_, id_)


@cache
def _display_names() -> Mapping[str, str]:
    shipped = [_shipped(name) for name in NAMES]
    return {id_: name for each in shipped for id_, name in zip(each.ids, each.names, strict=True)}


@cache
def _shipped(name: str) -> Vocabulary:
    return _read(_FOLDER / f"{name}.csv", name)


def _read(path: Path, name: str) -> Vocabulary:
    try:
        classes = list(_listed(path) if path.suffix.lower() == ".txt" else _tabulated(path))
    except NiahError as error:
        raise NiahError(f"vocabulary {error}") from error
    names: dict[str, str] = {}
    for where, id_, display_name in classes:
        if not id_:
            raise NiahError(f"vocabulary {where} has no label")
        if id_ in names:
            raise NiahError(f"vocabulary {where} repeats the id '{id_}'")
        names[id_] = display_name
    if not names:
        raise NiahError(f"vocabulary {path}: has no classes")
    return Vocabulary(name, tuple(names), tuple(names.values()))


def _listed(path: Path) -> Iterator[tuple[str, str, str]]:
    """Iterate over (place, label, label) of a text file of one label a line."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if label := line.strip():
            yield f"{path}, line {number}", label, label


def _tabulated(path: Path) -> Iterator[tuple[str, str, str]]:
    """Iterate over (place, id, display name) of a table."""
    table = read_table(path)
    columns = [table.header.index(each) for each in COLUMNS if each in table.header]
    if not columns:
        raise NiahError(f"{path}: the first line must be '{','.join(HEADER)}'")
    _check_order(table)
    index = table.header.index("index") if "index" in table.header else None
    for number, row in enumerate(table.rows):
        if index is not None and row[index] != str(number):
            raise NiahError(f"{table.where(number)}: its index must be {number}")
        ids = [row[column] for column in columns]
        yield table.where(number), ids[0], ids[1] if len(ids) > 1 else ids[0]


def _check_order(table: TextTable) -> None:
    """Check that no column numbers the classes in another order than that of the rows.

    Raises:
        NiahError: one does (`target`, `id`, the row numbers of a table that was sorted later).
    """
    for column, name in enumerate(table.header):
        cells = [row[column] for row in table.rows]
        counts = [[str(first + n) for n in range(len(cells))] for first in (0, 1)]
        is_count = any(sorted(cells) == sorted(count) for count in counts)
        if name != "index" and is_count and cells not in counts:
            raise NiahError(
                f"{table.path}: column '{name}' reads like numbers of the classes, in another order than that of the "
                "rows, which is the order of the network's outputs: sort the rows by it if that is what it is, else "
                "remove the column"
            )


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
