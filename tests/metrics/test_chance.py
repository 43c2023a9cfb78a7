"""The warning that few clips raise macro mAP: positives are told from chance exactly."""

import numpy as np
import pytest

from niah.metrics.average_precision import average_precision, chance_mAP
from niah.metrics.chance import (
    ONE_RECORDING,
    chance_excess,
    few_clips_warning,
    mean_positives,
    one_recording_warning,
)
from niah.records import cell_table as cells
from tests.helpers import examples


@pytest.mark.parametrize("clips", [2, 24, 80, 5000])
def test_positives_come_back_from_chance(clips: int) -> None:
    targets = np.random.default_rng(clips).random((clips, 12)) < np.linspace(0.01, 0.5, 12)
    targets[0] = True
    expected = targets.sum(axis=0).mean()
    assert mean_positives(chance_mAP(targets), clips) == pytest.approx(expected, rel=1e-9)
    assert chance_excess(chance_mAP(targets), clips) == pytest.approx(
        chance_mAP(targets) - expected / clips, rel=1e-9
    )


def test_excess_is_what_many_clips_take_away() -> None:
    """Random scores of 40 clips against 4000 with the same share of positives."""
    few, many = (np.arange(n)[:, None] % 10 == np.arange(10) for n in (40, 4000))
    random = np.random.default_rng(0)
    measured = [
        np.mean([average_precision(t, random.random(t.shape)).mean() for _ in range(count)])
        for t, count in ((few, 400), (many, 10))
    ]
    assert measured[0] - measured[1] == pytest.approx(chance_excess(chance_mAP(few), 40), abs=0.006)


def test_scores_of_one_recording_are_said_to_have_no_interval() -> None:
    scored = {"mAP": 0.5, "mAP_lo": None}
    assert one_recording_warning([scored, {"mAP": None, "mAP_lo": None}]) == ONE_RECORDING
    assert one_recording_warning([scored, {"mAP": 0.5, "mAP_lo": 0.4}]) is None
    assert one_recording_warning([]) is None


def test_warned_with_few_and_not_with_many() -> None:
    def told(clips: int) -> str | None:
        targets = np.arange(clips)[:, None] % 10 == np.arange(10)
        return few_clips_warning(
            cells.table([examples.row(n_clips=clips, mAP=0.5, chance_mAP=chance_mAP(targets))])
        )

    warning = told(80)
    assert warning is not None
    assert "80, with 8.0 positives a class" in warning
    assert "would get 0.100" in warning
    assert told(5000) is None
    assert few_clips_warning(cells.table([examples.row()])) is None


def test_clips_that_all_have_every_class_are_warned_of() -> None:
    """A detector of one class: clips without it have no label, are left out, and any scores get 1."""
    row = examples.row(n_clips=6, mAP=1.0, chance_mAP=chance_mAP(np.ones((6, 1), bool)))
    warning = few_clips_warning(cells.table([row]))
    assert warning is not None
    assert warning.startswith("Every clip has all classes that are scored")
