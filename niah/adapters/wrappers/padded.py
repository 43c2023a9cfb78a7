"""Inputs shorter than a needle, padded as the front end pads a short clip, for models without a native mode there."""

import torch
from torch import Tensor

from niah.adapters.protocol import Adapter


class Padded:
    """`adapter` on inputs padded to the frames of a needle; itself an adapter."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self.name = adapter.name
        self.sample_rate = adapter.sample_rate
        self.frontend = adapter.frontend
        self.labels = adapter.labels
        self.kernel = adapter.kernel

    def logits(self, features: Tensor) -> Tensor:
        """(B, frames, mels) -> (B, classes) float32."""
        frontend = self.frontend
        missing = max(0, frontend.needle_frames - features.shape[1])
        padding = frontend.needle(torch.zeros(frontend.samples(1)))[-1]  # the last row only pads
        rows = padding.to(features).expand(len(features), missing, -1)
        return self.adapter.logits(torch.cat([features, rows], dim=1))
