"""The front ends beside AST's: the official goldens, independent oracles, and what scenes rely on in each."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import kaldi_native_fbank
import librosa
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from niah.errors import NiahError
from niah.frontends import Frontend
from niah.frontends.kaldi import AST, BEATS, EAT, EPS
from niah.frontends.log_mel import LogMelFrontend
from niah.frontends.stft import HTSAT, PANNS_16K, PASST, StftFrontend

MAGNITUDE = LogMelFrontend(  # YAMNet's
    sample_rate=16000,
    n_fft=512,
    win_length=400,
    hop_length=160,
    window_pad="end",
    center=False,
    power=1,
    n_mels=64,
    f_min=125,
    f_max=7500,
    log="ln",
    offset=0.001,
)
CENTRED = LogMelFrontend(
    sample_rate=22000,
    n_fft=1024,
    win_length=800,
    hop_length=220,
    window="hamming",
    n_mels=80,
    mel_scale="slaney",
    norm="slaney",
    log="dB",
    floor=1e-10,
    mean=-30,
    std=20,
)
ALL: dict[str, Frontend] = {
    **{"ast": AST, "eat": EAT, "beats": BEATS, "passt": PASST, "htsat": HTSAT},
    **{"magnitude": MAGNITUDE, "centred": CENTRED},
}
each = pytest.mark.parametrize("frontend", ALL.values(), ids=list(ALL))


def drawn(key: int, samples: int) -> NDArray[np.float32]:
    """The goldens' waveforms."""
    values = np.random.Generator(np.random.Philox(key=key)).standard_normal((1, samples))
    return np.float32(0.1) * values.astype(np.float32)


def noise(samples: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(1, samples, generator=torch.Generator().manual_seed(seed))


# --- goldens and oracles


def test_beats_agrees_with_torchaudio(shared: Path) -> None:
    golden = np.load(shared / "golden" / "frontends.npz")["beats"]
    ours = BEATS.log_mel(BEATS.energies(torch.from_numpy(drawn(7, 16000))))[0].numpy()
    assert np.abs(ours - golden).max() < 5e-4  # float32 of the golden itself: 1.6e-4 from float64


def test_beats_agrees_with_kaldi() -> None:
    wave = drawn(5, 20000)[0]
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0
    options.frame_opts.window_type = "povey"
    options.frame_opts.samp_freq = 16000
    options.mel_opts.num_bins = 128
    options.use_energy = False
    bank = kaldi_native_fbank.OnlineFbank(options)
    bank.accept_waveform(16000, (wave * 2**15).tolist())
    official = np.stack([bank.get_frame(i) for i in range(bank.num_frames_ready)])
    ours = BEATS(torch.from_numpy(wave)[None])[0].numpy()
    assert np.abs(ours - (official - 15.41663) / (2 * 6.55582)).max() < 1e-3


def test_passt_agrees_with_the_official_code(shared: Path) -> None:
    golden = np.load(shared / "golden" / "frontends.npz")["passt"]
    ours = PASST(torch.from_numpy(drawn(8, 32000)))[0].T.numpy()
    assert ours.shape == golden[0].shape
    assert np.abs(ours - golden[0]).max() < 5e-5


def test_htsat_agrees_with_the_official_code(shared: Path) -> None:
    golden = np.load(shared / "golden" / "htsat.npz")["frontend_logmel"][0, 0]
    ours = HTSAT(torch.from_numpy(drawn(7, 32000)))[0].numpy()
    assert ours.shape == golden.shape
    assert np.abs(ours - golden).max() < 1e-3  # decibels


@pytest.mark.parametrize("samples", [32000, 20011])
@pytest.mark.parametrize("frontend", [HTSAT, PANNS_16K])
def test_decibels_agree_with_librosa(frontend: StftFrontend, samples: int) -> None:
    at_32k = frontend is HTSAT
    wave = noise(samples, seed=2)[0].numpy()
    power = librosa.feature.melspectrogram(
        y=wave,
        sr=32000 if at_32k else 16000,
        n_fft=1024 if at_32k else 512,
        hop_length=320 if at_32k else 160,
        pad_mode="reflect",
        n_mels=64,
        fmin=50,
        fmax=14000 if at_32k else 8000,
    )
    official = librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=None).T
    ours = frontend(torch.from_numpy(wave)[None])[0].numpy()
    assert ours.shape == official.shape
    assert np.abs(ours - official).max() < 1e-3


