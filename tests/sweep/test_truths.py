"""A sweep's scores and metrics against a plain evaluation, scikit-learn, and windows cut by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import niah
from niah import audio
from niah.records.run_directory import RunDirectory
from tests.helpers import tiny
from tests.helpers.tiny_sweep import Material, average_precisions, cells_of


def test_the_ten_second_cell_is_a_plain_evaluation(material: Material, done: Path) -> None:
    adapter = niah.load_model(material.card, checkpoint=material.weights)
    rows = pd.read_csv(material.clips)
    scores, targets = [], []
    for path, label in zip(rows["path"], rows["labels"], strict=True):
        samples = audio.load(material.clips.parent / path, adapter.sample_rate).samples
        frames = adapter.frontend(torch.from_numpy(samples)[None])
        raw = adapter.frontend.normalise(torch.zeros(1, 1024 - frames.shape[1], 128))
        scores.append(adapter.logits(torch.cat([frames, raw], dim=1))[0].numpy())
        targets.append([id_ == label for id_ in tiny.IDS])
    expected = np.mean(average_precisions(np.array(targets), np.array(scores)))
    base: Any = pd.read_csv(done / "cells.csv").set_index("length_s").loc[10.0]
    assert base["mAP"] == pytest.approx(expected, abs=1e-12)
    assert base["mAP"] == base["base_mAP"]
    assert base["drop"] == 0
    assert base["relative"] == 1
    stored = RunDirectory(done).read_scores(base["cell"])
    order = [list(rows["path"]).index(f"{id_}.wav") for id_ in stored.ids]
    np.testing.assert_allclose(stored.logits, np.array(scores)[order], atol=5e-3)


def test_every_cell_is_scikit_learns_of_its_stored_scores(done: Path) -> None:
    table: Any = pd.read_csv(done / "cells.csv")
    assert len(table) == 5
    for row in table.itertuples():
        stored = RunDirectory(done).read_scores(str(row.cell))
        expected = np.mean(average_precisions(stored.targets, stored.logits))
        assert row.mAP == pytest.approx(expected, abs=1e-12)
        assert row.drop == pytest.approx(1 - row.mAP / row.base_mAP)
        assert row.mAP_lo <= row.mAP <= row.mAP_hi


def test_batches_do_not_change_scores(material: Material, done: Path) -> None:
    out = material.folder / "batches"
    by_four = material.run(out, batch_size=4)
    assert set(by_four["batch_size"]) == {4}
    assert set(by_four["cell"]) == set(cells_of(done)["cell"])  # a batch is no determinant
    for cell in by_four["cell"]:
        one, four = (RunDirectory(run).read_scores(cell) for run in (done, out))
        assert one.ids == four.ids
        np.testing.assert_allclose(one.probabilities, four.probabilities, atol=1e-3)


def test_the_sliding_window_is_the_largest_score_over_windows(material: Material) -> None:
    out = material.folder / "window"
    table = material.run(out, window=10, haystack="zero", lengths=[10, 20])
    assert set(table["window_s"]) == {10.0}
    assert set(table["kernel"]) == {"torch"}
    assert set(table["window_pool"]) == {"max"}
    plain = niah.load_model(material.card, checkpoint=material.weights)
    sound = audio.load(material.clips.parent / "clip00.wav", 16000).samples
    needle = plain.frontend(torch.from_numpy(sound)[None])
    needle = torch.cat([needle, plain.frontend.normalise(torch.zeros(1, 26, 128))], dim=1)
    scene = torch.cat([torch.zeros(1, 976, 128), needle], dim=1)  # int(2000 / 2) overruns: the end
    windows = torch.cat([plain.logits(scene[:, s : s + 1024]) for s in (0, 512, 976)])
    row = table.set_index("length_s").loc[20.0]
    stored = RunDirectory(out).read_scores(row["cell"])
    expected = torch.sigmoid(windows.amax(dim=0)).numpy()
    np.testing.assert_allclose(
        stored.probabilities[stored.ids.index("clip00")], expected, atol=1e-3
    )
