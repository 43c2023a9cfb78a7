"""The statistics of `scripts/distillation`: clips and seeds, differences of differences."""

from collections.abc import Iterator
from math import sqrt
from typing import Any

import numpy as np
import pytest
from scipy import stats

from niah.metrics.resampling import Resampled
from tests.helpers.scripts import imported


@pytest.fixture(scope="module")
def contrasts() -> Iterator[Any]:
    with imported("distillation", "contrasts", "students", "trainings") as modules:
        yield modules["contrasts"]


def seeds(values: tuple[float, ...], *clips: float) -> list[Resampled]:
    """Scores of some seeds, whose draws differ from them by `clips`."""
    spread = np.array(clips or (0.0, 0.0))
    return [Resampled(value, value + spread, value + spread) for value in values]


ONE, OTHER = (0.3, 0.4, 0.35, 0.31, 0.38, 0.36), (0.5, 0.7, 0.52, 0.61, 0.58, 0.66)


def test_without_uncertainty_of_clips_a_difference_is_welchs(contrasts: Any) -> None:
    scores = {"a": seeds(ONE), "b": seeds(OTHER)}
    own = contrasts.estimate(scores, (("b", 1), ("a", -1)))
    expected = stats.ttest_ind(OTHER, ONE, equal_var=False)
    assert own.value == pytest.approx(np.mean(OTHER) - np.mean(ONE))
    assert own.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert own.half == pytest.approx(np.diff(expected.confidence_interval())[0] / 2)


def test_clips_that_all_students_share_cancel_in_a_difference_and_not_in_a_mean(
    contrasts: Any,
) -> None:
    scores = {"a": seeds(ONE, -0.1, 0.1), "b": seeds(OTHER, -0.1, 0.1)}
    assert contrasts.estimate(scores, (("b", 1), ("a", -1))).clips_se == pytest.approx(0, abs=1e-9)
    assert contrasts.estimate(scores, (("a", 1),)).clips_se > 0.05


def test_a_difference_of_differences_has_the_errors_of_four(contrasts: Any) -> None:
    scores = {"a": seeds(ONE), "b": seeds(OTHER), "c": seeds(OTHER), "d": seeds(ONE)}
    own = contrasts.estimate(scores, (("b", 1), ("a", -1), ("c", -1), ("d", 1)))
    each = np.var(ONE, ddof=1) / 6, np.var(OTHER, ddof=1) / 6
    assert own.value == pytest.approx(0, abs=1e-12)
    assert own.standard_error == pytest.approx(sqrt(2 * sum(each)))
    assert own.freedom == pytest.approx(
        (2 * sum(each)) ** 2 / (2 * (each[0] ** 2 + each[1] ** 2) / 5)
    )


def test_contrasts_are_of_students_that_are_trained_and_sum_to_nothing(contrasts: Any) -> None:
    names = {student.name for student in contrasts.STUDENTS}
    assert len(names) == 6
    for contrast in contrasts.CONTRASTS:
        assert {name for name, _ in contrast.weights} <= names
        assert sum(weight for _, weight in contrast.weights) == 0
