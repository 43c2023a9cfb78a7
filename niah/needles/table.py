"""Needles in columns: millions of clips as Arrow text and sparse labels, each a `Needle` only while it is looked at.

Two million clips as objects take 1.9 GiB; in columns about 0.1 GiB, of which paths stay in the file they are mapped
from.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from niah.needles.needle import Needle, Source
from niah.vocabularies import Vocabulary

_AT_ONCE = 10_000  # rows that are text of Python's at a time


class Sources(Protocol):
    """The sounds of all rows, each made when it is asked for."""

    def __getitem__(self, row: int, /) -> Source: ...


@dataclass(frozen=True, eq=False)
class NeedleTable(Sequence[Needle]):
    """Clips in columns.

    Attributes:
        vocabulary: classes of the labels.
        ids: Arrow text (rows,), unique.
        groups: Arrow text (rows,), the recording of each clip; null where it is unknown, as is "".
        starts: (rows + 1,) int64; row i carries the classes `classes[starts[i] : starts[i + 1]]`.
        classes: (labels,) int32, indices in the vocabulary, in the order in which a clip carries them.
        sources: the rows' sounds.
        order: (clips,) int32, the rows that are clips of the set, in its order.
    """

    vocabulary: Vocabulary
    ids: Any
    groups: Any
    starts: NDArray[np.int64]
    classes: NDArray[np.int32]
    sources: Sources
    order: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.order)

    @overload
    def __getitem__(self, index: int) -> Needle: ...

    @overload
    def __getitem__(self, index: slice) -> "NeedleTable": ...

    def __getitem__(self, index: int | slice) -> "Needle | NeedleTable":
        if isinstance(index, slice):
            return replace(self, order=self.order[index])
        row = int(self.order[index])
        return self._needle(row, self.ids[row].as_py(), self.groups[row].as_py())

    def __iter__(self) -> Iterator[Needle]:
        for first in range(0, len(self), _AT_ONCE):
            rows = self.order[first : first + _AT_ONCE]
            columns = self._text(self.ids, rows), self._text(self.groups, rows)
            yield from map(self._needle, rows.tolist(), *columns)

    def take(self, clips: NDArray[np.integer[Any]]) -> "NeedleTable":
        """Return some of the clips, by their places in the set's order."""
        return replace(self, order=self.order[clips])

    def iterate_ids(self) -> Iterator[str]:
        """Iterate over the clips' ids in the set's order."""
        for first in range(0, len(self), _AT_ONCE):
            yield from self._text(self.ids, self.order[first : first + _AT_ONCE])

    def sparse_labels(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return the labels in the set's order as compressed sparse rows.

        Returns:
            (clips + 1,) starts and (labels,) classes.
        """
        return taken_rows(self.starts, self.classes, self.order)

    def _needle(self, row: int, id_: str, group: str | None) -> Needle:
        classes = self.classes[self.starts[row] : self.starts[row + 1]].tolist()
        labels = tuple(self.vocabulary.ids[each] for each in classes)
        return Needle(id_, labels, self.sources[row], group or "")

    def _text(self, column: Any, rows: NDArray[np.int32]) -> list[Any]:
        texts: list[Any] = column.take(rows).to_pylist()
        return texts


def taken_rows(
    starts: NDArray[np.int64], classes: NDArray[np.int32], rows: NDArray[np.integer[Any]]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return some rows of compressed sparse rows, in the order of `rows`, which may repeat.

    Args:
        starts: (all rows + 1,).
        classes: (labels,).
        rows: (n,) places in `starts`.

    Returns:
        (n + 1,) starts and (labels of the rows,) classes.
    """
    if len(rows) == len(starts) - 1 and (rows == np.arange(len(rows))).all():
        return starts, classes
    counts = np.diff(starts)[rows]
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    places = np.arange(ends[-1]) + np.repeat(starts[rows] - ends[:-1], counts)
    return ends, classes[places]


def each_once(
    starts: NDArray[np.int64], classes: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return compressed sparse rows without the classes that a row repeats.

    Args:
        starts: (rows + 1,).
        classes: (labels,).
    """
    row = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    keys = row * (1 + int(classes.max(initial=0))) + classes
    in_order = np.sort(keys, kind="stable")  # nearly sorted as they are
    if not (in_order[1:] == in_order[:-1]).any():
        return starts, classes
    _, places = np.unique(keys, return_index=True)
    places.sort()
    counts = np.bincount(row[places], minlength=len(starts) - 1)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), classes[places]
