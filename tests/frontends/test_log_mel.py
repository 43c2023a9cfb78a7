"""Front ends by card: librosa's and torchaudio's features to 1e-5, and bad values named by file and key."""

import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor

from niah.cards import read_model_card
from niah.errors import NiahError
from niah.frontends.log_mel import LogMelFrontend, from_card

CARD = 'name = "mine"\nadapter = "mine:Mine"\nlabels = "esc-10"\n'
FRONTEND = (
    'sample_rate = 16000\nn_fft = 512\nhop_length = 160\nn_mels = 64\nlog = "ln"\noffset = 0.001\n'
)


def noise(samples: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(1, samples, generator=torch.Generator().manual_seed(seed))


def relative(ours: Tensor, expected: Tensor) -> float:
    assert ours.shape == expected.shape
    return float((ours - expected).abs().max() / expected.abs().max())


def made(**changes: Any) -> LogMelFrontend:
    known: dict[str, Any] = {
        **{"sample_rate": 16000, "n_fft": 512, "hop_length": 160, "n_mels": 64},
        **{"log": "ln", "offset": 1e-3},
    }
    return LogMelFrontend(**{**known, **changes})


@pytest.mark.parametrize(
    ("scale", "norm", "power", "center"),
    list(itertools.product(("htk", "slaney"), ("none", "slaney"), (1, 2), (True, False))),
)
def test_librosa_gives_the_same(scale: str, norm: str, power: int, center: bool) -> None:
    """Its own melspectrogram, then its own decibels: every way of making filters, magnitude and power."""
    wave = noise(20011, seed=1)
    frontend = made(
        **{"mel_scale": scale, "norm": norm, "power": power, "center": center, "win_length": 400},
        **{"f_min": 50, "f_max": 7600, "log": "dB", "offset": 0, "floor": 1e-5},
    )
    mel = librosa.feature.melspectrogram(
        y=wave[0].numpy(),
        sr=16000,
        n_fft=512,
        hop_length=160,
        win_length=400,
        center=center,
        pad_mode="reflect",
        power=power,
        n_mels=64,
        fmin=50,
        fmax=7600,
        htk=scale == "htk",
        norm=None if norm == "none" else norm,
    )
    decibels = (
        librosa.amplitude_to_db(mel, ref=1.0, amin=1e-5, top_db=None)
        if power == 1
        else librosa.power_to_db(mel, ref=1.0, amin=1e-5, top_db=None)
    )
    assert relative(frontend(wave)[0], torch.from_numpy(decibels.T)) < 1e-5


def torchaudio_log_mel(wave: Tensor, **stated: Any) -> Tensor:
    """The formula that torchaudio's MelSpectrogram documents: torch.stft, its power, its filters, a logarithm."""
    make = getattr(torch, f"{stated['window']}_window")
    window = make(stated["win_length"], periodic=stated["periodic"], dtype=wave.dtype)
    spectrum = torch.stft(
        wave,
        512,
        160,
        stated["win_length"],
        window,
        center=stated["center"],
        pad_mode=stated["pad_mode"],
        return_complex=True,
    )
    points = np.linspace(
        0, 2595 * math.log10(1 + 8000 / 700), 66
    )  # melscale_fbanks, mel_scale="htk"
    hertz = torch.from_numpy(700 * (10 ** (points / 2595) - 1))
    width = hertz[1:] - hertz[:-1]
    slopes = hertz[None] - torch.linspace(0, 8000, 257, dtype=torch.float64)[:, None]
    bank = torch.minimum(-slopes[:, :-2] / width[:-1], slopes[:, 2:] / width[1:]).clamp_min(0)
    mel = spectrum.abs().pow(stated["power"]).transpose(1, 2) @ bank.to(wave.dtype)
    return torch.log(mel + stated["offset"])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"power": 1, "center": False, "win_length": 400},
        {"pad_mode": "constant", "periodic": False, "window": "hamming"},
        {"window": "blackman", "win_length": 321},
    ],
    ids=["default", "magnitude", "constant", "odd-window"],
)
def test_torchaudio_gives_the_same(changes: dict[str, Any]) -> None:
    stated = {
        **{"window": "hann", "periodic": True, "win_length": 512, "center": True},
        **{"pad_mode": "reflect", "power": 2, "offset": 1e-3, **changes},
    }
    for wave in (noise(16000), noise(16001, seed=2).double()):
        assert relative(made(**stated)(wave), torchaudio_log_mel(wave, **stated)) < 1e-5


