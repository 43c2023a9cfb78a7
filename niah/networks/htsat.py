"""HTS-AT: a Swin transformer on a folded log-mel, with a token-semantic head (arXiv 2202.00874; official `htsat.py`).

    (B, T, M) decibels -> batch norm over mels -> stretched to n S frames -> folded into an (n M, S) image
      -> patches -> 4 stages of window attention, halved in between -> LayerNorm -> unfolded into time order
      -> convolution to classes -> mean over time

Glossary: B batch, T frames, M mels, S side of the image and frames a chunk, n = S / M chunks, H x W patch grid,
w window side, N = w w tokens a window, C channels, h heads.

Long input, by the authors' rule: if n S < T <= 2 n S + 2, two or three crops of (T - 1) // 2 frames, one every
(T - 1) // 4 frames, are each stretched to n S and scored; their class probabilities are averaged. (If T - 1 is a
multiple of 4 there are two crops, and the last quarter is not used.) For longer input the official code raises an
`AssertionError`, and this one a `NiahError`: there is no native mode. The logit of a mean of sigmoids is computed
without a sigmoid, log sum s(x) - log sum s(-x), so that confident classes do not saturate.

Attention is torch's fused kernel, with the relative position bias and the mask of shifted windows added to its scores.
The mask, the index into the bias table and the front end's kernels, which official files store, are computed here.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from niah.errors import NiahError
from niah.networks.layers.mlp import Mlp

NORM_EPS = 1e-5
APART = -100.0
"""Added to the score of two tokens that are in one window only because of the cyclic shift."""


@dataclass(frozen=True)
class HtsAtConfig:
    """Settings; the defaults are the released model (0.471 mAP)."""

    mels: int = 64
    side: int = 256
    patch: int = 4
    width: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (4, 8, 16, 32)
    window: int = 8
    mlp_ratio: float = 4.0
    classes: int = 527

    def __post_init__(self) -> None:
        for name in ("depths", "heads"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.depths) != len(self.heads) or self.side % self.mels:
            raise ValueError(
                f"depths {self.depths}, heads {self.heads}, side {self.side} and mels {self.mels} do not fit together"
            )

    @property
    def chunks(self) -> int:
        """Return n, the chunks of an image."""
        return self.side // self.mels

    @property
    def frames(self) -> int:
        """Return the frames of an image, n S."""
        return self.side * self.chunks

    @property
    def longest(self) -> int:
        """Return the most frames that the authors' rule for long input covers."""
        return 2 * self.frames + 2


def stretch(x: Tensor, frames: int) -> Tensor:
    """Resize in time to `frames` frames: (B, T, M) -> (B, frames, M), bicubic, the first and last frame unchanged."""
    if x.shape[1] == frames:
        return x
    size = (frames, x.shape[2])
    longer = F.interpolate(x[:, None].float(), size, mode="bicubic", align_corners=True)
    return longer[:, 0].to(x.dtype)


