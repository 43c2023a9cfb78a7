"""Stored scores rank the clips as the model does: logits, in float16 only where that changes no score."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from niah.errors import NiahError
from niah.metrics.average_precision import average_precision, mean_average_precision
from niah.pages import run_report
from niah.records import scores
from niah.records.run_directory import RunDirectory
from niah.records.scores import HALF_ERROR, ClipScores
from niah.records.summarise import summarise
from tests.helpers import examples

CLASSES = tuple(f"c{index}" for index in range(20))


def confident(clips: int = 300, positive: float = 9.0, spread: float = 4.0) -> ClipScores:
    """One label a clip, heard at `positive` +- `spread` against -5 +- 5."""
    random = np.random.default_rng(0)
    labels = tuple((CLASSES[i % 20],) for i in range(clips))
    there = np.array([[name in own for name in CLASSES] for own in labels])
    logits = np.where(
        there, random.normal(positive, spread, there.shape), random.normal(-5, 5, there.shape)
    )
    ids = tuple(f"clip{index}" for index in range(clips))
    return ClipScores(ids, labels, CLASSES, logits.astype(np.float32))


def mean_ap(scored: ClipScores, logits: Any = None) -> float:
    """mAP by the scores' own logits, or by others."""
    logits = scored.logits if logits is None else logits
    return mean_average_precision(average_precision(scored.targets, logits))


def stored(file: Path, scored: ClipScores) -> tuple[ClipScores, str]:
    """Written and read back; and the dtype by the file's own metadata."""
    scores.write(file, scored)
    return scores.read(file), pq.read_schema(file).metadata[b"niah.logits"].decode()


def with_logits(scored: ClipScores, logits: Any) -> ClipScores:
    return ClipScores(scored.ids, scored.labels, scored.classes, np.asarray(logits, np.float32))


def old_file(file: Path, scored: ClipScores, values: Any) -> None:
    """Write scores as earlier versions did: a column `scores` in float16."""
    flat = pa.array(np.asarray(values, np.float16).ravel())
    table = pa.table(
        {
            "id": pa.array(scored.ids),
            "labels": pa.array([list(each) for each in scored.labels]),
            "scores": pa.FixedSizeListArray.from_arrays(flat, len(CLASSES)),
        }
    )
    about = {"niah.classes": json.dumps(CLASSES)}
    pq.write_table(table.replace_schema_metadata(about), file)


@pytest.mark.parametrize("shift", [0.0, 2.0, 4.0, 6.0, 8.0, 10.0])
def test_logits_that_all_rise_keep_their_map(tmp_path: Path, shift: float) -> None:
    """Stored as float16 sigmoids, the same order kept .82 of its mAP at a shift of 4, and .15 at 10."""
    model = confident(positive=2.0)
    raised, _ = stored(tmp_path / "raised.parquet", with_logits(model, model.logits + shift))
    assert mean_ap(raised) / mean_ap(model) == pytest.approx(1.0, abs=2e-3)
    with np.errstate(over="ignore"):
        sigmoids = (1 / (1 + np.exp(-(model.logits + shift)))).astype(np.float16)
    if shift >= 8:
        assert mean_ap(model, sigmoids) / mean_ap(model) < 0.75  # the fault, were it back


@pytest.mark.parametrize(
    ("positives", "negatives", "lost"),
    [((12.0, 5.0), (0.0, 6.0), 0.16), ((9.0, 4.0), (-1.0, 4.0), 0.05), (None, None, 0.1)],
    ids=["far apart", "confident", "uniform"],
)
def test_what_float16_sigmoids_lose_is_kept(
    tmp_path: Path, positives: Any, negatives: Any, lost: float
) -> None:
    """400 clips, one of 20 classes each: sigmoids in 16 bits tie the confident ones; stored logits do not."""
    model = confident(400)
    random = np.random.default_rng(1)
    shape = model.targets.shape
    if positives is None:
        logits = random.uniform(-15, 15, shape) + 3 * model.targets
    else:
        logits = np.where(
            model.targets,
            random.normal(positives[0], positives[1], shape),
            random.normal(negatives[0], negatives[1], shape),
        )
    exact = with_logits(model, np.clip(logits, -15, 18))
    sigmoids = (1 / (1 + np.exp(-exact.logits.astype(np.float64)))).astype(np.float16)
    assert mean_ap(exact, sigmoids) < mean_ap(exact) - lost  # the fault, were it back
    assert mean_ap(stored(tmp_path / "a.parquet", exact)[0]) == pytest.approx(
        mean_ap(exact), abs=HALF_ERROR
    )


@pytest.mark.parametrize(
    "change",
    [lambda z: 60 * z, lambda z: z / 1000, lambda z: z**3, np.exp, lambda z: 1e6 + 1e3 * z],
    ids=["sum of 60", "thousandth", "cube", "exponential", "beyond float16"],
)
def test_maps_that_keep_the_order_give_one_map(tmp_path: Path, change: Any) -> None:
    """A sum over positions is their number times the mean: its mAP cannot differ."""
    model = confident()
    changed = with_logits(model, change(model.logits.astype(np.float64)))
    read, dtype = stored(tmp_path / "changed.parquet", changed)
    assert mean_ap(read) == pytest.approx(mean_ap(model), abs=HALF_ERROR)
    assert dtype in ("float16", "float32")
    if np.abs(changed.logits).max() > 65504:
        assert dtype == "float32"
        np.testing.assert_array_equal(read.logits, changed.logits)


