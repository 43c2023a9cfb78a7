"""Pooling of per-position logits, to separate the part of a drop that is due to pooling from the network's.

A tagger whose head is linear after average pooling scores every position of its last map by itself: z (T, F, classes)
for T columns of time and F rows of mel, z (T, classes) where positions are along time only; N positions in all. The
average of z is then the model's own logit, and any other pooling needs no training:

    average        mean over positions of z
    mean-probability   ln(m / (1 - m)), m = mean over positions of sigmoid(z): the rule of taggers that average scores
    max            max over positions of z
    top-k          mean over the k largest z of a class, k = the positions that one needle covers: round(N x share),
                   share = needle frames / scene frames; at 10 s k = N, the average. Pooling without dilution
    log-sum-exp    t ln(mean over positions of exp(z / t)), t = 1; between the average (t -> inf) and max (t -> 0)
    sum            sum over positions of z = N x average. The order of clips, and so AP, is the average's until the
                   sigmoid saturates: N z beyond -17 or 8 is 0 or 1 in float16, and there all clips are alike
    first, mid, last                      of time: the mean over rows of column 0, T // 2, T - 1
    first-token, mid-token, last-token    of the map as VMamba flattens it, rows outermost: index 0 (lowest row, first
                                          column), N // 2 and N - 1; of one row the two readings are the same

Figure 3 of the DASS paper (arXiv:2407.04082) compares average, max, sum, first, mid and last; the released code has
only the average, and the order of positions is not stated. The authors may have pooled the map before the head: that
differs for max, but not for the others (for sum only by the head's bias, which does not change AP).
"""

import math
import sys
from collections.abc import Callable

import torch
from torch import Tensor

from niah.errors import NiahError, nearest

TEMPERATURE = 1.0
_LEAST = sys.float_info.min


def pool(logits: Tensor, pooling: str, share: float) -> Tensor:
    """Pool per-position logits.

    Args:
        logits: (B, T, .., classes).
        pooling: a key of `POOLINGS`.
        share: needle frames / scene frames, at most 1; for "top-k" only.

    Returns:
        (B, classes), of the same dtype.

    Raises:
        NiahError: an unknown pooling, or no positions.
    """
    if pooling not in POOLINGS:
        raise NiahError(f"pooling '{pooling}': unknown.{nearest(pooling, POOLINGS)}")
    if logits.ndim < 3:
        shape = tuple(logits.shape)
        raise NiahError(f"per-position logits must be (batch, time, .., classes), got {shape}")
    if logits.ndim == 3:
        logits = logits[:, :, None]
    return POOLINGS[pooling](logits.flatten(2, -2), share)  # (B, T, F, classes)


def top_k_positions(positions: int, share: float) -> int:
    """Return k of "top-k": the number of `positions` that a needle covers, at least 1."""
    return min(positions, max(1, round(positions * share)))


Pool = Callable[[Tensor, float], Tensor]  # (B, T, F, classes), share -> (B, classes)


def _mean_probability(z: Tensor, _: float) -> Tensor:
    """Computed in float64, where neither p nor 1 - p is lost; the logits of means below 1e-308 end at -708 and 708."""
    flat = z.flatten(1, 2).double()
    present = flat.sigmoid().mean(dim=1)
    likely = (present > 0.5).any(dim=0)  # classes where 1 - p would lose digits
    absent = 1 - present
    absent[:, likely] = flat[:, :, likely].neg().sigmoid().mean(dim=1)
    return (present.clamp_min(_LEAST).log() - absent.clamp_min(_LEAST).log()).to(z.dtype)


def _top_k(z: Tensor, share: float) -> Tensor:
    flat = z.flatten(1, 2)
    return flat.topk(top_k_positions(flat.shape[1], share), dim=1).values.mean(dim=1)


def _log_sum_exp(z: Tensor, _: float) -> Tensor:
    flat = z.flatten(1, 2) / TEMPERATURE
    return TEMPERATURE * (torch.logsumexp(flat, dim=1) - math.log(flat.shape[1]))


def _column(at: Callable[[int], int]) -> Pool:
    return lambda z, _: z[:, at(z.shape[1])].mean(dim=1)


def _token(at: Callable[[int], int]) -> Pool:
    def pooled(z: Tensor, _: float) -> Tensor:
        row, column = divmod(at(z.shape[1] * z.shape[2]), z.shape[1])  # rows of T columns each
        return z[:, column, row]

    return pooled


def _first(_: int) -> int:
    return 0


def _mid(n: int) -> int:
    return n // 2


def _last(n: int) -> int:
    return n - 1


POOLINGS: dict[str, Pool] = {
    "average": lambda z, _: z.mean(dim=(1, 2)),
    "mean-probability": _mean_probability,
    "max": lambda z, _: z.amax(dim=(1, 2)),
    "top-k": _top_k,
    "log-sum-exp": _log_sum_exp,
    "sum": lambda z, _: z.sum(dim=(1, 2)),
    "first": _column(_first),
    "mid": _column(_mid),
    "last": _column(_last),
    "first-token": _token(_first),
    "mid-token": _token(_mid),
    "last-token": _token(_last),
}
