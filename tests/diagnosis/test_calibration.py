"""Calibration in long scenes: planted losses of rank and of scale told apart, and the table of a run."""

from pathlib import Path

import numpy as np
import pytest

from niah.diagnosis.controls.calibration import calibration_table, verdict
from niah.metrics.average_precision import (
    Float64,
    Scores,
    Targets,
    average_precision,
    mean_average_precision,
)
from niah.metrics.calibration import Calibration, calibration
from niah.records.run_directory import RunDirectory
from niah.records.summarise import summarise
from tests.helpers import examples
from tests.metrics.test_calibration import calibrated, sigmoid


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda logits, _: logits, "kept"),
        (lambda logits, _: 0.3 * logits - 3, "scale lost"),
        (lambda logits, noise: _recalibrated(0.2 * logits + noise), "rank lost"),
        (lambda logits, noise: 0.2 * logits + 4 * noise + 4, "both lost"),
    ],
)
def test_planted_losses_are_told_apart(change, expected: str) -> None:  # type: ignore[no-untyped-def]
    targets, logits = calibrated(3)
    noise = np.random.default_rng(9).normal(size=logits.shape)
    at_10_s = calibration(targets, sigmoid(logits))
    scores = sigmoid(change(logits, noise))
    here = calibration(targets, scores, at_10_s.scale)
    relative = _map(targets, scores) / _map(targets, sigmoid(logits))
    assert verdict(relative, here) == expected
    assert here.nll_refit <= min(here.nll, here.nll_fixed) + 1e-12


def _map(targets: Targets, scores: Scores) -> float:
    return mean_average_precision(average_precision(targets, scores))


def _recalibrated(logits: Float64) -> Float64:
    """Noisy logits on the scale that is honest for them."""
    targets, _ = calibrated(3)
    a, b = calibration(targets, sigmoid(logits)).scale
    return np.asarray(a * logits + b)


def test_table_of_a_run(tmp_path: Path) -> None:
    run = examples.make(tmp_path / "run")
    table = calibration_table(run, run.cells())
    assert table is not None
    alone = [row for row in table.rows if row[3] == "10 s"]
    assert [row[0] for row in alone] == ["ast-sin-nano", "dass-nano"]  # once a model
    assert all(row[-2:] == ("0 %", "") for row in alone)
    cells = run.cells().query("status == 'ok' and length_s > 10")
    assert len(table.rows) == len(cells) + 2
    cell = cells.query("model == 'dass-nano' and length_s == 300").iloc[0]
    clips = run.read_scores(cell["cell"])
    expected: Calibration = calibration(clips.targets, clips.probabilities)
    row = next(r for r in table.rows if r[:4] == ("dass-nano", "zero", "0.5", "300 s"))
    assert row[4] == f"{expected.ece:.4f}"


def test_one_that_is_right_of_every_clip_in_a_scene_keeps_its_scale(tmp_path: Path) -> None:
    """With other clips in the scene more labels are there: their number is no loss of scale."""
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        base = examples.row(haystack="none", position=None)
        longer = examples.row(length_s=50.0, needles_per_scene=3)
        others = tuple(
            tuple(name for name in examples.CLASSES if name not in own)[:2]
            for own in examples.LABELS
        )
        present = examples.TARGETS | np.array(
            [[name in each for name in examples.CLASSES] for each in others]
        )
        for row, targets, distractors in (
            (base, examples.TARGETS, ()),
            (longer, present, others),
        ):
            run.write_scores(
                str(row["cell"]),
                examples.IDS,
                examples.LABELS,
                np.where(targets, 5.0, -5.0),
                classes=examples.CLASSES,
                distractors=distractors,
            )
            run.write_rows([(row, None)])
        summarise(run)
    table = calibration_table(run, run.cells())
    assert table is not None
    assert [row[-2:] for row in table.rows] == [("0 %", ""), ("0 %", "kept")]


def test_one_at_chance_has_no_rank_that_it_could_keep(tmp_path: Path) -> None:
    """Constant scores keep all of their mAP: that was "kept", where L85 says chance."""
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        for values in ({"haystack": "none", "position": None}, {"length_s": 50.0}):
            row = examples.row(**values)
            scores = np.full_like(examples.logits(0.0), -1.0)
            run.write_scores(
                str(row["cell"]), examples.IDS, examples.LABELS, scores, classes=examples.CLASSES
            )
            run.write_rows([(row, None)])
        summarise(run)
    table = calibration_table(run, run.cells())
    assert table is not None
    assert [row[-1] for row in table.rows] == ["", "chance"]


def test_without_scores_there_is_no_table(tmp_path: Path) -> None:
    run = examples.make(tmp_path / "run")
    (tmp_path / "bare").mkdir()
    (run.path / "cells.csv").rename(tmp_path / "bare" / "cells.csv")
    bare = RunDirectory(tmp_path / "bare")
    assert calibration_table(bare, bare.cells()) is None
