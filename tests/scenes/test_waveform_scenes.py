"""The same scene by log-mel and by waveform: one sound, whatever the model takes."""

import functools
import tracemalloc
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.errors import NiahError
from niah.frontends import Frontend
from niah.frontends.kaldi import KaldiFrontend
from niah.frontends.waveform import WaveformFrontend
from niah.haystacks import Haystack, load_haystack
from niah.haystacks.energy_bank import NoiseBank
from niah.haystacks.sound_bank import SampleBank
from niah.haystacks.sources import GaussianNoise, Tiled
from niah.needles.features import loudest_segment
from niah.scenes.builder import Piece, SceneBuilder
from niah.scenes.lazy import stack

WAVES = WaveformFrontend(16000)
LOG_MEL = KaldiFrontend(needle_frames=1000, removes_mean=False)
SEED = 3
LENGTH_S = 60.0  # so that the noise has a seam


def clip(seconds: float) -> NDArray[np.float32]:
    rng = np.random.default_rng(1)
    t = np.arange(round(16000 * seconds)) / 16000
    sound = 0.2 * np.sin(2 * np.pi * (300 + 40 * t) * t) + 0.01 * rng.standard_normal(len(t))
    return sound.astype(np.float32)


@pytest.fixture(scope="module")
def haystacks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Haystack]:
    folder = tmp_path_factory.mktemp("recording")
    sound = 0.1 * np.random.default_rng(2).standard_normal(16000 * 7 + 13)
    soundfile.write(folder / "street.wav", sound, 16000)
    named = {name: load_haystack(name, seed=SEED) for name in ("silence", "gaussian", "babble")}
    return {**named, "recording": load_haystack(folder / "street.wav")}


def features_of(rows: Tensor) -> Tensor:
    """Log-mel features of a scene of samples."""
    energies = LOG_MEL.energies(rows.reshape(1, -1))[0]
    return LOG_MEL.normalise(LOG_MEL.log_mel(energies))


def outside(seams: list[int], frames: int) -> NDArray[np.bool_]:
    """Frames whose window lies on one side of every seam."""
    kept = np.ones(frames, dtype=bool)
    for seam in seams:
        kept[max(0, seam - 2) : seam] = False
    return kept


@pytest.mark.parametrize(
    ("protocol", "level", "seconds"),
    [
        ("niah-v2.1", "mix", 8.0),
        ("niah-v2.1", "mix", 12.0),
        ("niah-v2.1", "surround", 8.0),
        ("niah-v2", "mix", 8.0),
        ("niah-v2", "surround", 12.0),
    ],
)
@pytest.mark.parametrize("haystack", ["silence", "gaussian", "babble", "recording"])
def test_log_mel_of_the_waveform_scene_is_the_feature_scene(
    haystacks: dict[str, Haystack], haystack: str, protocol: str, level: str, seconds: float
) -> None:
    if haystack == "silence" and level == "mix":
        level = "surround"  # nothing mixes into a constant
    snr_db = None if haystack == "silence" else 4.0
    build = functools.partial(SceneBuilder, protocol=protocol, haystack=haystacks[haystack])
    by_wave, by_mel = (build(frontend, seed=SEED, level=level) for frontend in (WAVES, LOG_MEL))
    place: dict[str, Any] = {"length_s": LENGTH_S, "position": 0.3, "snr_db": snr_db}
    wave = clip(seconds)
    rows = by_wave.scene(by_wave.needle(wave), "a", **place)
    expected = by_mel.scene(by_mel.needle(wave), "a", **place)
    start = round(0.3 * (6000 - 1000))
    seams = [start, start + 1000]
    if level == "surround" and seconds < 10:
        seams.append(
            start + 800
        )  # past the clip, features are padded with a number, samples with silence
    noise = by_mel.noise(by_mel.needle(wave), "a", total=6000, snr_db=snr_db)
    if noise is not None and protocol == "niah-v2":
        assert len(noise.path.segments) > 1
        steps = np.cumsum([hops for _, hops in noise.path.segments])
        seams += [int(seam) for seam in steps]
        seams += [int(seam) + 1000 for seam in steps]  # counted along the noise, which is cut open
    found = features_of(rows)
    kept = outside(seams, len(found))
    if level == "surround" and seconds < 10:
        kept[start + 800 : start + 1000] = False
    if protocol == "niah-v2.1" and level == "mix":
        kept[:] = True  # one sound from end to end
    assert kept.sum() > 5000
    assert (found - expected[: len(found)])[torch.from_numpy(kept)].abs().max() < 5e-4


@pytest.mark.parametrize("sham", [False, True])
def test_controls_without_a_needle_are_the_same_sound(
    haystacks: dict[str, Haystack], sham: bool
) -> None:
    scenes = [
        SceneBuilder(frontend, "niah-v2.1", haystacks["gaussian"], SEED).scene(
            None, "a", length_s=14, position=0.5, snr_db=0, sham=sham
        )
        for frontend in (WAVES, LOG_MEL)
    ]
    found = features_of(scenes[0])
    kept = torch.from_numpy(outside([200, 1200] if sham else [], len(found)))
    assert (found - scenes[1][: len(found)])[kept].abs().max() < 5e-4


