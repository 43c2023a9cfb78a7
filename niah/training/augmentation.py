"""What is done to a batch of log-mel clips in training; seeded by the step, so a resumed run repeats it.

All take (B, frames, mels) log-mel, not normalised, and a torch generator.
"""

import math

import torch
from torch import Tensor

from niah.features import EPS

LOG_FLOOR = math.log(EPS)


def mixup(
    log_mel: Tensor, targets: Tensor, partners: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Clips laid over partners: the sum of two sounds with amplitudes w and 1 - w, in the power domain.

    log(w^2 exp(a) + (1 - w)^2 exp(b)); cross terms of the two sounds, zero on average, are left out. Targets are
    w y_a + (1 - w) y_b as in the official waveform mixup. `weights` (B,) in (0, 1]; 1 leaves a clip alone.
    """
    w = weights[:, None, None]
    other = torch.log1p(-w).clamp(min=-1e4)  # log(1 - w), finite where w = 1
    mixed = torch.logaddexp(log_mel + 2 * w.log(), log_mel[partners] + 2 * other)
    y = weights[:, None]
    return mixed.clamp(min=LOG_FLOOR), y * targets + (1 - y) * targets[partners]


def draw_mixup(
    batch: int, rate: float, beta: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Partners (a permutation) and weights: Beta(beta, beta) with probability `rate`, else 1."""
    gammas = torch._standard_gamma(torch.full((2, batch), beta), generator=generator)
    weights = gammas[0] / gammas.sum(0)
    chosen = torch.rand(batch, generator=generator) < rate
    return torch.randperm(batch, generator=generator), torch.where(
        chosen, weights, torch.ones(batch)
    )


def roll(log_mel: Tensor, generator: torch.Generator) -> Tensor:
    """Each clip shifted circularly in time by its own random amount."""
    frames = log_mel.shape[1]
    shifts = torch.randint(frames, (len(log_mel),), generator=generator)
    index = (torch.arange(frames)[None] - shifts[:, None]) % frames
    return log_mel.gather(1, index[..., None].expand_as(log_mel))


def gain(log_mel: Tensor, largest_db: float, generator: torch.Generator) -> Tensor:
    """Each clip's level changed by a uniform number of decibels in +- largest_db."""
    decibels = (2 * torch.rand(len(log_mel), generator=generator) - 1) * largest_db
    return (log_mel + decibels[:, None, None] * (math.log(10) / 10)).clamp(min=LOG_FLOOR)


def spec_augment(
    log_mel: Tensor, frequency_mask: int, time_mask: int, generator: torch.Generator
) -> Tensor:
    """One band and one stretch a clip set to 0, of uniform random width below the given ones.

    Before normalisation, as in the official data loader: a mask is +0.467 afterwards.
    """
    for axis, largest in ((2, frequency_mask), (1, time_mask)):
        if largest <= 0:
            continue
        size = log_mel.shape[axis]
        width = torch.rand(len(log_mel), generator=generator) * largest
        start = torch.rand(len(log_mel), generator=generator) * (size - width).clamp(min=0)
        place = torch.arange(size)[None]
        masked = (place >= start[:, None].floor()) & (place < (start + width)[:, None].floor())
        log_mel = log_mel.masked_fill(masked[:, None, :] if axis == 2 else masked[:, :, None], 0.0)
    return log_mel
