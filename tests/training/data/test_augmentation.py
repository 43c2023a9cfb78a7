"""Augmentation against sounds that are mixed, shifted and scaled directly."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from niah.frontends.kaldi import EPS, KaldiFrontend
from niah.training.data.augmentation import (
    gain,
    mix_targets,
    mixup,
    mixup_waveforms,
    move_waveform,
    roll,
    spec_augment,
)

FRONTEND = KaldiFrontend()


def log_mel_of(samples: Tensor) -> Tensor:
    return FRONTEND.log_mel(FRONTEND.energies(samples[None]))


def test_mixup_in_the_power_domain_is_mixing_the_sounds() -> None:
    """Where two sounds do not overlap in frequency, frame by frame; where they do, on average."""
    t = torch.arange(48000) / 16000
    low, high = 0.3 * torch.sin(2 * math.pi * 300 * t), 0.2 * torch.sin(2 * math.pi * 4000 * t)
    generator = torch.Generator().manual_seed(0)
    noises = 0.1 * torch.randn(2, 48000, generator=generator)
    for (a, b), largest in (((low, high), 0.02), ((noises[0], noises[1]), 0.25)):
        for weight in (0.3, 0.5, 0.8):
            true = log_mel_of(weight * a + (1 - weight) * b)
            mixed = mixup(log_mel_of(a), log_mel_of(b), torch.tensor([weight]))
            ratio = mixed[0].exp().mean(0) / true[0].exp().mean(0)
            loud = true[0].exp().mean(0) > 1e-6 * true[0].exp().max()
            assert float((ratio[loud] - 1).abs().max()) < largest
            assert float((ratio[loud] - 1).abs().mean()) < 0.06


def test_mixup_mixes_labels_by_the_same_weight() -> None:
    targets = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    weights = torch.tensor([0.3, 1.0])
    y = mix_targets(targets, targets.flip(0), weights)
    torch.testing.assert_close(y, torch.tensor([[0.3, 0.7, 0.7], [0.0, 1.0, 1.0]]))
    log_mel = torch.zeros(2, 3, 128)
    mixed = mixup(log_mel, log_mel, weights)
    # exp(0) twice: log(0.09 + 0.49)
    torch.testing.assert_close(mixed[0], torch.full((3, 128), math.log(0.58)))
    torch.testing.assert_close(mixed[1], log_mel[1])  # weight 1 leaves a clip alone


def test_mixup_of_waveforms_as_released() -> None:
    """Means off first, the shorter partner zero-padded, the mean of the sum off again."""
    own = np.array([1, 3, 1, 3], np.float32)  # less its mean: -1 1 -1 1
    partner = np.array([6, 2], np.float32)  # less its mean: 2 -2, then nothing
    mixed = mixup_waveforms(own, partner, 0.75)
    np.testing.assert_allclose(mixed, [-0.75 + 0.5, 0.75 - 0.5, -0.75, 0.75], atol=1e-6)
    longer = mixup_waveforms(own[:2], np.array([4, 0, 2, 2], np.float32), 0.5)  # 2 -2 | cut
    np.testing.assert_allclose(longer, [0.5, -0.5], atol=1e-6)


def test_moving_a_waveform_is_a_circle_and_decibels() -> None:
    moved = move_waveform(np.array([1, 2, 3, 4], np.float32), 0.5, 20.0)
    np.testing.assert_allclose(moved, [30, 40, 10, 20], rtol=1e-6)


def test_spec_augment_masks_one_band_and_one_stretch_with_zero_log_mel() -> None:
    bands, stretches = torch.tensor([[10, 5], [0, 0]]), torch.tensor([[0, 30], [290, 10]])
    hidden = spec_augment(torch.ones(2, 300, 128), bands, stretches) == 0
    expected = torch.zeros(2, 300, 128, dtype=torch.bool)
    expected[0, :, 10:15] = True
    expected[0, :30] = True
    expected[1, 290:] = True
    assert torch.equal(hidden, expected)
    shown = FRONTEND.normalise(torch.zeros(1))
    assert float(shown) == pytest.approx(0.46703, abs=1e-5)  # as in the official loader


def test_rolling_moves_frames_and_loses_none() -> None:
    x = torch.arange(50.0)[None, :, None].expand(3, 50, 128).contiguous()
    rolled = roll(x, torch.tensor([0.0, 0.1, 0.98]))
    for row, shift in zip(rolled[:, :, 0], (0, 5, 49), strict=True):
        assert torch.equal(row, torch.roll(torch.arange(50.0), shift))


def test_gain_is_in_decibels_of_power_and_keeps_the_floor() -> None:
    louder = gain(torch.zeros(2, 1, 4), torch.tensor([10.0, -20.0]))
    torch.testing.assert_close(louder[:, 0, 0], torch.tensor([1.0, -2.0]) * math.log(10))
    quiet = gain(torch.full((1, 1, 1), math.log(EPS)), torch.tensor([-6.0]))
    assert float(quiet) == pytest.approx(math.log(EPS), abs=1e-5)
