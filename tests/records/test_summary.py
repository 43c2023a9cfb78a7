"""Metrics of stored cells: which base a cell has, and that it is resampled once."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from niah.adapters.wrappers.sliding_window import POOLS, window_starts
from niah.errors import NiahError
from niah.metrics.resampling import resample as true_resample
from niah.probabilities import sigmoid
from niah.records import summarise as summary
from niah.records.run_directory import RunDirectory
from niah.records.schema import window_pool_name
from niah.records.summarise import summarise
from tests.helpers import examples


def test_a_cell_and_its_base_are_of_one_window_pool_and_precision(tmp_path: Path) -> None:
    kinds = {
        (None, "sdpa", "float32"): 3.0,
        (None, "sdpa", "bfloat16"): 2.5,
        (10.0, "sdpa+window-max", "float32"): 2.0,
        (10.0, "sdpa+window-mean", "float32"): 1.5,
    }
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        for (window_s, kernel, dtype), gain in kinds.items():
            for length_s in (10.0, 50.0):
                place = {"length_s": length_s, "window_s": window_s}
                row = examples.row(**place, kernel=kernel, dtype=dtype)
                scores = examples.logits(gain - length_s / 100)
                cell = str(row["cell"])
                run.write_scores(
                    cell, examples.IDS, examples.LABELS, scores, classes=examples.CLASSES
                )
                run.write_rows([(row, None)])
        summarise(run)
        table = run.cells()
    for kernel, dtype in {(kernel, dtype) for _, kernel, dtype in kinds}:
        pool = kernel.partition("+window-")[2]
        alike = (table["window_pool"].fillna("") == pool) & (table["dtype"] == dtype)
        own = table[alike].set_index("length_s")
        assert own["base_mAP"][50] == own["mAP"][10]
        assert own["relative"][50] == pytest.approx(own["mAP"][50] / own["mAP"][10])
    assert table["base_mAP"].nunique() == 4
    assert set(table["kernel"]) == {"sdpa"}  # the pooling that older rows have there got its column


@pytest.mark.parametrize(("makes_probabilities", "is_doubted"), [(True, True), (False, False)])
def test_scores_that_look_like_probabilities_are_doubted(
    tmp_path: Path, makes_probabilities: bool, is_doubted: bool
) -> None:
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        for length_s in (10.0, 50.0):
            row = examples.row(length_s=length_s)
            scores = examples.logits(2.0)
            if makes_probabilities:
                scores = sigmoid(scores)
            run.write_scores(
                str(row["cell"]), examples.IDS, examples.LABELS, scores, classes=examples.CLASSES
            )
            run.write_rows([(row, None)])
        warnings = summarise(run)
    assert sum("all of its scores lie in [0, 1]" in text for text in warnings) == is_doubted


@pytest.mark.parametrize("hop_s", [None, 2.0])
@pytest.mark.parametrize(("makes_probabilities", "is_doubted"), [(True, True), (False, False)])
def test_probabilities_that_noisy_or_pools_are_doubted(
    tmp_path: Path, makes_probabilities: bool, is_doubted: bool, hop_s: float | None
) -> None:
    """A 10 s clip in windows of 2 s has scores above 1, which were believed."""
    draw = np.random.default_rng(0)
    shape = (len(examples.IDS), len(examples.CLASSES))
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        for length_s in (10.0, 50.0):
            hop = 100 if hop_s is None else round(100 * hop_s)
            of_windows = window_starts(round(100 * length_s), 200, hop)
            logits = torch.from_numpy(3.0 * draw.standard_normal((len(of_windows), *shape)))
            logits = logits.sigmoid() if makes_probabilities else logits
            pooled = POOLS["noisy-or"](iter([logits])).float().numpy()
            pool = window_pool_name("noisy-or", 2.0, hop_s)
            row = examples.row(
                length_s=length_s, frames=round(100 * length_s), window_s=2.0, window_pool=pool
            )
            run.write_scores(
                str(row["cell"]), examples.IDS, examples.LABELS, pooled, classes=examples.CLASSES
            )
            run.write_rows([(row, None)])
        warnings = summarise(run)
    assert sum("lie in [0, 1] in each window" in text for text in warnings) == is_doubted


def test_a_base_is_resampled_once_for_all_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []

    def resample(*given: Any, **named: Any) -> object:
        counted.append(len(given))
        return true_resample(*given, **named)

    monkeypatch.setattr("niah.records.summarise.resample", resample)
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        for model in ("one", "two"):
            for length_s in (10.0, 50.0, 100.0, 300.0):
                examples.add(run, 2.0, model=model, length_s=length_s)
        summarise(run)
    assert len(counted) == 2 * 4


def test_summary_is_of_the_stored_scores_and_the_base(tmp_path: Path) -> None:
    run = examples.make(tmp_path / "run")
    table: Any = run.cells().set_index(["model", "haystack", "snr_db", "position", "length_s"])
    alone = run.cells().query("length_s == 10")
    assert (alone["relative"] == 1).all()
    assert (alone["drop"] == 0).all()
    base = alone.set_index("model")["base_mAP"]
    assert alone.set_index("model")["mAP"].equals(base)
    row: Any = table.loc[("dass-nano", "babble", 10.0, 0.5, 50.0)]
    stored = run.read_scores(row["cell"])
    again = summary.cell_metrics(
        stored.targets,
        stored.logits,
        run.read_scores(str(alone.set_index("model")["cell"]["dass-nano"])).logits,
    )
    for name, value in again.items():
        assert row[name] == pytest.approx(value, nan_ok=True), name
    assert row["relative"] == pytest.approx(row["mAP"] / base["dass-nano"])
    assert row["drop"] == pytest.approx(1 - row["relative"])
    assert row["drop_lo"] < row["drop"] < row["drop_hi"]
    failed = run.cells().query("status == 'oom'")
    assert failed["mAP"].isna().all()


def test_only_what_changed_is_recomputed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples.make(tmp_path / "run")
    measured: list[object] = []
    true_metrics = summary.cell_metrics

    def counted(*arrays: Any, **more: Any) -> dict[str, float]:
        measured.append(arrays)
        return true_metrics(*arrays, **more)

    monkeypatch.setattr(summary, "cell_metrics", counted)
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        summarise(run)
        assert len(measured) == 0
        examples.add(run, 2.5, model="dass-nano", length_s=20.0)
        summarise(run)
        assert len(measured) == 1
        examples.add(run, 2.5, model="ast-sin-nano", haystack="none", position=None)
        summarise(run)  # a new base: all of that model's cells, not the other's
        others = run.cells().query("model == 'ast-sin-nano' and status == 'ok'")
        assert len(measured) == 1 + len(others)


def test_without_a_base_there_is_no_drop(tmp_path: Path) -> None:
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        examples.add(run, 2.0, length_s=50.0)
        examples.add(run, 2.0, length_s=10.0, model="another")
        examples.add(run, 2.0, length_s=10.0, window_s=10.0)
        summarise(run)
        row = run.cells().query("length_s == 50").iloc[0]
    assert row["mAP"] > row["chance_mAP"]
    assert np.isnan([row["base_mAP"], row["relative"], row["drop"], row["drop_lo"]]).all()
    assert row["mAP_lo"] < row["mAP_hi"]


def test_random_weights_have_no_accuracy(tmp_path: Path) -> None:
    run = examples.make(tmp_path / "run", {"models": {"dass-nano": {"random": True}}})
    table = run.cells()
    assert table["mAP"][table["model"] == "dass-nano"].isna().all()
    assert table["mAP"][table["model"] == "ast-sin-nano"].notna().any()


def test_other_clips_than_the_base_are_refused(tmp_path: Path) -> None:
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        examples.add(run, 2.0)
        row = examples.row(length_s=20.0)
        run.write_scores(
            str(row["cell"]),
            examples.IDS[::-1],
            examples.LABELS,
            examples.logits(1.0),
            classes=examples.CLASSES,
        )
        run.write_rows([(row, None)])
        with pytest.raises(NiahError, match="different clips"):
            summarise(run)


def test_metrics_outlive_their_scores(tmp_path: Path) -> None:
    """A report of a run that was published without scores, as `niah publish` takes it, emptied all of its rows."""
    run = examples.make(tmp_path / "run")
    before = run.rows()
    shutil.rmtree(run.path / "scores")
    with RunDirectory(run.path).join() as opened:
        assert summarise(opened) == []
    assert RunDirectory(run.path).rows() == before
