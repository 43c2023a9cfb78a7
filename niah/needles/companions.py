"""Companions: other clips of a needle's set in one scene with it, all different: no two share a label.

They are drawn by seed and clip id, so that the companions of 2 needles are among those of 5. Where a random order has
too few clips without a common label, those with the fewest labels come first. The order in time is drawn too: each
clip's own place is as often the first as the last.
"""

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError
from niah.needles import NeedleSet
from niah.randomness import keyed_generator


class Companions:
    """Choose companions for each clip of a set; the same for every model, front end, haystack and length."""

    def __init__(self, needles: NeedleSet, seed: int) -> None:
        self.needles = needles.needles
        self.seed = seed
        self._labels = [frozenset(needle.labels) for needle in self.needles]

    def of(self, index: int, count: int) -> list[int]:
        """Return the indices of a scene's clips, the clip `index` among them, in time order.

        Args:
            index: place of the clip in the set.
            count: number of different clips, its own included.

        Raises:
            NiahError: the set has too few clips without a common label.
        """
        clip_id = self.needles[index].id
        drawn = keyed_generator("niah-companions-1", self.seed, clip_id).random(len(self.needles))
        order = np.argsort(drawn, kind="stable")
        chosen = self._different(index, count, order)
        if len(chosen) < count:
            sizes = np.array([len(labels) for labels in self._labels])
            chosen = self._different(index, count, np.lexsort((drawn, sizes)))
        if len(chosen) < count:
            raise NiahError(
                f"--needles-per-scene {count}: {clip_id} has only {len(chosen) - 1} companions of which no two share a "
                "label; use more clips"
            )
        place = own_place(self.seed, clip_id, count)
        others = chosen[1:]
        return [*others[:place], index, *others[place:]]

    def labels(self, index: int, count: int) -> tuple[str, ...]:
        """Return the labels of a clip's companions, each once.

        Args:
            index: place of the clip in the set.
            count: number of different clips, its own included.
        """
        others = (self.needles[i].labels for i in self.of(index, count) if i != index)
        return tuple(label for labels in others for label in labels)

    def _different(self, index: int, count: int, order: NDArray[np.intp]) -> list[int]:
        chosen, labels = [index], set(self._labels[index])
        for each in map(int, order):
            if len(chosen) == count:
                break
            if not labels & self._labels[each]:
                chosen.append(each)
                labels |= self._labels[each]
        return chosen


def own_place(seed: int, clip_id: str, count: int) -> int:
    """Return the place in time, 0 to count - 1, of a clip among its companions.

    Args:
        seed: of the run.
        clip_id: of the clip.
        count: number of different clips in the scene.
    """
    return int(keyed_generator("niah-companions-place-1", seed, clip_id).integers(count))
