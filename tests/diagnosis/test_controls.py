"""The needle-free control: planted behaviours over length, from stored scores."""

from pathlib import Path

import numpy as np
import pytest

from niah.diagnosis.controls.table import HEADER, _texts, control_tables, needle_free_control
from niah.errors import NiahError
from niah.metrics.average_precision import Float64
from niah.records.run_directory import RunDirectory
from niah.records.schema import Row, cell_key
from niah.records.scores import ClipScores
from tests.helpers import examples

BASE = "ba5e" * 5


def free(run: RunDirectory, name: str, logits: Float64) -> ClipScores:
    """Needle-free scores, written and read back as a run stores them."""
    ids = [f"scene{i}" for i in range(len(logits))]
    cell = cell_key({"name": name})
    run.write_scores(cell, ids, [()] * len(ids), logits, classes=examples.CLASSES)
    return run.read_scores(cell)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as made:
        examples.add(made, 6.0, cell=BASE)
    return RunDirectory(tmp_path / "run")


def test_scores_that_rise_with_length_are_found(run: RunDirectory) -> None:
    """One class says more the longer the scene is; all others stay silent."""
    rising = np.arange(6) == 2
    by_length = {
        length_s: free(run, f"free{length_s:g}", np.full((20, 6), -6.0) + shift * rising)
        for length_s, shift in ((600.0, 12.0), (60.0, 0.0))
    }
    short, long = needle_free_control(run.read_scores(BASE), by_length)
    assert (short.length_s, long.length_s) == (60.0, 600.0)
    assert short.alarms.mean_share == 0.0
    assert short.any_alarm == 0.0
    np.testing.assert_allclose(long.drift, 12 * rising, atol=0.2)
    assert long.any_alarm == 1.0
    assert long.alarms.worst(examples.CLASSES) == [("c2", 1.0)]
    assert long.alarms.mean_share == pytest.approx(1 / 6)  # one class of six
    assert dict(zip(HEADER, _texts(long), strict=True)) == {
        "length": "600 s",
        "scenes": "20",
        "alarms a scene": "0.167",
        "scenes with one": "100 %",
        "drift": "+2.00",
        "most alarms": "c2 (100 %)",
    }


def test_the_same_alarms_in_longer_scenes_are_no_improvement(run: RunDirectory) -> None:
    """A class is named in every scene, whatever its length: the table must not fall with length."""
    always = np.full((20, 6), -6.0) + 12.0 * (np.arange(6) == 2)
    by_length = {length_s: free(run, f"free{length_s:g}", always) for length_s in (60.0, 600.0)}
    short, long = needle_free_control(run.read_scores(BASE), by_length)
    assert short.alarms.mean_share == long.alarms.mean_share == 1 / 6
    assert _texts(short)[1:] == _texts(long)[1:]


def test_a_constant_haystack_is_one_scene(run: RunDirectory) -> None:
    said = {60.0: free(run, "one", np.full((20, 6), -6.0))}
    (found,) = needle_free_control(run.read_scores(BASE), said, is_constant=True)
    assert _texts(found)[1] == "1"


def test_rows_of_two_weights_are_told_apart(tmp_path: Path) -> None:
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as made:
        for sha in "ab":
            weights: Row = {"checkpoint_sha256": sha * 64}
            examples.add(made, 6.0, haystack="none", position=None, **weights)
            scene: Row = {"haystack": "gaussian", "snr_db": 10.0, "length_s": 60.0}
            examples.add(made, 0.0, **scene, **weights, position=None, control="needle-free")
            examples.add(made, 0.0, **scene, **weights, control="sham")
    both = RunDirectory(tmp_path / "run")
    for table in control_tables(both, both.cells()):
        assert [row[0] for row in table.rows] == [
            f"dass-nano ({sha * 8}) in gaussian, 10 dB" for sha in "ab"
        ]


def test_what_the_haystack_contains_is_no_false_alarm(run: RunDirectory) -> None:
    said = free(run, "free", np.full((5, 6), -6.0) + 12 * (np.arange(6) == 2))
    (found,) = needle_free_control(run.read_scores(BASE), {60.0: said}, labels=["c2"])
    assert found.any_alarm == 0.0
    assert found.alarms.mean_share == 0.0
    assert np.isnan(found.alarms.share[2])


def test_other_classes_and_nothing_are_refused(run: RunDirectory) -> None:
    base = run.read_scores(BASE)
    with pytest.raises(NiahError, match="needle-free"):
        needle_free_control(base, {})
    other = ClipScores(base.ids, base.labels, base.classes[::-1], base.logits)
    with pytest.raises(NiahError, match="classes"):
        needle_free_control(base, {60.0: other})