def fold(x: Tensor, side: int) -> Tensor:
    """Fold time into an image: (B, n side, M) -> (B, n M, side), chunks below each other, mels from low to high."""
    batch, frames, mels = x.shape
    chunks = x.view(batch, frames // side, side, mels)
    return chunks.transpose(2, 3).reshape(batch, frames // side * mels, side)


def in_time_order(x: Tensor, chunks: int) -> Tensor:
    """Unfold a map (B, n H', W, C) -> (B, C, H', n W): H' mel rows, the columns of all chunks in time order."""
    batch, rows, columns, channels = x.shape
    apart = x.view(batch, chunks, rows // chunks, columns, channels)
    return apart.permute(0, 4, 2, 1, 3).reshape(batch, channels, rows // chunks, chunks * columns)


def crops(frames: int) -> Iterator[slice]:
    """Yield the authors' crops of an input of `frames` frames."""
    length, hop = (frames - 1) // 2, (frames - 1) // 4
    for first in range(0, frames - length - 1, hop):
        yield slice(first, first + length)


def logit_of_mean(logits: Tensor) -> Tensor:
    """Compute logit(mean over axis 0 of sigmoid(x)): (K, ...) -> (...), float32."""
    sure, unsure = F.logsigmoid(logits.float()), F.logsigmoid(-logits.float())
    return torch.logsumexp(sure, dim=0) - torch.logsumexp(unsure, dim=0)


def split_windows(x: Tensor, window: int) -> Tensor:
    """Split a map into windows: (B, H, W, C) -> (B, H W / N, N, C)."""
    batch, height, width, channels = x.shape
    tiles = x.view(batch, height // window, window, width // window, window, channels)
    return tiles.transpose(2, 3).reshape(batch, -1, window * window, channels)


def join_windows(x: Tensor, height: int, width: int) -> Tensor:
    """Join windows to a map, the inverse of `split_windows`: (B, H W / N, N, C) -> (B, H, W, C)."""
    batch, _, tokens, channels = x.shape
    window = int(tokens**0.5)
    tiles = x.view(batch, height // window, width // window, window, window, channels)
    return tiles.transpose(2, 3).reshape(batch, height, width, channels)


def _is_outlined() -> bool:
    """Return whether tensors have no values (`niah.networks.outline`), for sums of which torch imports its compiler."""
    return torch.empty(0).is_meta


def position_index(window: int) -> Tensor:
    """Compute the row of the bias table for a query and a key, (dy + w - 1)(2w - 1) + dx + w - 1: (N, N) int64."""
    if _is_outlined():
        return torch.empty(window**2, window**2, dtype=torch.long)
    y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    dy = y.flatten()[:, None] - y.flatten()
    dx = x.flatten()[:, None] - x.flatten()
    return (dy + window - 1) * (2 * window - 1) + dx + window - 1


def shift_mask(resolution: int, window: int, shift: int) -> Tensor:
    """Compute the mask of shifted windows: 0 between tokens of one region of the shifted map, `APART` between regions.

    Args:
        resolution: side of the map.
        window: side of a window.
        shift: of the map, in patches.

    Returns:
        (windows, N, N) float32.
    """
    if _is_outlined():
        return torch.empty((resolution // window) ** 2, window**2, window**2)
    place = torch.arange(resolution)
    region = (place >= resolution - window).long() + (place >= resolution - shift).long()
    regions = (3 * region[:, None] + region).view(1, resolution, resolution, 1)
    tokens = split_windows(regions, window)[0, ..., 0]
    return APART * (tokens[:, None, :] != tokens[:, :, None]).float()


class WindowAttention(nn.Module):
    """Attention inside windows, with relative positions: (B, windows, N, C) -> the same shape."""

    relative_position_index: Tensor

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        index = position_index(window)
        self.register_buffer("relative_position_index", index, persistent=False)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:  # (B, windows, N, C)
        batch, windows, tokens, channels = x.shape
        qkv = self.qkv(x).view(batch * windows, tokens, 3, self.heads, channels // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B windows, h, N, C / h)
        bias = self.relative_position_bias_table[self.relative_position_index]
        bias = bias.permute(2, 0, 1)[None]  # (1, h, N, N)
        if mask is not None:
            bias = (bias + mask[:, None]).repeat(batch, 1, 1, 1)  # (B windows, h, N, N)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        out: Tensor = self.proj(y.transpose(1, 2).reshape(batch, windows, tokens, channels))
        return out


class Block(nn.Module):
    """x + attention(norm1(x)) in windows, shifted by half a window in odd blocks; then x + mlp(norm2(x))."""

    elements_moved = 14  # per input element (`niah.bench.roofline`)

    attn_mask: Tensor | None

    def __init__(
        self, channels: int, heads: int, resolution: int, shifted: bool, config: HtsAtConfig
    ) -> None:
        super().__init__()
        self.window = min(config.window, resolution)
        self.shift = self.window // 2 if shifted and resolution > config.window else 0
        self.norm1 = nn.LayerNorm(channels, eps=NORM_EPS)
        self.attn = WindowAttention(channels, heads, self.window)
        self.norm2 = nn.LayerNorm(channels, eps=NORM_EPS)
        self.mlp = Mlp(channels, int(channels * config.mlp_ratio))
        mask = shift_mask(resolution, self.window, self.shift) if self.shift else None
        self.register_buffer("attn_mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # (B, H, W, C)
        height, width = x.shape[1:3]
        y = torch.roll(self.norm1(x), (-self.shift, -self.shift), dims=(1, 2))
        y = self.attn(split_windows(y, self.window), self.attn_mask)
        y = join_windows(y, height, width)
        x = x + torch.roll(y, (self.shift, self.shift), dims=(1, 2))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class PatchMerging(nn.Module):
    """Concatenate the channels of four neighbours, normalise, and project to twice the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * channels, eps=NORM_EPS)
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # (B, H, W, C) -> (B, H/2, W/2, 2C)
        neighbours = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        out: Tensor = self.reduction(self.norm(torch.cat(neighbours, dim=-1)))
        return out


class Stage(nn.Module):
    """Blocks at one resolution, then a patch merging (none after the last stage)."""

    def __init__(self, index: int, config: HtsAtConfig) -> None:
        super().__init__()
        channels, resolution = config.width << index, config.side // config.patch >> index
        self.blocks = nn.Sequential(
            *[
                Block(channels, config.heads[index], resolution, bool(i % 2), config)
                for i in range(config.depths[index])
            ]
        )
        last = index + 1 == len(config.depths)
        self.downsample = nn.Identity() if last else PatchMerging(channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.downsample(self.blocks(x))
        return out


class PatchEmbed(nn.Module):
    """Patches of the image: (B, n M, S) -> (B, H, W, C)."""

    def __init__(self, config: HtsAtConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, config.width, config.patch, stride=config.patch)
        self.norm = nn.LayerNorm(config.width, eps=NORM_EPS)

    def forward(self, image: Tensor) -> Tensor:  # (B, n M, S) -> (B, H, W, C)
        out: Tensor = self.norm(self.proj(image[:, None]).permute(0, 2, 3, 1))
        return out


class HtsAt(nn.Module):
    """The tagger: (B, T, M) log-mel in decibels -> (B, classes) logits, up to `HtsAtConfig.longest` frames."""

    def __init__(self, config: HtsAtConfig) -> None:
        super().__init__()
        self.config = config
        last = len(config.depths) - 1
        rows = config.mels // config.patch >> last  # mel rows of the last map
        self.bn0 = nn.BatchNorm1d(config.mels)
        self.patch_embed = PatchEmbed(config)
        self.layers = nn.Sequential(*[Stage(i, config) for i in range(len(config.depths))])
        self.norm = nn.LayerNorm(config.width << last, eps=NORM_EPS)
        self.tscam_conv = nn.Conv2d(config.width << last, config.classes, (rows, 3), padding=(0, 1))

    def forward(self, x: Tensor) -> Tensor:
        frames = x.shape[1]
        if not 0 < frames <= self.config.longest:
            raise NiahError(
                f"HTS-AT has no native mode for {frames} frames: it scores 1 to {self.config.longest} (about 20 s); "
                "use --window 10"
            )
        x = self.bn0(x.transpose(1, 2)).transpose(1, 2)
        if frames <= self.config.frames:
            return self._image_logits(x)
        return logit_of_mean(
            torch.stack([self._image_logits(x[:, crop]) for crop in crops(frames)])
        )

    def _image_logits(self, x: Tensor) -> Tensor:
        image = fold(stretch(x, self.config.frames), self.config.side)
        y = self.norm(self.layers(self.patch_embed(image)))
        out: Tensor = self.tscam_conv(in_time_order(y, self.config.chunks))  # (B, classes, 1, n W)
        return out.mean(dim=(2, 3))
