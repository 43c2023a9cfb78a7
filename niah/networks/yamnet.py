"""YAMNet: MobileNet v1 over log-mel patches (arXiv 1704.04861; tensorflow/models, research/audioset/yamnet/yamnet.py).

    (B, T0, M) -> patches of 96 frames, 48 apart -> (P, 1, 96, M) -> 3 x 3 convolution, halved
    -> 13 x (3 x 3 convolution of each channel by itself -> 1 x 1 convolution), 4 of them halving
    -> mean over the map -> linear -> logits of each patch -> logit of their mean probability

Glossary: B batch, T0 frames, M mels, P patches. Each convolution is followed by a batch norm, whose scale is 1, and by
a ReLU. TensorFlow fills a map up with zeros at the end alone where it is halved.

The authors' code averages the scores of patches, and so does `forward`; `patch_logits` has those of each. The last
patch is filled up with silence.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from niah.networks.layers.pooling import pool

NORM_EPS = 1e-4
STEM = 32
BLOCKS = (  # stride, channels
    (1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512),
    *5 * ((1, 512),), (2, 1024), (1, 1024),
)  # fmt: skip


@dataclass(frozen=True)
class YamnetConfig:
    """Settings; the defaults are YAMNet."""

    patch_frames: int = 96
    patch_hop: int = 48
    mels: int = 64
    width: float = 1.0  # by which the channels are multiplied
    silence: float = math.log(0.001)  # of a log-mel, after the last frame
    classes: int = 521

    def channels(self, channels: int) -> int:
        """Return the channels of a layer that has `channels` at width 1."""
        return max(1, round(self.width * channels))


class Norm(nn.Module):
    """A batch norm without a scale, by the stored mean and variance."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = self.get_buffer("running_mean"), self.get_buffer("running_var")
        return F.batch_norm(x, mean, variance, bias=self.bias, eps=NORM_EPS)


class Layer(nn.Module):
    """Convolution, norm and ReLU, filled up as TensorFlow does: (P, C, H, W) -> (P, C', H / stride, W / stride)."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, groups=groups, bias=False)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")
        self.norm = Norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        (size, _), (stride, _) = self.conv.kernel_size, self.conv.stride
        ends = []
        for length in reversed(x.shape[2:]):  # the last axis comes first
            missing = max(0, (-(-length // stride) - 1) * stride + size - length)
            ends += [missing // 2, missing - missing // 2]
        return F.relu(self.norm(self.conv(F.pad(x, ends))))


class Yamnet(nn.Module):
    """The tagger: (B, T0, M) log-mel -> (B, classes) logits."""

    def __init__(self, config: YamnetConfig) -> None:
        super().__init__()
        self.config = config
        inputs = config.channels(STEM)
        layers = [Layer(1, inputs, 3, 2)]
        for stride, channels in BLOCKS:
            outputs = config.channels(channels)
            layers += [Layer(inputs, inputs, 3, stride, inputs), Layer(inputs, outputs, 1, 1)]
            inputs = outputs
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Linear(inputs, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        size, hop = self.config.patch_frames, self.config.patch_hop
        missing = size - x.shape[1] if x.shape[1] < size else -(x.shape[1] - size) % hop
        x = F.pad(x, (0, 0, 0, missing), value=self.config.silence)
        patches = x.unfold(1, size, hop).transpose(2, 3)  # (B, P, 96, M)
        logits = self.patch_logits(patches.flatten(0, 1)).view(len(x), -1, self.config.classes)
        return pool(logits, "mean-probability", 1.0)

    def patch_logits(self, patches: Tensor) -> Tensor:
        """Compute the logits of patches: (P, 96, M) -> (P, classes)."""
        out: Tensor = self.classifier(self.layers(patches[:, None]).mean(dim=(2, 3)))
        return out
