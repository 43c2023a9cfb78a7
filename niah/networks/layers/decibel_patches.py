"""The front and the end of CED, SAT and Dasheng (official `models/audiotransformer.py`, `dasheng/pretrained`).

Decibels at most 120 under the clip's loudest, batch norm by mel band, then patches with a position by mel row and one
by column. An input longer than the time table is split; the probabilities of the parts are averaged.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from niah.networks.layers.vit import embed_patches

RANGE_DB = 120.0
PARTS_AT_ONCE = 16


class BandNorm(nn.BatchNorm1d):
    """Decibels, at most 120 under each clip's loudest, normalised by mel band: (B, T0, M) -> (B, T0, M)."""

    def __init__(self, mels: int) -> None:
        super().__init__(mels, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.maximum(x, x.amax(dim=(1, 2), keepdim=True) - RANGE_DB)
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class PatchEmbed(nn.Module):
    """Patches side by side: (B, T0, M) -> (B, f, t, D)."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, width, patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        return embed_patches(x, self.proj, mel_first=True)


def position_table(*shape: int) -> nn.Parameter:
    """Return learned positions as they start: normal, standard deviation 0.02."""
    return nn.Parameter(torch.empty(shape).normal_(std=0.02))


def output_layer(width: int, classes: int) -> nn.Sequential:
    """Return the head: (B, D) -> (B, classes)."""
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))


def logit_of_mean_probability(logits: Tensor) -> Tensor:
    """Compute the logit of the mean of the parts' probabilities: (P, B, classes) -> (B, classes).

    logit(mean sigmoid(l_p)) = log sum exp log sigmoid(l_p) - log sum exp log sigmoid(-l_p) stays exact where a
    probability rounds to 0 or 1.
    """
    present, absent = (F.logsigmoid(sign * logits.float()).logsumexp(dim=0) for sign in (1.0, -1.0))
    return (present - absent).to(logits.dtype)
