"""Metrics of stored cells: which base a cell has, and that it is resampled once."""

from pathlib import Path
from typing import Any

import pytest

from niah.metrics.resampling import resample as true_resample
from niah.records.run_directory import RunDirectory
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