def test_kaldi_and_tensorflow_filters_are_straight_on_the_mel_axis() -> None:
    """tf.signal's formula: stft from each frame's start, magnitude, slopes between mels, ln(x + offset): YAMNet's."""
    wave = noise(16000, seed=3).double()
    window = torch.hann_window(400, dtype=torch.float64)
    spectrum = torch.fft.rfft(wave[0].unfold(0, 400, 160) * window, 512).abs()
    mel = 1127 * torch.log(1 + torch.linspace(0, 8000, 257, dtype=torch.float64) / 700)
    edges = torch.linspace(
        1127 * math.log(1 + 125 / 700), 1127 * math.log(1 + 7500 / 700), 66, dtype=torch.float64
    )
    lower = (mel[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    upper = (edges[2:] - mel[:, None]) / (edges[2:] - edges[1:-1])
    expected = torch.log(spectrum @ torch.minimum(lower, upper).clamp_min(0) + 1e-3)
    frontend = made(
        **{"win_length": 400, "window_pad": "end", "center": False, "power": 1},
        **{"f_min": 125, "f_max": 7500, "mel_scale": "kaldi"},
    )
    assert relative(frontend(wave)[0], expected) < 1e-9
    assert frontend(noise(15600)).shape == (1, 96, 64)  # 0.975 s: one patch of YAMNet


@pytest.mark.parametrize(
    ("samples", "patches"),
    [
        (1, 1), (399, 1), (400, 1), (8000, 1), (15600, 1), (15601, 2), (16000, 2), (23280, 2),
        (23281, 3), (160_000, 20), (163_840, 21),
    ],
)  # fmt: skip
def test_a_clip_is_filled_up_to_a_whole_patch(samples: int, patches: int) -> None:
    """YAMNet's rule: zeros up to 0.975 s, and then up to a multiple of 0.48 s more."""
    plain = made(win_length=400, window_pad="end", center=False, power=1)
    frontend = dataclasses.replace(plain, patch_frames=96, patch_hop=48)
    wave = noise(samples)
    filled = torch.nn.functional.pad(wave, (0, 15600 + 7680 * (patches - 1) - samples))
    expected = plain(filled)
    assert expected.shape[1] == 96 + 48 * (patches - 1)
    found = frontend(wave)
    frames = found.shape[1]
    assert frames == frontend.frames(samples)
    assert 1 + max(0, -(-(frames - 96) // 48)) == patches
    torch.testing.assert_close(found, expected[:, :frames])
    beyond = expected[:, frames:]
    torch.testing.assert_close(beyond, torch.full_like(beyond, frontend.silence))
    if samples > 1:  # the window begins with 0
        assert float(found[:, -1].amax()) > frontend.silence


def test_scenes_and_clips_of_10_s_have_100_frames_a_second() -> None:
    frontend = made(win_length=400, window_pad="end", center=False, patch_frames=96, patch_hop=48)
    assert frontend.needle_frames == 1000
    assert frontend(noise(0)).shape == (1, 0, 64)
    assert frontend.energies(noise(160_240)).shape == (1, 1000, 64)
    centred = made(patch_frames=96)
    assert centred.frames(16000) == made().frames(16000) == 101
    assert centred(noise(16000)).shape == (1, 101, 64)


def test_normalisation_and_logarithms() -> None:
    wave = noise(8000)
    plain = made()(wave)
    assert torch.allclose(made(log="log10")(wave), plain / math.log(10), atol=1e-6)
    assert torch.allclose(made(log="dB")(wave), 10 * plain / math.log(10), atol=1e-4)
    normalised = made(mean=-4.5, std=5)
    assert torch.allclose(normalised(wave), (plain + 4.5) / 5, atol=1e-6)
    assert torch.allclose(normalised.denormalise(normalised(wave)), plain, atol=1e-5)
    assert (made().zero_row, normalised.zero_row) == ((), (0.0,))
    assert made(mean_log_mel=(-2.0,), mean=-4.0, std=2.0).zero_row == (1.0,)


def test_a_hop_of_any_length() -> None:
    wave = noise(9000)
    frontend = made(hop_length=323)
    assert not frontend.is_10_ms
    assert made().is_10_ms
    expected = librosa.feature.melspectrogram(
        y=wave[0].numpy(),
        sr=16000,
        n_fft=512,
        hop_length=323,
        n_mels=64,
        htk=True,
        norm=None,
        pad_mode="reflect",
    )
    assert relative(frontend(wave)[0], torch.from_numpy(np.log(expected.T + 1e-3))) < 1e-5
    assert frontend.frames(9000) == 28


def test_every_parameter_is_in_the_fingerprint() -> None:
    assert made(f_min=125).fingerprint == made(f_min=125.0).fingerprint
    assert made(f_max=8000).fingerprint == made().fingerprint
    frontend = made(center=False)
    words = {
        "log": "dB",
        "window": "hamming",
        "window_pad": "end",
        "pad_mode": "constant",
        "mel_scale": "slaney",
    }
    words |= {"norm": "slaney"}
    changes: dict[str, Any] = {
        **words,
        **{"sample_rate": 17000, "n_fft": 514, "win_length": 400, "hop_length": 161, "n_mels": 65},
        **{
            "periodic": False,
            "center": True,
            "power": 1,
            "f_min": 1,
            "f_max": 7000,
            "offset": 2e-3,
        },
        **{"mean": 1, "std": 2, "mean_log_mel": (1.0,), "patch_frames": 96},
    }
    stated = {field.name for field in dataclasses.fields(LogMelFrontend)}
    assert stated - set(changes) == {"floor", "top_db", "patch_hop"}
    prints = {
        dataclasses.replace(frontend, **{name: value}).fingerprint
        for name, value in changes.items()
    }
    prints |= {made(center=False, offset=0, floor=1e-3).fingerprint, frontend.fingerprint}
    prints.add(made(center=False, patch_frames=96, patch_hop=48).fingerprint)
    assert len(prints) == len(changes) + 3


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("n_fft = 511", "key 'frontend.n_fft' must be even but 511 was given"),
        ("n_fft = 512.5", "key 'frontend.n_fft' must be int, got 512.5"),
        ("n_fft = 0", "key 'frontend.n_fft' must be 1 to 1048576 but 0 was given"),
        ("win_length = 600", "key 'frontend.win_length' must be at most n_fft (512) but 600 was given"),
        ('mel_scale = "htc"', "key 'frontend.mel_scale' must be htk or slaney or kaldi but 'htc' was given. Did you"),
        ("f_max = 9000", "key 'frontend.f_max' must be at most half the sample rate (8000 Hz) but 9000 was given"),
        ("f_min = 8000", "key 'frontend.f_min' must be 0 Hz or more and below f_max (8000) but 8000 was given"),
        ("f_min = nan", "key 'frontend.f_min' must be 0 Hz or more"),
        ("power = 3", "key 'frontend.power' must be 1 (magnitude) or 2 but 3 was given"),
        ("floor = 1e-5", "key 'frontend.offset' or floor must be above 0, one of the two"),
        ("offset = -1", "key 'frontend.offset' must be 0 or more but -1.0 was given"),
        ("std = 0", "key 'frontend.std' must be above 0 but 0.0 was given"),
        ("mean = inf", "key 'frontend.mean' must be finite but inf was given"),
        ('top_db = "80"', "key 'frontend.top_db' must be none but '80' was given"),
        ("mean_log_mel = [1, 2]", "key 'frontend.mean_log_mel' must have 1 value or 64 but 2 were given"),
        ("patch_hop = 48", "key 'frontend.patch_hop' must be 1 to patch_frames (0)"),
        ('window_pad = "end"', "key 'frontend.window_pad' must be both where center is true"),
        ('mel_scale = "kaldi"\nnorm = "slaney"', "key 'frontend.norm' must be none where mel_scale is kaldi"),
        ("hop = 160", "unknown key 'frontend.hop'."),
        (f"f_min = 1{'0' * 400}", "key 'frontend.f_min' is too large"),
    ],
)  # fmt: skip
def test_a_bad_value_is_one_line_with_file_and_key(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "mine.toml"
    key = line.partition(" ")[0]
    others = "".join(f"{row}\n" for row in FRONTEND.splitlines() if row.partition(" ")[0] != key)
    path.write_text(f"{CARD}[frontend]\n{others}{line}\n")
    with pytest.raises(NiahError) as refused:
        from_card(read_model_card(path))
    assert str(refused.value).startswith(f"card {path}: {problem}")
    assert "\n" not in str(refused.value)


def test_a_card_without_the_table_says_so(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(CARD)
    with pytest.raises(NiahError, match=r"mine.toml: \[frontend\] is missing"):
        from_card(read_model_card(path))
    path.write_text(f"{CARD}[frontend]\n{FRONTEND}")
    assert from_card(read_model_card(path)) == made()
    path.write_text(f"{CARD}[frontend]\n{FRONTEND.replace('n_mels = 64', '')}")
    with pytest.raises(NiahError, match=r"key 'frontend.n_mels' is missing"):
        from_card(read_model_card(path))
