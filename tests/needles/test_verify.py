"""`niah data verify`: what it counts is what was put there."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from niah.frontends.kaldi import KaldiFrontend
from niah.needles import NeedleSet, load_needles
from niah.needles.verify import verify
from niah.vocabularies import vocabulary

AUDIOSET = vocabulary("audioset-527")


def noise(seconds: float, rate: int, seed: int, channels: int = 1) -> NDArray[np.float64]:
    shape = (int(seconds * rate), channels)
    return 0.1 * np.random.default_rng(seed).standard_normal(shape)


@pytest.fixture
def mixed(tmp_path: Path) -> NeedleSet:
    """Three good clips (two alike), one of each common fault, one missing."""
    soundfile.write(tmp_path / "a.wav", noise(1.0, 16_000, 0), 16_000)
    soundfile.write(tmp_path / "b.flac", noise(2.0, 8_000, 1, 2), 8_000)
    (tmp_path / "again.wav").write_bytes((tmp_path / "a.wav").read_bytes())
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    (tmp_path / "text.wav").write_text("not audio")
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "cut.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:5000])
    names = [
        "a.wav",
        "b.flac",
        "again.wav",
        "silent.wav",
        "text.wav",
        "empty.wav",
        "cut.wav",
        "gone.wav",
    ]
    rows = "".join(f"{name},/m/09x0r\n" for name in names[:-1]) + "gone.wav,/m/09x0r;/m/0jbk\n"
    (tmp_path / "eval.csv").write_text("path,labels\n" + rows)
    return load_needles(tmp_path / "eval.csv", vocabulary=AUDIOSET)


def test_every_clip_is_counted_once(mixed: NeedleSet) -> None:
    report = verify(mixed, 16_000)
    assert (report.n_clips, report.n_readable) == (8, 3)
    assert report.unreadable == {
        "silent": ("silent",),
        "not-audio": ("text",),
        "empty": ("empty",),
        "truncated": ("cut",),
        "missing": ("gone",),
    }
    assert report.sample_rates == {16_000: 2, 8_000: 1}
    assert report.notes == {"stereo averaged": 1}
    assert report.durations_s == pytest.approx((1.0, 1.0, 2.0), abs=0.01)
    assert report.total_s == pytest.approx(4.0, abs=0.01)
    assert {frozenset(ids) for ids in report.repeated} == {frozenset({"a", "again"})}
    assert report.clips_per_class == {"Speech": 8, "Animal": 1}
    assert report.ids_sha256 == mixed.ids_sha256
    assert report.features is None


def test_feature_statistics_are_those_of_all_frames(mixed: NeedleSet) -> None:
    import torch

    frontend = KaldiFrontend()
    found = verify(mixed, 16_000, frontend).features
    assert found is not None
    frames = []
    for needle in mixed.needles:
        if needle.id in ("a", "again", "b"):
            samples = torch.from_numpy(needle.source.waveform(16_000).samples)
            features = frontend(samples[None])[0]
            frames.append(frontend.denormalise(features).double())
    every = torch.cat(frames)
    assert found.frames == len(every)
    assert found.mean == pytest.approx(float(every.mean()), abs=1e-4)
    assert found.std == pytest.approx(float(every.std(correction=0)), abs=1e-4)
    assert (found.expected_mean, found.expected_std) == (frontend.mean, frontend.std)


def test_the_report_says_it_in_words(mixed: NeedleSet) -> None:
    text = verify(mixed, 16_000, KaldiFrontend()).markdown()
    for told in (
        "clips: 8, readable: 3",
        mixed.ids_sha256,
        "16000 Hz (2)",
        "**missing: 1 clips**: gone",
        "| Speech | 8 |",
        "normalises by -4.268, 4.569",
        "2 of 527 classes",
    ):
        assert told in text


def test_a_set_without_one_readable_clip_is_still_reported(tmp_path: Path) -> None:
    (tmp_path / "eval.csv").write_text("path,labels\ngone.wav,/m/09x0r\n")
    report = verify(load_needles(tmp_path / "eval.csv", vocabulary=AUDIOSET), 16_000)
    assert report.n_readable == 0
    assert "missing: 1 clips" in report.markdown()


def test_synthetic() -> None:
    needles = load_needles("synthetic", vocabulary=vocabulary("synthetic"), limit=5)
    report = verify(needles, 16_000, KaldiFrontend())
    assert report.n_readable == 5
    assert report.durations_s == (10.0, 10.0, 10.0)
    assert "Audio NIAH" in report.markdown()


def test_real_audio(shared: Path) -> None:
    found = load_needles(shared / "data" / "audioset_like", vocabulary=AUDIOSET)
    report = verify(found, 16_000, KaldiFrontend())
    assert (report.n_readable, report.unreadable) == (6, {})
    assert report.features is not None
    assert report.features.frames == pytest.approx(6 * 998, rel=0.01)