def test_passt_agrees_with_a_plain_stft() -> None:
    """Straight from the facts: the window padded inside the FFT, torch.stft centred and reflected."""
    wave = noise(16000, seed=4).double()
    emphasised = wave[:, 1:] - 0.97 * wave[:, :-1]
    window = torch.hann_window(800, periodic=False, dtype=torch.float64)
    spectrum = torch.stft(emphasised, 1024, 320, 800, window, center=True, return_complex=True)
    power = spectrum.abs().square()[0, :512].T
    hertz = torch.arange(512, dtype=torch.float64) * 31.25
    mel = 1127 * torch.log(1 + hertz / 700)
    edges = torch.linspace(0, 1127 * math.log(1 + 15000 / 700), 130, dtype=torch.float64)
    rows = []
    for left, centre, right in zip(edges, edges[1:], edges[2:], strict=False):
        up, down = (mel - left) / (centre - left), (right - mel) / (right - centre)
        rows.append(power @ torch.minimum(up, down).clamp_min(0))
    expected = (torch.log(torch.stack(rows, dim=1) + 1e-5) + 4.5) / 5
    torch.testing.assert_close(PASST(wave)[0], expected, rtol=1e-9, atol=1e-9)


# --- truths of each


@each
def test_a_ten_second_clip_has_the_frames_of_its_authors(frontend: Frontend) -> None:
    wanted = {"ast": 1024, "eat": 1024, "beats": 998, "passt": 1000, "htsat": 1001}
    wanted |= {"magnitude": 998, "centred": 1001}
    name = next(name for name, known in ALL.items() if known is frontend)
    wave = noise(10 * frontend.sample_rate)
    assert frontend.needle_frames == wanted[name]
    assert frontend.needle(wave[0]).shape == (wanted[name], frontend.mels)
    assert frontend(wave).shape[1] == frontend.frames(wave.shape[1])
    assert frontend.sample_rate / frontend.frame_shift == 100


@each
@pytest.mark.parametrize("seconds", [1.0, 10.0, 13.0])
def test_a_needle_begins_as_the_clip_does(frontend: Frontend, seconds: float) -> None:
    wave = noise(round(seconds * frontend.sample_rate), seed=1)
    wave -= wave.mean()
    plain, needle = frontend(wave)[0], frontend.needle(wave[0])
    same = min(len(plain), len(needle)) - 3  # the last frames see the padding, or the cut
    torch.testing.assert_close(needle[:same], plain[:same], atol=2e-4, rtol=0)
    if seconds == 1.0:
        padding = needle[len(plain) + 3 :]
        expected = 0.46703 if frontend in (AST, EAT) else frontend.silence
        assert torch.allclose(padding, torch.tensor(expected), atol=1e-4)


@each
def test_whole_frames_are_those_inside_the_clip(frontend: Frontend) -> None:
    """The frames of a haystack's bank are the clip's own, but for the ends and the shift by `lead`."""
    wave = noise(frontend.sample_rate, seed=3)
    energies = frontend.energies(wave)[0]
    assert frontend.samples(len(energies)) <= wave.shape[1] < frontend.samples(len(energies) + 1)
    hops = 3
    later = torch.cat([wave[:, hops * frontend.frame_shift - frontend.lead :]], dim=1)
    inside = frontend.energies(later)[0][:20]
    whole = frontend(wave if not frontend.removes_mean else wave - wave.mean())[0]
    played = frontend.levels(inside.clone())
    frontend.finish(played.numpy(), float(played.min()))
    torch.testing.assert_close(played, whole[hops : hops + 20], atol=2e-4, rtol=1e-4)


@each
@pytest.mark.parametrize("gain", [1e-4, 0.03, 1.0, 20.0])
def test_levels_play_a_sound_at_any_gain(frontend: Frontend, gain: float) -> None:
    """finish(levels(E) + gain_level(g)) is the front end of the sound times g, floor or offset included."""
    wave = noise(frontend.sample_rate, seed=6).double()
    expected = frontend.normalise(frontend.log_mel(frontend.energies(gain * wave)))
    played = frontend.levels(frontend.energies(wave)).float().numpy()[0] + np.float32(
        frontend.gain_level(gain)
    )
    frontend.finish(played, float(played.min()))
    scale = 5e-6 * max(1.0, float(expected.abs().max()))
    assert np.abs(played - expected[0].numpy()).max() < scale


