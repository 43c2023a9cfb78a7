r"""A variant's score and its share of the 10 s score, as means over seeds, with intervals of clips and of training.

    half^2 = (z SE_clips)^2 + t^2 SD_seeds^2 / seeds         z = 1.96, t Student's with seeds - 1 degrees of freedom

SE_clips is the standard error of the mean over seeds under the bootstrap over clips (`niah.metrics`: all seeds and
variants on the same draws, so differences are paired). Three seeds estimate SD_seeds roughly,
which t accounts for (4.30).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import hypot, sqrt
from typing import Any

import numpy as np
from runs import LENGTHS
from variants import VARIANTS, Variant

from niah.metrics.resampling import Resampled, paired, resample
from niah.records.run_directory import RunDirectory
from niah.records.schema import BASE_LENGTH_S
from niah.tables.curves import points

Z = 1.96
T = {2: 4.303, 4: 2.776}  # Student's 97.5 % point by degrees of freedom


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds."""

    of_clips: Resampled  # the mean over seeds, by clips drawn
    seeds: tuple[float, ...]

    @property
    def value(self) -> float:
        """The mean itself."""
        return self.of_clips.estimate

    @property
    def half(self) -> float:
        """Half the 95 % interval."""
        return _half(self.of_clips, (self.seeds,))


@dataclass(frozen=True)
class Scored:
    """A variant at a length."""

    variant: Variant
    length_s: float
    score: Estimate  # mAP
    share: Estimate  # mAP / mAP at 10 s


def difference(one: Estimate, other: Estimate) -> tuple[float, float]:
    """Return other - one and half its interval: clips paired, seeds not (they share nothing but a number)."""
    clips = paired(lambda a, b: b - a, one.of_clips, other.of_clips)
    return clips.estimate, _half(clips, (one.seeds, other.seeds))


def score(run: RunDirectory) -> tuple[list[Scored], float]:
    """Return every variant at every length, and the mAP of guessing.

    Raises:
        KeyError: a cell of a run is missing: a mean over fewer seeds is another number.
    """
    cells = {
        (str(point["model"]), float(point["length_s"])): point
        for point in points(run.cells())
        if point["status"] == "ok"
    }
    scored = []
    for variant in VARIANTS:
        base = _resampled(run, [cells[name, BASE_LENGTH_S] for name in variant.runs])
        for length in map(float, LENGTHS):
            own = _resampled(run, [cells[name, length] for name in variant.runs])
            shares = [paired(_share, *pair) for pair in zip(own, base, strict=True)]
            scored.append(Scored(variant, length, _mean(own), _mean(shares)))
    (chance,) = {float(point["chance_mAP"]) for point in cells.values()}
    return scored, chance


def _resampled(run: RunDirectory, cells: Sequence[Any]) -> list[Resampled]:
    stored = [run.read_scores(cell["cell"]) for cell in cells]
    return resample(stored[0].targets, [each.logits for each in stored])


def _share(own: Any, base: Any) -> Any:
    return own / base


def _mean(each: Sequence[Resampled]) -> Estimate:
    mean: Callable[..., Any] = lambda *values: sum(values) / len(values)  # noqa: E731
    return Estimate(paired(mean, *each), tuple(one.estimate for one in each))


def _half(clips: Resampled, groups: Sequence[Sequence[float]]) -> float:
    """Half the 95 % interval; `groups` of seeds, equal in number, enter with one variance."""
    variance = float(np.mean([np.var(seeds, ddof=1) for seeds in groups]))
    t = T[sum(len(seeds) - 1 for seeds in groups)]
    return hypot(Z * clips.standard_error, t * sqrt(variance * len(groups) / len(groups[0])))
