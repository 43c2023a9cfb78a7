"""Stored scores: read back exactly, checked, and made again where damaged."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from niah.errors import NiahError
from niah.records.run_directory import RunDirectory
from tests.helpers import examples

CELL = "0123456789abcdef0123"


def test_scores_come_back_as_stored_also_by_plain_pandas(tmp_path: Path) -> None:
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        cell = examples.add(run, 2.0)
        stored = run.read_scores(cell)
    expected = examples.logits(2.0).astype(np.float16)
    np.testing.assert_array_equal(stored.logits, expected)
    assert stored.logits.dtype == np.float32
    assert (stored.ids, stored.labels, stored.classes) == (
        examples.IDS,
        examples.LABELS,
        examples.CLASSES,
    )
    np.testing.assert_array_equal(stored.targets, examples.TARGETS)
    frame = pd.read_parquet(run.path / "scores" / f"{cell}.parquet")
    assert list(frame.columns) == ["id", "labels", "logits"]
    np.testing.assert_array_equal(np.stack(frame["logits"].to_list()), expected)
    assert list(frame["labels"][0]) == list(examples.LABELS[0])


def test_what_distracts_is_stored_beside_the_labels(tmp_path: Path) -> None:
    others = [(examples.CLASSES[(i + 3) % 6],) for i in range(examples.CLIPS)]
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        given = {"classes": examples.CLASSES, "distractors": others}
        run.write_scores(CELL, examples.IDS, examples.LABELS, examples.logits(1.0), **given)  # type: ignore[arg-type]
        stored = run.read_scores(CELL)
    assert stored.distractors == tuple(others)
    of_others = np.array([[name == label for name in examples.CLASSES] for (label,) in others])
    np.testing.assert_array_equal(stored.excluded, of_others & ~examples.TARGETS)
    assert stored.excluded.any()


def test_scores_must_fit_and_be_finite(tmp_path: Path) -> None:
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        good = examples.logits(1.0)
        with pytest.raises(NiahError, match="clips, classes"):
            run.write_scores(CELL, examples.IDS, examples.LABELS, good.T, classes=examples.CLASSES)
        for broken in (np.nan, np.inf, 1e300):
            with pytest.raises(NiahError, match="overflowed"):
                run.write_scores(
                    CELL, examples.IDS, examples.LABELS, good + broken, classes=examples.CLASSES
                )
        assert list((run.path / "scores").iterdir()) == []


def test_damaged_scores_are_done_again(tmp_path: Path) -> None:
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        kept, cut, lost = (examples.add(run, 1.0, length_s=s) for s in (10.0, 20.0, 30.0))
        failed = examples.add(run, 1.0, length_s=40.0, status="error", error="x")
        oom = examples.add(run, 1.0, length_s=50.0, status="oom")
        assert run.completed() == {kept, cut, lost}
        assert run.out_of_memory() == {oom}
        assert failed not in run.completed()
        file = run.path / "scores" / f"{cut}.parquet"
        file.write_bytes(file.read_bytes()[:-40])
        (run.path / "scores" / f"{lost}.parquet").unlink()
        assert run.completed() == {kept}
        with pytest.raises(NiahError, match="damaged"):
            run.read_scores(cut)
        with pytest.raises(NiahError, match="missing"):
            run.read_scores(lost)
