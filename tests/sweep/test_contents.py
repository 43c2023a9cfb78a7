"""Contents of a run directory: cells.csv, scores, run.json."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import niah
from niah.errors import NiahError
from niah.records.schema import CELL_COLUMNS
from tests.helpers import tiny
from tests.helpers.tiny_sweep import (
    Material,
    cells_of,
    copied,
)


def test_run_returns_the_table(done: Path, material: Material) -> None:
    table = material.run(done)
    assert isinstance(table, pd.DataFrame)
    assert list(table.columns)[: len(CELL_COLUMNS)] == list(CELL_COLUMNS)
    assert set(table["status"]) == {"ok"}
    pd.testing.assert_series_equal(
        table["mAP"], pd.read_csv(done / "cells.csv")["mAP"], check_dtype=False
    )


def test_columns_of_cells_csv_are_the_contracts(done: Path) -> None:
    header = (
        "cell,model,checkpoint_sha256,protocol,needles,n_clips,haystack,snr_db,length_s,frames,"
        "position,window_s,seed,status,mAP,mAP_lo,mAP_hi,auc,d_prime,base_mAP,chance_mAP,relative,"
        "drop,drop_lo,drop_hi,classes_scored,latency_s,rtf,peak_memory_bytes,batch_size,device,"
        "dtype,kernel,niah_version,error"
    )
    further = ",noise_base_mAP,relative_noise_base,adjusted,adjusted_lo,adjusted_hi,scores_sha256"
    assert (done / "cells.csv").read_text().splitlines()[0] == header + further


def test_rows_tell_what_was_done(done: Path, material: Material) -> None:
    table: Any = pd.read_csv(done / "cells.csv").set_index(["haystack", "length_s"])
    assert set(table.index) == {
        ("none", 10.0),
        ("zero", 12.0),
        ("zero", 20.0),
        ("gaussian", 12.0),
        ("gaussian", 20.0),
    }
    row = table.loc[("gaussian", 20.0)]
    assert (row["model"], row["protocol"], row["n_clips"]) == ("tiny", "dass-v1", 6)
    assert (row["snr_db"], row["position"], row["frames"]) == (10.0, 0.5, 2000)
    assert row["checkpoint_sha256"] == hashlib.sha256(material.weights.read_bytes()).hexdigest()
    assert row["rtf"] == pytest.approx(20 / row["latency_s"])
    assert row["peak_memory_bytes"] > 1e6
    assert np.isnan(table.loc[("none", 10.0), "snr_db"])
    assert table.loc[("none", 10.0), "frames"] == 1024


def test_scores_are_readable_by_pandas(done: Path) -> None:
    files = list((done / "scores").glob("*.parquet"))
    assert len(files) == len(cells_of(done))
    for file in files:
        scores = pd.read_parquet(file)
        assert list(scores.columns) == ["id", "labels", "logits"]
        assert sorted(scores["id"]) == [f"clip{index:02d}" for index in range(6)]
        assert {label for labels in scores["labels"] for label in labels} == set(tiny.IDS)
        matrix = np.stack(list(scores["logits"]))
        assert matrix.dtype == np.float16
        assert matrix.shape == (6, 3)
        assert np.isfinite(matrix).all()


def test_run_json_says_how_it_was_made(done: Path, material: Material) -> None:
    content = json.loads((done / "run.json").read_text())
    assert content["arguments"]["lengths_s"] == [10.0, 12.0, 20.0]
    assert content["identity"]["protocol"] == "dass-v1"
    assert content["identity"]["seed"] == 0
    assert len(content["identity"]["ids_sha256"]) == 64
    assert content["models"]["tiny"]["random"] is False
    assert content["models"]["tiny"]["checkpoint"] == material.weights.name
    assert len(content["models"]["tiny"]["checkpoint_sha256"]) == 64
    assert {"python", "torch", "numpy"} <= set(content["versions"])
    assert {"cores", "device", "processor"} <= set(content["hardware"])
    assert content["excluded_clips"] == []
    assert {"git", "niah_version", "needles"} <= set(content)


def test_random_weights_report_no_accuracy(done: Path, material: Material) -> None:
    """Not even in a run that has the same model with trained weights."""
    out = copied(done)
    table = material.run(out, checkpoint="random", haystack="zero", lengths=[10, 20])
    by_model = table.groupby("model")["mAP"].count()
    assert dict(by_model) == {"tiny": 5, "tiny:random": 0}
    assert (table.loc[table["model"] == "tiny:random", "latency_s"] > 0).all()
    assert json.loads((out / "run.json").read_text())["models"]["tiny:random"]["random"] is True
    pd.testing.assert_frame_equal(
        cells_of(done),
        cells_of(out).query("model == 'tiny'").reset_index(drop=True),
        check_dtype=False,  # a column with a gap is read as float
    )


def test_an_unknown_option_of_run_is_named() -> None:
    with pytest.raises(NiahError, match="no option lenghts"):
        niah.run(lenghts=[10])  # type: ignore[call-arg]
