"""Scenes with noise under the needle, controls without one, and combinations that are refused."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from niah import audio
from niah.errors import NiahError
from niah.haystacks import load_haystack
from niah.needles.features import NeedleFeatures
from tests.frontends.test_kaldi import textbook_energies
from tests.helpers.scene_parts import FLOOR, FRONTEND, MEAN, STD, builder, clip, needle_rows

# --- levels and controls


def test_mix_lays_the_noise_under_the_needle() -> None:
    build = builder("gaussian", "niah-v2", level="mix")
    wave = clip()
    needle = build.needle(wave)
    noise = build.noise(needle, "a", total=2000, snr_db=5)
    assert noise is not None
    scene = build.scene(needle, "a", length_s=20, position=0.5, snr_db=5).numpy()
    under = build.noise_samples(noise, 488, FRONTEND.samples(1024))
    padded = np.pad(wave - wave.mean(dtype=np.float64), (0, FRONTEND.samples(1024) - len(wave)))
    energies = textbook_energies(padded + under)
    plain = (np.log(np.maximum(energies, 1.1920928955078125e-07)) - MEAN) / (2 * STD)
    assert np.abs(scene[488 : 488 + 1024] - plain).max() < 2e-3
    everything = build.noise_samples(noise, 0, 2000 * 160)
    assert 20 * np.log10(audio.rms(wave) / audio.rms(everything)) == pytest.approx(5, abs=1e-4)
    bare = build.scene(None, "a", length_s=20, position=0.5, snr_db=5, like=needle).numpy()
    assert np.array_equal(bare[:488], scene[:488])
    assert np.array_equal(bare[1512:], scene[1512:])


def test_mix_at_ten_seconds_is_noisy_and_without_snr_is_clean() -> None:
    build = builder("gaussian", "niah-v2", level="mix")
    needle = build.needle(clip())
    noisy = build.scene(needle, "a", length_s=10, position=0, snr_db=0)
    clean = build.scene(needle, "a", length_s=10, position=0)
    assert torch.equal(clean, needle.features)
    assert (noisy - clean).abs().max() > 0.1


def test_controls_are_the_same_scene_but_for_the_needle() -> None:
    build = builder("gaussian", "niah-v2")
    needle = build.needle(clip())
    options = {"length_s": 30.0, "position": 0.25, "snr_db": 10.0}
    scene = build.scene(needle, "a", **options).numpy()  # type: ignore[arg-type]
    bare = build.scene(None, "a", like=needle, **options).numpy()  # type: ignore[arg-type]
    sham = build.scene(None, "a", like=needle, sham=True, **options).numpy()  # type: ignore[arg-type]
    rows = needle_rows(30, 494)
    assert np.array_equal(sham[~rows], scene[~rows])
    assert np.array_equal(bare[:494], scene[:494])
    assert np.array_equal(bare[494 : 494 + 482], scene[1518 : 1518 + 482])  # it goes on
    for other in (bare, sham):
        assert abs(other[rows].mean() - scene[~rows].mean()) < 0.02
    assert not np.array_equal(sham[rows], bare[rows])


def test_controls_work_without_any_needle() -> None:
    assert not builder("zero").scene(None, "a", length_s=20, position=0, sham=True).any()
    bare = builder("gaussian").scene(None, "a", length_s=10, position=0, snr_db=0)
    assert bare.shape == (1024, 128)


# --- refusals


@pytest.mark.parametrize(
    ("name", "protocol", "level", "message"),
    [
        ("zero", "dass-v3", "surround", "unknown"),
        ("zero", "niah-v2", "mixed", "'mix'"),
        ("silence", "dass-v1", "surround", "niah-v2"),
        ("gaussian", "dass-v1", "mix", "niah-v2"),
        ("zero", "niah-v2", "mix", "needs noise"),
    ],
)
def test_combinations_that_mean_nothing_are_refused(
    name: str, protocol: str, level: str, message: str
) -> None:
    with pytest.raises(NiahError, match=message):
        builder(name, protocol, level=level)


def test_scenes_that_cannot_be_are_refused() -> None:
    build = builder("gaussian")
    needle = build.needle(clip())
    with pytest.raises(NiahError, match="needs an SNR"):
        build.scene(needle, "a", length_s=20, position=0)
    with pytest.raises(NiahError, match="position"):
        build.scene(needle, "a", length_s=20, position=2, snr_db=0)
    with pytest.raises(NiahError, match="cannot hold a needle"):
        build.scene(needle, "a", length_s=5, position=0, snr_db=0)
    with pytest.raises(NiahError, match="shape"):
        build.scene(needle, "a", length_s=20, position=0, snr_db=0, out=torch.empty(1999, 128))
    with pytest.raises(NiahError, match="sham"):
        build.scene(needle, "a", length_s=20, position=0, snr_db=0, sham=True)
    with pytest.raises(NiahError, match="shorter than a frame"):
        build.needle(clip(0.02))


def test_noise_that_is_silent_where_it_is_heard_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "late.wav"
    sound = np.zeros(16000 * 60)
    sound[-100:] = 0.1
    soundfile.write(path, sound, 16000)
    build = builder(load_haystack("babble", babble=path))
    needle = build.needle(clip())
    with pytest.raises(NiahError, match="silent where clip a"):
        build.scene(needle, "a", length_s=20, position=0, snr_db=0)


def test_digital_silence_within_a_noise_is_the_floor(tmp_path: Path) -> None:
    path = tmp_path / "half.wav"
    sound = np.zeros(16000 * 8)
    sound[:64000] = 0.1 * np.random.default_rng(0).standard_normal(64000)
    soundfile.write(path, sound, 16000)
    build = builder(load_haystack("babble", babble=path))
    scene = build.scene(build.needle(clip()), "a", length_s=20, position=1, snr_db=0).numpy()
    np.testing.assert_allclose(scene[410:790], FLOOR, atol=1e-6)


def test_needle_features_are_padded_or_cut() -> None:
    build = builder("zero")
    short, long = build.needle(clip(1.0)), build.needle(clip(20.0))
    assert isinstance(short, NeedleFeatures)
    assert (short.frames, short.samples, short.waveform) == (98, 16000, None)
    torch.testing.assert_close(short.features[98:], torch.full((926, 128), -MEAN / (2 * STD)))
    assert (long.frames, long.samples) == (1998, 320000)
    assert long.features.shape == (1024, 128)
    assert long.rms == pytest.approx(audio.rms(clip(20.0)))