@each
def test_energies_scale_with_the_square_of_the_gain(frontend: Frontend) -> None:
    wave = noise(frontend.sample_rate // 2).double()
    scale = 0.37 if frontend is MAGNITUDE else 0.37**2
    torch.testing.assert_close(
        frontend.energies(0.37 * wave), scale * frontend.energies(wave), rtol=1e-9, atol=1e-18
    )


@each
def test_silence_is_what_zeros_give(frontend: Frontend) -> None:
    zeros = torch.zeros(1, frontend.sample_rate)
    assert torch.allclose(frontend(zeros), torch.tensor(frontend.silence), atol=1e-5)
    played = np.full((3, frontend.mels), -np.inf, dtype=np.float32)
    frontend.finish(played, -np.inf)
    assert np.allclose(played, frontend.silence, atol=1e-5)


@each
def test_a_tone_peaks_in_its_mel_row(frontend: Frontend) -> None:
    for hertz in (500.0, 1500.0, 4000.0):
        time = torch.arange(frontend.sample_rate) / frontend.sample_rate
        tone = torch.sin(2 * torch.pi * hertz * time)[None]
        row = int(frontend.energies(tone)[0].mean(dim=0).argmax())
        assert abs(row + 0.5 - frontend.row_of(hertz)) < 2  # type: ignore[attr-defined]


@each
def test_decibels_are_of_the_energies(frontend: Frontend) -> None:
    wave = noise(frontend.sample_rate)
    energies = frontend.energies(wave)
    floored: dict[Frontend, torch.Tensor] = {
        PASST: energies + 1e-5,
        MAGNITUDE: (energies + 1e-3).square(),
    }
    expected = 10 * torch.log10(floored.get(frontend, energies.clamp_min(EPS)))
    features = frontend.normalise(frontend.log_mel(frontend.energies(wave))).numpy()
    np.testing.assert_allclose(frontend.decibels(features), expected.numpy(), atol=1e-3)  # type: ignore[attr-defined]


@each
def test_what_is_no_batch_of_waveforms_is_refused_in_words(frontend: Frontend) -> None:
    wave: Any = noise(20_000)
    for given, kind in (
        (wave[0], r"\(20000,\) of torch.float32"),
        ((wave * 1000).to(torch.int16), r"\(1, 20000\) of torch.int16"),
        (wave.numpy(), "ndarray"),
    ):
        with pytest.raises(NiahError, match=rf"takes a tensor \(clips, samples\) .* not {kind}:"):
            frontend(given)


@each
def test_shorter_than_a_frame_gives_none(frontend: Frontend) -> None:
    few = frontend.lead or frontend.frame_length - 1
    assert frontend.frames(few) == 0
    assert frontend(noise(few)).shape == (1, 0, frontend.mels)


def test_each_is_a_front_end_of_its_own() -> None:
    assert all(isinstance(frontend, Frontend) for frontend in ALL.values())
    prints = [frontend.fingerprint for frontend in ALL.values()]
    assert len(set(prints)) == len(prints)
    # changing one voids users' caches and runs
    assert prints[0] == "a5965474ccfc5dd3"


def test_fingerprints_tell_all_parameters_apart() -> None:
    other = {"window": "povey", "padding": "silence", "removes_mean": False, "mel_scale": "slaney"}
    for frontend in (AST, PASST):
        changed = []
        for field in dataclasses.fields(frontend):
            value = getattr(frontend, field.name)
            if field.name in other:
                value = other[field.name]
            else:
                value = (*value, 1.0) if isinstance(value, tuple) else value + 1
            changed.append(dataclasses.replace(frontend, **{field.name: value}))
        assert len({f.fingerprint for f in [frontend, *changed]}) == 1 + len(changed)


def test_a_checkpoint_gives_the_mean_log_mel_of_htsat() -> None:
    row = [float(value) for value in range(64)]
    fitted = HTSAT.with_zero_row(row)
    assert HTSAT.zero_row == ()
    assert fitted.zero_row == tuple(row)
    assert fitted.fingerprint != HTSAT.fingerprint
    with pytest.raises(NiahError, match="64 values, got 3"):
        HTSAT.with_zero_row([1, 2, 3])


@pytest.mark.gpu
@each
def test_the_gpu_agrees_with_the_cpu(frontend: Frontend) -> None:
    wave = noise(frontend.sample_rate)
    torch.testing.assert_close(frontend(wave.cuda()).cpu(), frontend(wave), atol=1e-3, rtol=1e-4)
