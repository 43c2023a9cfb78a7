"""`niah preview` against scenes of the official harness."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.command_line import Niah


@pytest.mark.parametrize("index", range(3))
def test_preview_equals_the_official_harness(
    niah: Niah, shared: Path, tmp_path: Path, index: int
) -> None:
    case = json.loads((shared / "golden" / "niah-official.json").read_text())["cases"][index]
    stem = "aum_" + case["wav"].removesuffix(".wav")
    answer = niah(
        "preview",
        *("--needle", shared / "data" / "audioset_like" / "audio" / f"{stem}.flac"),
        *("--haystack", case["noise"], "--snr", case["snr_db"]),
        *("--babble", shared / "data" / "babble" / "babble_all.wav"),
        *("--length", case["length_frames"] / 100, "--position", case["position"]),
        *("--protocol", "dass-v1", "--out", tmp_path / "out"),
    )
    assert answer.status == 0, answer.stderr
    assert len(answer.stdout.splitlines()) == 3
    features = np.load(tmp_path / "out" / "features.npy")
    assert features.dtype == np.float32
    assert features.shape == (case["out_frames"], 128)
    vectors = np.load(shared / "golden" / "niah-official.npz")
    rows, values = vectors[f"{case['name']}_rows"], vectors[f"{case['name']}_vals"]
    assert np.abs(features[rows] - values).max() < 2e-3
    assert np.linalg.norm(features) == pytest.approx(case["l2"], rel=1e-5)
    start = case["needle_start"]
    around = np.concatenate([features[:start], features[start + 1024 :]])
    if case["noise"] == "zero":
        assert not around.any()
    assert around.mean() == pytest.approx(case["haystack_mean"], abs=1e-4)
    assert features[start : start + 1024].mean() == pytest.approx(case["needle_mean"], abs=1e-4)
