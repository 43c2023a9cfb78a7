"""The MLP of most blocks: two linear layers with a GELU between them."""

import torch.nn.functional as F
from torch import Tensor, nn


class Mlp(nn.Module):
    """fc2(gelu(fc1(x))) over the last axis, `channels` -> `hidden` -> `channels`; the exact GELU."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out
