"""The intervals of `scripts/nano` are the formula's: of clips, and of three seeds."""

import importlib
import sys
from collections.abc import Iterator
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from niah.metrics.resampling import Resampled

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(ROOT / "scripts" / "nano")
    yield importlib.import_module("scores")
    for name in ("scores", "runs", "variants"):
        sys.modules.pop(name, None)


def clips(*left_out: float) -> Resampled:
    """A score of which the draws and the list less a clip are told."""
    values = np.array(left_out)
    return Resampled(float(values.mean()), values, values)


def test_half_is_of_clips_and_of_three_seeds(scores: Any) -> None:
    certain = scores.Estimate(clips(0.2, 0.2), (0.1, 0.2, 0.3))
    assert certain.half == pytest.approx(4.303 * 0.1 / sqrt(3))  # t of two degrees of freedom
    of_clips = clips(0.1, 0.3)
    assert scores.Estimate(of_clips, (0.2, 0.2, 0.2)).half == pytest.approx(
        1.96 * of_clips.standard_error
    )


def test_a_difference_pairs_clips_and_not_seeds(scores: Any) -> None:
    one = scores.Estimate(clips(0.1, 0.3), (0.1, 0.2, 0.3))
    other = scores.Estimate(clips(0.2, 0.4), (0.3, 0.3, 0.3))
    delta, half = scores.difference(one, other)
    assert delta == pytest.approx(0.1)
    # the clips' part is gone: every list is 0.1 better; of seeds, variances 0.01 and 0, four degrees of freedom
    assert half == pytest.approx(2.776 * sqrt(0.005 * 2 / 3))
