"""Scenes: the SNR is the one asked for, the official goldens, and an independent reference."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from niah import audio
from niah.haystacks import load_haystack
from niah.haystacks.energy_bank import NoiseBank
from niah.haystacks.segments import NoisePath, patchwork
from niah.haystacks.sources import GaussianNoise
from niah.scenes.builder import SceneBuilder
from tests.frontends.test_kaldi import textbook_energies
from tests.helpers.scene_parts import FLOOR, FRONTEND, MEAN, STD, builder, clip, needle_rows


def fbank(wave: NDArray[np.floating]) -> NDArray[np.float64]:
    """Log-mel of the textbook bank, after removal of the waveform's mean."""
    energies = textbook_energies(np.asarray(wave, dtype=np.float64) - np.mean(wave))
    return np.log(np.maximum(energies, 1.1920928955078125e-07))


def official(
    wave: NDArray[np.float32],
    noise: NDArray[np.float32],
    *,
    total: int,
    position: float,
    snr_db: float,
) -> NDArray[np.float64]:
    """dass-v1 as docs/protocols.md has it, written out in float64 with no cleverness at all."""
    needle = fbank(wave)
    ratio = len(wave) / len(needle)
    needle = np.concatenate([needle, np.zeros((max(0, 1024 - len(needle)), 128))])[:1024]
    n = int(ratio * (total - 1024)) + 1
    cut = np.tile(noise.astype(np.float64), 1 + n // len(noise))[:n]
    rms = np.sqrt(np.mean(np.square(wave, dtype=np.float64)))
    scaled = cut * (rms / 10 ** (snr_db / 20) / np.sqrt(np.mean(cut**2)))
    scaled = scaled - scaled.mean()
    blocks = [fbank(scaled[i : i + 6_400_000]) for i in range(0, n, 6_400_000)]
    hay = np.concatenate(blocks)[: total - 1024]
    start = int(total * position)
    if start + 1024 > total:
        start = total - 1024
    joined = np.concatenate([hay[:start], needle, hay[start:]])
    return (joined - MEAN) / (2 * STD)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A noise whose length is no multiple of the hop: its tiled frames do not repeat soon."""
    path = tmp_path_factory.mktemp("noise") / "noise.wav"
    rng = np.random.default_rng(5)
    sound = np.cumsum(rng.standard_normal(20_011)) * 0.002 + 0.05 * rng.standard_normal(20_011)
    soundfile.write(path, sound, 16000, subtype="FLOAT")
    return path


# --- truths


def test_ten_seconds_is_a_plain_evaluation() -> None:
    build = builder("gaussian")
    wave = clip()
    needle = build.needle(wave)
    scene = build.scene(needle, "a", length_s=10, position=0.5, snr_db=0)
    plain = FRONTEND(torch.from_numpy(wave)[None])[0]
    assert scene.shape == (1024, 128)
    torch.testing.assert_close(scene[:998], plain, atol=1e-4, rtol=0)
    torch.testing.assert_close(scene[998:], torch.full((26, 128), -MEAN / (2 * STD)))


def test_zero_is_exactly_zero_and_silence_the_floor() -> None:
    needle = builder("zero").needle(clip())
    for name, protocol, value in (("zero", "dass-v1", 0.0), ("silence", "niah-v2", FLOOR)):
        scene = builder(name, protocol).scene(needle, "a", length_s=20, position=0.0).numpy()
        assert np.array_equal(scene[:1024], needle.features.numpy())
        assert np.array_equal(scene[1024:], np.full((976, 128), value, dtype=np.float32))


@pytest.mark.parametrize("protocol", ["dass-v1", "niah-v2"])
@pytest.mark.parametrize("snr_db", [-5, 0, 20])
def test_the_measured_snr_is_the_snr_asked_for(protocol: str, snr_db: float) -> None:
    build = builder("gaussian", protocol)
    wave = clip(offset=0.05)
    needle = build.needle(wave)
    noise = build.noise(needle, "a", total=5000, snr_db=snr_db)
    assert noise is not None
    heard = int(160000 / 998 * 3976) + 1 if protocol == "dass-v1" else 3976 * 160
    samples = build.noise_samples(noise, 0, heard)
    measured = 20 * np.log10(audio.rms(wave) / audio.rms(samples))
    assert measured == pytest.approx(snr_db, abs=1e-4)


def test_snr_shows_in_the_features() -> None:
    build = builder("gaussian", "niah-v2")
    needle = build.needle(clip())
    loud, quiet = (
        build.scene(needle, "a", length_s=20, position=0.0, snr_db=snr_db) for snr_db in (0, 10)
    )
    rows = quiet[1024:].min(dim=0).values > FLOOR  # the lowest mel rows hold no FFT bin at all
    assert rows.sum() > 120
    moved = (loud - quiet)[1024:, rows] * 2 * STD  # log energies: 10 dB is a factor of ten
    torch.testing.assert_close(moved, torch.full_like(moved, np.log(10)), atol=1e-4, rtol=0)
    assert torch.equal(loud[:1024], quiet[:1024])  # the needle itself is untouched


def test_features_are_those_of_the_audible_noise(recording: Path) -> None:
    build = builder(load_haystack(recording), "niah-v2")
    needle = build.needle(clip())
    noise = build.noise(needle, "a", total=2000, snr_db=5)
    assert noise is not None
    scene = build.scene(needle, "a", length_s=20, position=1.0, snr_db=5)
    first = noise.path.segments[0][1]  # frames across a seam differ, being whole frames
    sound = build.noise_samples(noise, 0, 976 * 160)
    plain = (fbank(sound) - MEAN) / (2 * STD)
    inside = [i for i in range(970) if not first - 3 < i < first]
    assert len(inside) > 900
    np.testing.assert_allclose(scene[inside], plain[inside], atol=2e-3)


# --- goldens and the reference


@pytest.mark.parametrize("index", range(3))
def test_equals_the_official_harness(shared: Path, index: int) -> None:
    folder = shared / "golden"
    case = json.loads((folder / "niah-official.json").read_text())["cases"][index]
    vectors = np.load(folder / "niah-official.npz")
    stem = "aum_" + case["wav"].removesuffix(".wav")
    path = shared / "data" / "audioset_like" / "audio" / f"{stem}.flac"
    babble = shared / "data" / "babble" / "babble_all.wav"
    build = builder(load_haystack(case["noise"], babble=babble))
    scene = build.scene(
        build.needle(audio.load(path, 16000).samples),
        stem,
        length_s=case["length_frames"] / 100,
        position=case["position"],
        snr_db=case["snr_db"],
    ).numpy()
    rows, values = vectors[f"{case['name']}_rows"], vectors[f"{case['name']}_vals"]
    assert np.abs(scene[rows] - values).max() < 2e-3
    assert scene.mean() == pytest.approx(case["mean"], abs=1e-5)
    if case["noise"] == "zero":
        haystack = ~needle_rows(case["length_frames"] / 100, case["needle_start"])
        assert not scene[haystack].any()


@pytest.mark.parametrize(
    ("total", "position", "seconds"),
    [(2000, 0.3, 10.0), (5000, 0.9, 10.0), (3000, 0.5, 5.0), (3000, 0.0, 14.0)],
)
def test_equals_a_straightforward_implementation(
    recording: Path, total: int, position: float, seconds: float
) -> None:
    wave = clip(seconds, offset=0.02)
    noise = audio.load(recording, 16000).samples
    build = builder(load_haystack("babble", babble=recording))
    scene = build.scene(
        build.needle(wave), "a", length_s=total / 100, position=position, snr_db=10
    ).numpy()
    plain = official(wave, noise, total=total, position=position, snr_db=10)
    assert len(plain) == total
    assert np.abs(scene - plain).max() < 2e-3


@pytest.mark.slow
@pytest.mark.parametrize("position", [0.25, 1.0])
def test_equals_a_straightforward_implementation_beyond_400_s(
    recording: Path, position: float
) -> None:
    """The official blocks lose two frames at each edge."""
    wave = clip()
    build = builder(load_haystack("babble", babble=recording))
    noise = audio.load(recording, 16000).samples
    scene = build.scene(build.needle(wave), "a", length_s=850, position=position, snr_db=0).numpy()
    plain = official(wave, noise, total=85_000, position=position, snr_db=0)
    assert np.abs(scene - plain).max() < 2e-3


def test_blocks_of_400_s_lose_two_frames(recording: Path) -> None:
    """The quick form of the above: rows around the edge, at 450 s."""
    build = builder(load_haystack("babble", babble=recording))
    wave = clip()
    scene = build.scene(build.needle(wave), "a", length_s=450, position=1.0, snr_db=0).numpy()
    noise = audio.load(recording, 16000).samples.astype(np.float64)
    n = int(160000 / 998 * (45_000 - 1024)) + 1
    tiled = np.tile(noise, 1 + n // len(noise))[:n]
    tiled *= audio.rms(wave) / np.sqrt(np.mean(tiled**2))
    tiled -= tiled.mean()
    for row, block, within in ((39_996, 0, 39_996), (39_998, 1, 0), (40_100, 1, 102)):
        start = 6_400_000 * block + 160 * within
        energies = textbook_energies(tiled[start : start + 400 + 160])
        plain = (np.log(np.maximum(energies, 1.1920928955078125e-07)) - MEAN) / (2 * STD)
        assert np.abs(scene[row : row + 2] - plain).max() < 2e-3


def test_short_haystacks_are_complete_where_the_official_code_falls_short(recording: Path) -> None:
    build = builder(load_haystack("babble", babble=recording))
    for total in (1026, 1100, 1769):
        scene = build.scene(build.needle(clip()), "a", length_s=total / 100, position=0.0, snr_db=0)
        assert scene.shape == (total, 128)
        assert torch.isfinite(scene).all()


# --- purity


@pytest.mark.parametrize("protocol", ["dass-v1", "niah-v2"])
@pytest.mark.parametrize("kind", ["gaussian", "recording"])
def test_a_scene_does_not_depend_on_what_was_built_before(
    kind: str, protocol: str, recording: Path
) -> None:
    def fresh_builder() -> SceneBuilder:
        return builder(load_haystack(recording if kind == "recording" else kind), protocol)

    used = fresh_builder()
    needle = used.needle(clip())
    for other, length_s in itertools.product("bc", (12, 30)):
        used.scene(needle, other, length_s=length_s, position=0.1, snr_db=3)
    buffer = torch.full((4000, 128), torch.nan)
    again = used.scene(needle, "a", length_s=40, position=0.5, snr_db=10, out=buffer)
    fresh = fresh_builder().scene(needle, "a", length_s=40, position=0.5, snr_db=10)
    assert again is buffer
    assert torch.equal(again, fresh)


def test_clips_and_seeds_hear_different_noise() -> None:
    build = builder("gaussian", "niah-v2")
    needle = build.needle(clip())

    def course(clip_id: str, total: int, build: SceneBuilder = build) -> NoisePath:
        noise = build.noise(needle, clip_id, total=total, snr_db=0)
        assert noise is not None
        return noise.path

    assert len({course(str(k), 2000) for k in range(5)}) == 5
    assert course("a", 2000) != course("a", 2000, builder("gaussian", "niah-v2", seed=1))


def test_courses_stay_inside_the_bank_and_longer_ones_start_alike() -> None:
    bank = NoiseBank(GaussianNoise("test"), FRONTEND)
    long, short = patchwork(bank, 900_000, "a").segments, patchwork(bank, 100_000, "a").segments
    assert long[: len(short)] == short
    assert sum(length for _, length in short) >= 100_000
    assert all(offset + length <= bank.hops for offset, length in long)
    assert len({patchwork(bank, 5000, k) for k in range(2000)}) == 2000


def test_dass_v1_babble_starts_at_the_first_sample_for_every_clip(recording: Path) -> None:
    build = builder(load_haystack("babble", babble=recording))
    needle = build.needle(clip())
    a, b = (build.scene(needle, c, length_s=20, position=1, snr_db=0) for c in "ab")
    assert torch.equal(a, b)
    random_start = builder(load_haystack("babble", babble=recording), "niah-v2")
    a, b = (random_start.scene(needle, c, length_s=20, position=1, snr_db=0) for c in "ab")
    assert not torch.equal(a, b)
