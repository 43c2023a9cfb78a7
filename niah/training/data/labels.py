"""Labels of many clips, sparse: a clip has two or three of 527 classes, and two million dense rows are gigabytes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from niah.needles import NeedleSet
from niah.needles.table import NeedleTable
from niah.vocabularies import Vocabulary


@dataclass(frozen=True)
class SparseLabels:
    """Compressed sparse rows: clip i carries the classes `classes[starts[i] : starts[i + 1]]`.

    starts (clips + 1,) int64, classes (labels,) int32; `n_classes` is the width of a dense row.
    """

    starts: NDArray[np.int64]
    classes: NDArray[np.int32]
    n_classes: int

    @classmethod
    def from_label_sets(
        cls, label_sets: Iterable[Sequence[str]], vocabulary: Vocabulary
    ) -> "SparseLabels":
        """Build from each clip's label ids.

        Args:
            label_sets: ids of each clip's labels.
            vocabulary: gives the classes' indices.

        Raises:
            NiahError: a label that the vocabulary lacks.
        """
        starts: list[int] = [0]
        classes: list[int] = []
        for labels in label_sets:
            classes += dict.fromkeys(vocabulary.index(label) for label in labels)
            starts.append(len(classes))
        return cls(np.array(starts, np.int64), np.array(classes, np.int32), len(vocabulary))

    @classmethod
    def from_needles(cls, needles: NeedleSet) -> "SparseLabels":
        """Build from the labels of a needle set; those of a table are columns already."""
        if isinstance(needles.needles, NeedleTable):
            starts, classes = needles.needles.sparse_labels()
            return cls(starts, classes, len(needles.vocabulary))
        return cls.from_label_sets((n.labels for n in needles.needles), needles.vocabulary)

    @classmethod
    def from_dense(cls, targets: NDArray[np.float32]) -> "SparseLabels":
        """Build from (clips, classes) targets; above 0.5 is a label."""
        rows, classes = np.nonzero(targets > 0.5)
        starts = np.searchsorted(rows, np.arange(len(targets) + 1))
        return cls(starts.astype(np.int64), classes.astype(np.int32), targets.shape[1])

    def __len__(self) -> int:
        return len(self.starts) - 1

    def targets(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return (rows, classes) float32 of 0 and 1 for some of the clips."""
        out = np.zeros((len(rows), self.n_classes), np.float32)
        for row, clip in enumerate(rows):
            out[row, self.classes[self.starts[clip] : self.starts[clip + 1]]] = 1
        return out

    def clips_per_class(self) -> NDArray[np.int64]:
        """Return (classes,): in how many clips each class is."""
        return np.bincount(self.classes, minlength=self.n_classes)

    def sums(self, class_weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (clips,): the sum of a clip's class weights."""
        clip_of_label = np.repeat(np.arange(len(self)), np.diff(self.starts))
        weights = class_weights[self.classes]
        return np.bincount(clip_of_label, weights, minlength=len(self)).astype(np.float64)
