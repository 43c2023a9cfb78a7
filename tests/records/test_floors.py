"""The numbers beside a cell's mAP: its base, its noise base, its needle-free floor, and the entries that count."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from niah.metrics.average_precision import (
    average_precision,
    chance_average_precision,
    mean_average_precision,
)
from niah.records.run_directory import RunDirectory
from niah.records.schema import Value
from niah.records.scores import ClipScores
from niah.records.summarise import cell_metrics, summarise
from tests.helpers import examples


def add(run: RunDirectory, logits: Any, labels: Any = examples.LABELS, **given: Value) -> None:
    row = examples.row(**given)
    run.write_scores(str(row["cell"]), examples.IDS, labels, logits, classes=examples.CLASSES)
    run.write_rows([(row, None)])


def mAP(logits: Any) -> float:  # noqa: N802
    return mean_average_precision(
        average_precision(examples.TARGETS, np.asarray(logits, np.float32))
    )


def test_noise_base_and_needle_free_floor(tmp_path: Path) -> None:
    noise: dict[str, Any] = {"haystack": "gaussian", "snr_db": 0.0}
    free = examples.logits(0.7, seed=5)
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        add(run, examples.logits(4.0), haystack="none", position=None)
        for length_s, gain in ((20.0, 2.0), (50.0, 1.0)):
            add(run, examples.logits(gain), length_s=length_s, **noise)
            add(run, examples.logits(gain), length_s=length_s)
        nothing = [()] * examples.CLIPS
        add(run, free, nothing, length_s=50.0, control="needle-free", position=None, **noise)
        summarise(run)
        table: Any = run.cells()
        table = table[table["control"].isna()].set_index(["haystack", "length_s"])
    at_50 = table.loc[("gaussian", 50.0)]
    assert at_50["noise_base_mAP"] == pytest.approx(mAP(examples.logits(2.0)), abs=2e-3)
    assert at_50["relative_noise_base"] == at_50["mAP"] / at_50["noise_base_mAP"]
    assert at_50["needle_free_mAP"] == pytest.approx(mAP(free), abs=2e-3)
    assert table.loc[("gaussian", 20.0), "relative_noise_base"] == 1
    assert np.isnan(table.loc[("gaussian", 20.0), "needle_free_mAP"])  # not run at that length
    assert np.isnan(table.loc[("zero", 50.0), "noise_base_mAP"])  # a constant masks nothing
    base, chance = at_50["base_mAP"], at_50["chance_mAP"]
    assert at_50["adjusted"] == pytest.approx((at_50["mAP"] - chance) / (base - chance))
    assert at_50["adjusted_lo"] < at_50["adjusted"] < at_50["adjusted_hi"]
    assert table.loc[("none", 10.0), "adjusted"] == 1


def test_the_needle_alone_in_noise_is_the_noise_base(tmp_path: Path) -> None:
    noise: dict[str, Any] = {"haystack": "gaussian", "snr_db": 0.0}
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        add(run, examples.logits(4.0), haystack="none", position=None)
        add(run, examples.logits(3.0), position=None, **noise)
        for length_s, gain in ((20.0, 2.0), (50.0, 1.0)):
            add(run, examples.logits(gain), length_s=length_s, **noise)
        summarise(run)
        table: Any = run.cells().set_index(["haystack", "length_s"])
    mixed = table.loc[("gaussian", 10.0), "mAP"]
    assert mixed == pytest.approx(mAP(examples.logits(3.0)), abs=2e-3)
    assert (table.loc["gaussian", "noise_base_mAP"] == mixed).all()
    assert (table["base_mAP"] == table.loc[("none", 10.0), "mAP"]).all()


@pytest.mark.parametrize("gain", [0.0, 1.0, 4.0], ids=["guessing", "weak", "good"])
def test_unchanged_scores_with_distractors_keep_all(gain: float) -> None:
    """80 clips of one of ten classes, three distractors: masked in the cell alone, a guess "kept" 140 %."""
    classes = tuple(f"k{i}" for i in range(10))
    random = np.random.default_rng(3)
    labels = tuple((classes[i % 10],) for i in range(80))
    others = tuple(tuple(classes[(i + step) % 10] for step in (1, 2, 3)) for i in range(80))
    there = np.array([[name in own for name in classes] for own in labels])
    logits = (gain * there + random.normal(size=there.shape)).astype(np.float32)
    ids = tuple(f"clip{i}" for i in range(80))
    clips = ClipScores(ids, labels, classes, logits, others)
    found = cell_metrics(clips.targets, logits, logits, excluded=clips.excluded)
    assert found["relative"] == 1
    assert found["classes_scored"] == 10
    if gain == 0:
        assert found["auc"] == pytest.approx(0.5, abs=0.05)
        assert found["mAP"] == pytest.approx(found["chance_mAP"], abs=0.05)
    (of_56,) = chance_average_precision(
        np.array([8]), 56
    )  # 8 positives, 48 counted negatives of 72
    assert found["chance_mAP"] == pytest.approx(of_56)


def test_a_distractor_cell_has_the_base_of_its_own_entries(tmp_path: Path) -> None:
    others = [(examples.CLASSES[(i + 3) % 6],) for i in range(examples.CLIPS)]
    logits = examples.logits(1.0)
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        add(run, logits, haystack="none", position=None)
        row = examples.row(length_s=50.0, distractors=1)
        run.write_scores(
            str(row["cell"]), examples.IDS, examples.LABELS, logits, classes=examples.CLASSES,
            distractors=others,
        )  # fmt: skip
        run.write_rows([(row, None)])
        summarise(run)
        table: Any = run.cells().set_index("length_s")
    assert table.loc[50.0, "relative"] == 1
    assert table.loc[50.0, "base_mAP"] > table.loc[10.0, "mAP"]  # fewer negatives, the same scores
    assert table.loc[50.0, "chance_mAP"] > table.loc[10.0, "chance_mAP"]


def test_clips_of_one_recording_widen_the_interval_of_a_run(tmp_path: Path) -> None:
    widths = []
    for groups in ((), tuple(f"r{i % 6}" for i in range(examples.CLIPS))):
        with RunDirectory.create_or_open(tmp_path / f"{len(groups)}", examples.IDENTITY) as run:
            row = examples.row()
            run.write_scores(
                str(row["cell"]), examples.IDS, examples.LABELS, examples.logits(1.0),
                classes=examples.CLASSES, groups=groups,
            )  # fmt: skip
            run.write_rows([(row, None)])
            summarise(run)
            (found,) = run.cells().to_dict("records")
            widths.append(found["mAP_hi"] - found["mAP_lo"])
    assert widths[0] != widths[1]
