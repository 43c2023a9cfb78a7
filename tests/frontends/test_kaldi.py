"""The filter bank: closed forms, then the official one, then invariances."""

import subprocess
import sys
from pathlib import Path

import kaldi_native_fbank
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from niah.frontends.kaldi import EPS, KaldiFrontend

FRONTEND = KaldiFrontend()


def noise(samples: int, batch: int = 1, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(batch, samples, generator=generator)


def kaldi_log_mel(wave: NDArray[np.float32]) -> NDArray[np.float32]:
    """The C++ of Kaldi itself, same options."""
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0
    options.frame_opts.window_type = "hanning"
    options.frame_opts.samp_freq = 16000
    options.mel_opts.num_bins = 128
    options.use_energy = False
    bank = kaldi_native_fbank.OnlineFbank(options)
    bank.accept_waveform(16000, wave.tolist())
    return np.stack([bank.get_frame(i) for i in range(bank.num_frames_ready)])


def textbook_energies(wave: NDArray[np.float64]) -> NDArray[np.float64]:
    """Frame by frame in float64, straight from the definition (`niah.frontends.kaldi`)."""
    n, bins = 400, 257
    hertz = np.arange(bins) * 16000 / 512
    mel = 1127 * np.log(1 + hertz / 700)
    edges = np.linspace(1127 * np.log(1 + 20 / 700), 1127 * np.log(1 + 8000 / 700), 130)
    weights = np.zeros((bins, 128))
    for m in range(128):
        left, centre, right = edges[m : m + 3]
        up, down = (mel - left) / (centre - left), (right - mel) / (right - centre)
        weights[:, m] = np.maximum(0, np.minimum(up, down))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / (n - 1))
    rows = []
    for start in range(0, len(wave) - n + 1, 160):
        x = wave[start : start + n] - wave[start : start + n].mean()
        x = x - 0.97 * np.concatenate([x[:1], x[:-1]])
        rows.append(np.abs(np.fft.rfft(x * window, 512)) ** 2 @ weights)
    return np.array(rows)


def test_frames_snip_edges() -> None:
    assert [FRONTEND.frames(n) for n in (0, 399, 400, 559, 560, 160000)] == [0, 0, 1, 1, 2, 998]
    assert all(FRONTEND.frames(FRONTEND.samples(n)) == n for n in (1, 2, 1024, 40000))
    assert FRONTEND.frames(FRONTEND.samples(7) - 1) == 6


def test_silence_is_the_floor_and_zero_padding_is_0_467() -> None:
    silent = FRONTEND.log_mel(FRONTEND.energies(torch.zeros(1, 800)))
    assert torch.allclose(silent, torch.tensor(EPS).log())
    assert FRONTEND.normalise(silent).max() == pytest.approx(-1.2776, abs=1e-4)
    assert float(FRONTEND.normalise(torch.zeros(1))) == pytest.approx(0.46703, abs=1e-5)
    assert torch.allclose(FRONTEND.denormalise(FRONTEND.normalise(silent)), silent)


def test_a_tone_peaks_in_its_mel_row() -> None:
    for hertz in (440.0, 1000.0, 3000.0):
        tone = torch.sin(2 * torch.pi * hertz * torch.arange(8000) / 16000)[None]
        row = int(FRONTEND.energies(tone)[0].mean(dim=0).argmax())
        assert abs(row + 0.5 - FRONTEND.row_of(hertz)) < 2


def test_agrees_with_a_float64_textbook_version() -> None:
    wave = noise(16000).double()
    ours = FRONTEND.energies(wave)[0].numpy()
    np.testing.assert_allclose(ours, textbook_energies(wave[0].numpy()), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("samples", [400, 16000, 33333])
def test_agrees_with_kaldi(samples: int) -> None:
    wave = noise(samples, seed=3)
    wave -= wave.mean()
    ours = FRONTEND.log_mel(FRONTEND.energies(wave))[0].numpy()
    assert np.abs(ours - kaldi_log_mel(wave[0].numpy())).max() < 1e-3


def test_agrees_with_torchaudio(shared: Path) -> None:
    golden = np.load(shared / "golden" / "frontends.npz")["ast_family"]
    drawn = np.random.Generator(np.random.Philox(key=7)).standard_normal((1, 16000))
    wave = np.float32(0.1) * drawn.astype(np.float32)
    wave = wave - wave.mean()
    ours = FRONTEND.log_mel(FRONTEND.energies(torch.from_numpy(wave)))[0].numpy()
    assert np.abs(ours - golden).max() < 1e-3


def test_blocks_make_no_difference() -> None:
    wave = noise(FRONTEND.samples(5000))  # many blocks
    whole = FRONTEND.energies(wave)[0]
    for first in (0, 250, 256, 4990):
        stretch = wave[:, first * 160 :][:, : FRONTEND.samples(10)]
        torch.testing.assert_close(
            FRONTEND.energies(stretch)[0], whole[first : first + 10], rtol=1e-4, atol=1e-7
        )


def test_a_batch_is_its_rows_and_the_call_removes_each_mean() -> None:
    wave = noise(4000, batch=3)
    batch = FRONTEND(wave + torch.tensor([[0.0], [0.3], [-0.2]]))
    for row in range(3):
        torch.testing.assert_close(
            batch[row : row + 1], FRONTEND(wave[row : row + 1]), atol=2e-4, rtol=0
        )


@settings(max_examples=20, deadline=None)
@given(gain=st.floats(1e-2, 1e2), samples=st.integers(400, 4000))
def test_energies_scale_with_the_square_of_the_gain(gain: float, samples: int) -> None:
    wave = noise(samples).double()
    torch.testing.assert_close(
        FRONTEND.energies(gain * wave), gain**2 * FRONTEND.energies(wave), rtol=1e-9, atol=1e-18
    )


def test_shorter_than_a_frame_gives_no_frames() -> None:
    assert FRONTEND(noise(399)).shape == (1, 0, 128)


@pytest.mark.gpu
def test_the_gpu_agrees_with_the_cpu() -> None:
    wave = noise(160000, batch=2)
    on_gpu = FRONTEND(wave.cuda()).cpu()
    torch.testing.assert_close(on_gpu, FRONTEND(wave), atol=1e-3, rtol=0)


def test_audio_does_not_import_torch() -> None:
    code = "import sys, niah.audio, niah.placement, niah.system.download; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
