"""EAT and SSLAM, fine-tuned: one post-norm ViT (arXiv 2401.03497, 2506.12222; official `EAT_audio_classification.py`).

    (B, T0, M) features -> patches + positions -> class token in front -> LayerNorm -> blocks -> class token
    -> LayerNorm -> linear

Glossary: B batch, T0 frames, M mels, t x f patch grid (time x mel), N = 1 + t f tokens, D width.

Tokens are time-major: token 1 + column * f + mel row; token 0 is the class token, which has no position.

Positions are a fixed two-dimensional sinusoid: the first half of the D channels encodes the mel row r, the second half
the time column c, each as [sin(r w_i), cos(r w_i)] with w_i = 10000^(-i / (D / 4)), i < D / 4. The authors store it for
768 columns (122.88 s), the longest input of their code; the network was fine-tuned on 64 columns (10.24 s). Here it is
computed for each length: the same values up to 768 columns, the same formula past them. Nothing is rescaled.

The authors' code needs whole patches; here an input that does not fill its last one is padded with zeros (the data
set's mean log-mel): no frame is dropped.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from niah.networks.layers.vit import Block, embed_patches, first_tokens


@dataclass(frozen=True)
class EatConfig:
    """Settings; the defaults are EAT-base and SSLAM as on the Hugging Face hub."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    patch: int = 16
    mels: int = 128
    classes: int = 527
    fc_norm_eps: float = 1e-5  # the hub's code; the fairseq code has 1e-6

    def __post_init__(self) -> None:
        if self.mels % self.patch or self.width % 4:
            raise ValueError("mels must be a multiple of patch, width of 4")

    def grid(self, frames: int) -> tuple[int, int]:
        """Return the patch columns and rows (t, f) of an input of `frames` frames, padded to whole patches."""
        return -(-frames // self.patch), self.mels // self.patch

    def tokens(self, frames: int) -> int:
        """Return the number of tokens of an input of `frames` frames."""
        columns, rows = self.grid(frames)
        return 1 + columns * rows


def sinusoid_2d(columns: int, rows: int, width: int, device: torch.device | None = None) -> Tensor:
    """Compute the positions: the mel row's sines and cosines, then the time column's.

    Args:
        columns: t.
        rows: f.
        width: D, a multiple of 4.
        device: of the result.

    Returns:
        (columns, rows, width) float32.
    """
    index = torch.arange(width // 4, dtype=torch.float64, device=device)
    frequency = 10000.0 ** (-index / (width // 4))

    def encode(count: int) -> Tensor:
        angle = torch.arange(count, dtype=torch.float64, device=device)[:, None] * frequency
        return torch.cat([angle.sin(), angle.cos()], dim=-1).float()

    shape = (columns, rows, width // 2)
    return torch.cat([encode(rows).expand(shape), encode(columns)[:, None].expand(shape)], dim=-1)


class LocalEncoder(nn.Module):
    """Patches: (B, T0, M) -> (B, t, f, D), zeros after the last frame."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, width, patch, stride=patch)

    def forward(
        self, x: Tensor
    ) -> Tensor:  # (B, T0, M) -> (B, t, f, D), zeros after the last frame
        padding = -x.shape[1] % self.proj.kernel_size[0]
        return embed_patches(F.pad(x, (0, 0, 0, padding)), self.proj)


class Eat(nn.Module):
    """The tagger: (B, T0, M) normalised log-mel -> (B, classes) logits."""

    def __init__(self, config: EatConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.extra_tokens = nn.Parameter(torch.empty(1, 1, width).normal_(std=0.02))
        self.local_encoder = LocalEncoder(width, config.patch)
        self.pre_norm = nn.LayerNorm(width, eps=1e-6)
        self.blocks = nn.Sequential(
            *[Block(width, config.heads, post_norm=True) for _ in range(config.depth)]
        )
        self.fc_norm = nn.LayerNorm(width, eps=config.fc_norm_eps)
        self.head = nn.Linear(width, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.local_encoder(x)  # (B, t, f, D)
        columns, rows, width = patches.shape[1:]
        patches = patches + sinusoid_2d(columns, rows, width, x.device).to(x.dtype)
        class_token = self.extra_tokens.expand(len(x), -1, -1)
        tokens = torch.cat([class_token, patches.flatten(1, 2)], dim=1)  # (B, N, D)
        read = first_tokens(self.blocks, self.pre_norm(tokens), 1)
        out: Tensor = self.head(self.fc_norm(read[:, 0]))
        return out