def test_float16_is_taken_only_where_it_ranks_as_well(tmp_path: Path) -> None:
    fine = confident()
    model = with_logits(fine, np.round(fine.logits * 16) / 16)  # steps that float16 has
    read, dtype = stored(tmp_path / "a.parquet", model)
    assert dtype == "float16"
    assert read.logits.dtype == np.float32
    assert mean_ap(read) == mean_ap(model)
    for logits in (fine.logits, 12 + fine.logits, fine.logits - 18, 3000 + fine.logits):
        high, dtype = stored(tmp_path / "b.parquet", with_logits(fine, logits))
        assert dtype == "float32"
        assert mean_ap(high) == mean_ap(with_logits(fine, logits))
    without = ((),) * len(model.ids)
    for top, expected in ((20.0, "float16"), (900.0, "float32")):
        free = ClipScores(
            model.ids, without, CLASSES, np.clip(model.logits, -5, 5) + np.float32(top)
        )
        assert stored(tmp_path / f"{top}.parquet", free)[1] == expected


def test_probabilities_neither_overflow_nor_lose_the_small_end() -> None:
    logits = np.array([[-90.0, -20.0, 0.0, 20.0, 1000.0]], np.float32)
    found = ClipScores(("a",), ((),), CLASSES[:5], logits).probabilities
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], [8.194e-40, 2.0611536e-9, 0.5, 1, 1], rtol=1e-4)


def test_old_files_keep_order_ties_and_tell_their_saturation(tmp_path: Path) -> None:
    model = confident(positive=12.0)
    p = (1 / (1 + np.exp(-model.logits.astype(np.float64)))).astype(np.float16)
    old_file(tmp_path / "old.parquet", model, p)
    read = scores.read(tmp_path / "old.parquet")
    assert read.saturated == pytest.approx(float(((p == 0) | (p == 1)).mean()))
    assert read.saturated > 0.01
    assert np.isfinite(read.logits).all()
    np.testing.assert_array_equal(
        np.unique(read.logits, return_inverse=True)[1], np.unique(p, return_inverse=True)[1]
    )
    assert mean_ap(read) == mean_ap(model, p)
    old_file(tmp_path / "causes.parquet", model, model.logits)  # `niah causes` stored logits there
    causes = scores.read(tmp_path / "causes.parquet")
    np.testing.assert_array_equal(causes.logits, model.logits.astype(np.float16))
    assert causes.saturated == 0


def test_groups_come_back_and_default_to_the_clip(tmp_path: Path) -> None:
    model = confident(4)
    assert model.groups == model.ids
    assert "group" not in pq.read_schema(_written(tmp_path / "a.parquet", model)).names
    known = ClipScores(model.ids, model.labels, CLASSES, model.logits, groups=("x", "x", "", "y"))
    read, _ = stored(tmp_path / "b.parquet", known)
    assert read.groups == ("x", "x", "clip2", "y")


def _written(file: Path, scored: ClipScores) -> Path:
    scores.write(file, scored)
    return file


def test_sum_and_average_are_one_score_in_a_run(tmp_path: Path) -> None:
    """A sum over positions had seemed to collapse, where float16 sigmoids had tied its clips."""
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        for length_s, positions in ((10.0, 10), (50.0, 50)):
            for pooling, factor in (("average", 1), ("sum", positions)):
                row = examples.row(length_s=length_s, pooling=pooling)
                logits = factor * (examples.logits(3.0 - length_s / 50) + 1)
                cell = str(row["cell"])
                run.write_scores(
                    cell, examples.IDS, examples.LABELS, logits, classes=examples.CLASSES
                )
                run.write_rows([(row, None)])
        summarise(run)
        table: Any = run.cells().set_index(["pooling", "length_s"])
    for length_s in (10.0, 50.0):
        own = [table.loc[(pooling, length_s), "mAP"] for pooling in ("average", "sum")]
        assert own[0] == pytest.approx(own[1], abs=1e-3)


def test_nan_and_infinite_logits_are_refused_with_the_clip(tmp_path: Path) -> None:
    model = confident(5)
    for value in (np.nan, np.inf, -np.inf):
        logits = model.logits.copy()
        logits[3, 1] = value
        with pytest.raises(NiahError, match=r"logits of 1 of 5 clips .* row 3"):
            scores.write(tmp_path / "x.parquet", with_logits(model, logits))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("largest", "warned"), [(20.0, True), (6.0, False)])
def test_a_run_with_saturated_old_scores_says_so(
    tmp_path: Path, largest: float, warned: bool
) -> None:
    """More than one score in a thousand is exactly 0 or 1: the reader must know, in the report and on the terminal."""
    model = confident()
    p = 1 / (1 + np.exp(-np.clip(model.logits.astype(np.float64), -largest, largest)))
    ties = 100 * np.isin(p.astype(np.float16), (0, 1)).mean()
    row = examples.row(n_clips=len(model.ids))
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        old_file(run.path / "scores" / f"{row['cell']}.parquet", model, p)
        run.write_rows([(row, None)])
        warnings = summarise(run)
        (found,) = run.cells().to_dict("records")
    assert found["mAP"] == pytest.approx(mean_ap(model, p.astype(np.float16)))
    assert bool(warnings) == warned
    if warned:
        assert f"1 cell stored as float16 probabilities, up to {ties:.1f} %" in warnings[0]
        said: list[str] = []
        page = run_report.write(run.path, said.append)
        assert said == warnings
        assert "float16 probabilities" in page.read_text()
