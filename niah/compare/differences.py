"""Scores of two systems on the same clips, resampled together: the basis of a difference of mAP."""

from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from niah.compare.stored_run import StoredRun
from niah.errors import NiahError
from niah.metrics.resampling import Resampled, paired, resample
from niah.records.naming import Point
from niah.records.scores import ClipScores


@dataclass(frozen=True)
class PairedScores:
    """Two score sets of the same clips, in the same order of clips and classes.

    `targets` (n, c) bool; `a` and `b` (n, c) float32; `groups` (n,): the recording of each clip, drawn as a whole;
    `excluded` (n, c) bool: other events of natural crops, which do not count.
    """

    targets: NDArray[np.bool_]
    a: NDArray[np.float32]
    b: NDArray[np.float32]
    groups: tuple[str, ...]
    excluded: NDArray[np.bool_] | None = None

    def maps(self) -> tuple[Resampled, Resampled]:
        """Return the mAP of both, resampled alike."""
        a, b = resample(self.targets, [self.a, self.b], groups=self.groups, excluded=self.excluded)
        return a, b


def paired_scores(a: StoredRun, point_a: Point, b: StoredRun, point_b: Point) -> PairedScores:
    """Read the scores of a cell in two runs; the second's clips and classes are put in the first's order.

    Args:
        a: the first run.
        point_a: its cell.
        b: the second run.
        point_b: its cell.

    Returns:
        Both score sets.

    Raises:
        NiahError: scores are missing or damaged, or of other clips, labels or classes.
    """
    one, other = _read(a, point_a), _read(b, point_b)
    rows, columns = _order(one.ids, other.ids), _order(one.classes, other.classes)
    if rows is None or columns is None or not _same_labels(one, other, rows):
        raise NiahError(
            f"cell {point_a['cell']} in {a.path} and {point_b['cell']} in {b.path} are of different clips, "
            "labels or classes: they cannot be compared"
        )
    excluded = one.excluded if one.excluded.any() else None
    return PairedScores(
        one.targets, one.ranked, other.ranked[rows][:, columns], one.groups, excluded
    )


def difference(a: Resampled, b: Resampled) -> Resampled:
    """Return a - b on the same draws."""
    return paired(lambda x, y: x - y, a, b)


def one_sided_p(delta: Resampled) -> float:
    """Return the p-value of "the difference is not below 0": Phi(estimate / SE)."""
    p = delta.p_value()
    if np.isnan(p):
        return nan
    return p / 2 if delta.estimate < 0 else 1 - p / 2


def _read(run: StoredRun, point: Point) -> ClipScores:
    if run.directory is None or not run.has_scores(point):
        raise NiahError(
            run.lost
            or f"the scores of cell {point['cell']} are not stored in {run.path}: a paired comparison needs them"
        )
    return run.directory.read_scores(point["cell"])


def _order(first: tuple[str, ...], second: tuple[str, ...]) -> NDArray[np.intp] | None:
    """Return the index in `second` of each name of `first`; None when the names differ."""
    if sorted(first) != sorted(second):
        return None
    if first == second:
        return np.arange(len(first))
    ours, theirs = (np.array(_argsort(each), dtype=np.intp) for each in (first, second))
    order = np.empty(len(first), dtype=np.intp)
    order[ours] = theirs
    return order


def _argsort(names: tuple[str, ...]) -> list[int]:
    return sorted(range(len(names)), key=names.__getitem__)


def _same_labels(one: ClipScores, other: ClipScores, rows: NDArray[np.intp]) -> bool:
    return all(
        sorted(labels) == sorted(other.labels[row])
        for labels, row in zip(one.labels, rows, strict=True)
    )
