"""The changes that a step makes to clips: as log-mel features (B, frames, mels), or as waveforms (samples,).

All random numbers come from the plan (`niah.training.data.batch_plan`). Log-mel is not normalised yet.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.frontends.kaldi import EPS

LOG_FLOOR = math.log(EPS)
Samples = NDArray[np.float32]


def mixup(log_mel: Tensor, partners: Tensor, weights: Tensor) -> Tensor:
    """Mix clips with partners: the sum of two sounds with amplitudes w and 1 - w, in the power domain.

        log(w^2 exp(a) + (1 - w)^2 exp(b))

    Cross terms of the two sounds, zero on average, are left out.

    Args:
        log_mel: (B, frames, mels), a.
        partners: (B, frames, mels), b.
        weights: (B,) in (0, 1]; 1 leaves a clip alone.
    """
    w = weights[:, None, None]
    other = torch.log1p(-w).clamp(min=-1e4)  # log(1 - w), finite where w = 1
    return torch.logaddexp(log_mel + 2 * w.log(), partners + 2 * other).clamp(min=LOG_FLOOR)


def mix_targets(targets: Tensor, partners: Tensor, weights: Tensor) -> Tensor:
    """Return w y_a + (1 - w) y_b.

    Args:
        targets: (B, classes), y_a.
        partners: (B, classes), y_b.
        weights: (B,), w.
    """
    w = weights[:, None]
    return w * targets + (1 - w) * partners


def mixup_waveforms(own: Samples, partner: Samples, weight: float) -> Samples:
    """Return w a + (1 - w) b less its mean, as AST's `dataloader.py` (`_wav2fbank`) does.

    Both means are removed first, and the partner is cut or zero-padded to the clip's length.

    Args:
        own: (samples,), a.
        partner: (any number of samples,), b.
        weight: w.
    """
    fitted = np.zeros_like(own)
    length = min(len(own), len(partner))
    fitted[:length] = (partner - partner.mean())[:length]
    mixed = weight * (own - own.mean()) + (1 - weight) * fitted
    return np.asarray(mixed - mixed.mean(), np.float32)


def roll(log_mel: Tensor, shifts: Tensor) -> Tensor:
    """Shift each clip circularly in time.

    Args:
        log_mel: (B, frames, mels).
        shifts: (B,) in [0, 1), as a share of the clip's length.
    """
    frames = log_mel.shape[1]
    moved = (shifts.double() * frames).long()
    index = (torch.arange(frames)[None] - moved[:, None]) % frames
    return log_mel.gather(1, index[..., None].expand_as(log_mel))


def gain(log_mel: Tensor, decibels: Tensor) -> Tensor:
    """Change each clip's level, not below the front end's floor.

    Args:
        log_mel: (B, frames, mels), natural logarithm of power.
        decibels: (B,).
    """
    return (log_mel + decibels[:, None, None] * (math.log(10) / 10)).clamp(min=LOG_FLOOR)


def move_waveform(samples: Samples, shift: float, decibels: float) -> Samples:
    """Apply `roll` and `gain` to one waveform.

    Args:
        samples: (n,) float32.
        shift: in [0, 1), as a share of the length.
        decibels: change of level.
    """
    moved = np.roll(samples, int(shift * len(samples))) * 10 ** (decibels / 20)
    return moved.astype(np.float32)


def spec_augment(log_mel: Tensor, bands: Tensor, frame_masks: Tensor) -> Tensor:
    """Set one band of mels and one run of frames of each clip to 0.

    Before normalisation, as in the official data loader: a mask is +0.467 afterwards.

    Args:
        log_mel: (B, frames, mels).
        bands: (B, 2), first mel and number of mels.
        frame_masks: (B, 2), first frame and number of frames.
    """
    for axis, masks in ((2, bands), (1, frame_masks)):
        place = torch.arange(log_mel.shape[axis], device=log_mel.device)[None]
        masks = masks.to(log_mel.device, non_blocking=True)
        masked = (place >= masks[:, :1]) & (place < masks[:, :1] + masks[:, 1:])
        log_mel = log_mel.masked_fill(masked[:, None, :] if axis == 2 else masked[:, :, None], 0.0)
    return log_mel
