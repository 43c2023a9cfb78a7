"""Distractors: other clips of a needle's set, of classes that are near but not its own.

A distractor shares no label with the needle. Among those clips the nearest come first: distance of two clips = least
|i - j| over the indices i, j of their labels in the vocabulary. AudioSet's list follows its ontology from top to
bottom and ESC-50's its five groups, so neighbours there are mostly related sounds; where a vocabulary has no such order
the distance means nothing, and distractors are simply other clips. Ties are drawn by seed and clip id. A
distractor may have labels that its set leaves out (a parent class that nobody ticked).
"""

from collections.abc import Sequence

import numpy as np

from niah.errors import NiahError
from niah.needles import NeedleSet
from niah.randomness import keyed_generator


class Distractors:
    """Choose distractors for each clip of a set; the same for every model, front end, haystack and length."""

    def __init__(self, needles: NeedleSet, seed: int) -> None:
        self.needles = needles.needles
        self.seed = seed
        self._classes = len(needles.vocabulary)
        indices = [[needles.vocabulary.index(label) for label in n.labels] for n in self.needles]
        self._flat = np.concatenate([np.array(each, dtype=np.int64) for each in indices])
        self._first = np.cumsum([0, *(len(each) for each in indices[:-1])])
        self._indices = indices

    def of(self, index: int, count: int) -> Sequence[int]:
        """Return the indices of `count` distractors for the clip `index`, the nearest first.

        Args:
            index: place of the clip in the set.
            count: number of distractors.

        Raises:
            NiahError: the set has too few clips that share no label with it.
        """
        classes = np.arange(self._classes)
        nearest = np.abs(classes[:, None] - np.array(self._indices[index])[None]).min(axis=1)
        distance = np.minimum.reduceat(nearest[self._flat], self._first)  # (clips,)
        clip_id = self.needles[index].id
        ties = keyed_generator("niah-distractors-1", self.seed, clip_id).random(len(distance))
        order = np.lexsort((ties, distance))
        chosen = order[distance[order] > 0][:count]
        if len(chosen) < count:
            raise NiahError(
                f"--distractors {count}: only {len(chosen)} clips share no label with {clip_id}; use more clips"
            )
        return [int(each) for each in chosen]

    def labels(self, index: int, count: int) -> tuple[str, ...]:
        """Return the labels of a clip's distractors, each once.

        Args:
            index: place of the clip in the set.
            count: number of distractors.
        """
        labels = (label for i in self.of(index, count) for label in self.needles[i].labels)
        return tuple(dict.fromkeys(labels))