def test_silence_is_zeros_around_the_clip_and_the_clip_is_untouched() -> None:
    build = SceneBuilder(WAVES, "niah-v2.1", load_haystack("silence"))
    wave = clip(8.0)
    rows = build.scene(build.needle(wave), "a", length_s=20, position=1.0).reshape(-1)
    expected = np.zeros(320_000, np.float32)
    expected[160_000 : 160_000 + len(wave)] = wave
    assert np.array_equal(rows.numpy(), expected)


def test_blocks_are_the_whole_to_the_last_bit(haystacks: dict[str, Haystack]) -> None:
    for level in ("mix", "surround"):
        build = SceneBuilder(WAVES, "niah-v2.1", haystacks["babble"], SEED, level)
        scene = build.laid_out(
            build.needle(clip(9)), "b", length_s=LENGTH_S, position=0.4, snr_db=-3
        )
        whole = scene.whole()
        parts = [scene.render(torch.empty(750, 160), first) for first in range(0, 6000, 750)]
        assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("make", [SampleBank, NoiseBank])
def test_banks_measure_the_same_sound(make: type[SampleBank] | type[NoiseBank]) -> None:
    recording = np.random.default_rng(0).standard_normal(16000 * 20 + 7).astype(np.float32)
    for sound in (GaussianNoise("bank"), Tiled(recording)):
        frontend: Frontend = WAVES if make is SampleBank else LOG_MEL
        bank = make(sound, frontend)
        samples = sound.samples(1020 * 160, 4321).astype(np.float64)
        assert bank.square_sum(1020, 4321) == pytest.approx(float(samples @ samples), rel=1e-12)
        out = torch.empty(1500, frontend.mels)
        bank.fill(out, 1020, 0.5)
        expected = torch.from_numpy(sound.samples(1020 * 160, frontend.samples(1500)) * 0.5)
        if make is SampleBank:
            assert torch.equal(out.reshape(-1), expected)
        else:
            assert (out - features_of(expected)).abs().max() < 5e-4


def test_two_and_a_half_hours_exist_once(haystacks: dict[str, Haystack]) -> None:
    """Beside the 576 MB that the model is given, rendering takes a few megabytes (numpy's, which are traced)."""
    build = SceneBuilder(WAVES, "niah-v2.1", haystacks["recording"], SEED)
    scene = build.laid_out(build.needle(clip(10)), "a", length_s=9000, position=0.5, snr_db=10)
    tracemalloc.start()
    try:
        features = stack([scene])
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert features.shape == (1, 900_000, 160)
    assert features.reshape(1, -1).data_ptr() == features.data_ptr()
    assert peak_bytes < 16 << 20


def test_a_cut_needle_is_its_loudest_stretch() -> None:
    wave = np.full(160_000, 0.001, np.float32)
    wave[48_000:64_000] = 0.1 * clip(1.0)
    needle = SceneBuilder(WAVES, "niah-v2.1", load_haystack("silence")).needle(wave)
    assert abs(loudest_segment(needle, 100, of_samples=True) - 300) <= 1


def test_a_piece_of_a_clip_lies_where_it_is_put(haystacks: dict[str, Haystack]) -> None:
    build = SceneBuilder(WAVES, "niah-v2.1", haystacks["gaussian"], SEED)
    needle = build.needle(clip(10))
    piece = Piece(needle, start=700, first=250, count=100)
    rows = build.arranged([piece], "a", length_s=15, snr_db=20).whole()
    noise = build.noise(needle, "a", total=1500, snr_db=20)
    assert noise is not None
    without = torch.from_numpy(build.noise_samples(noise, 0, 240_000)).reshape(1500, 160)
    difference = rows - without
    assert difference[:700].abs().max() == difference[800:].abs().max() == 0
    expected = needle.features[250:350] * build.needle_gain(needle, 20)
    assert (difference[700:800] - expected).abs().max() < 1e-6


def test_what_waveforms_cannot_have_is_refused() -> None:
    with pytest.raises(NiahError, match=r"dass-v1 splices log-mel features.*--protocol niah-v2"):
        SceneBuilder(WAVES, "dass-v1", load_haystack("gaussian"))
    with pytest.raises(NiahError, match="which no waveform has: use silence"):
        SceneBuilder(WAVES, "niah-v2.1", load_haystack("zero"))
    with pytest.raises(NiahError, match=r"11025.*multiple of 100"):
        WaveformFrontend(11025)
    with pytest.raises(TypeError, match="SampleBank"):
        WAVES.levels(torch.zeros(1))


def test_a_rate_of_its_own_is_a_front_end_of_its_own() -> None:
    prints = {WaveformFrontend(rate).fingerprint for rate in (8000, 16000, 44100)}
    assert len(prints) == 3
    assert WAVES.fingerprint == WaveformFrontend().fingerprint
