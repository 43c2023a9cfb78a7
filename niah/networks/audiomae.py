"""Audio-MAE's fine-tuned encoder: ViT-B/16 on log-mel patches (arXiv 2207.06405; official `models_vit.py`).

    (B, T0, M) features -> patches -> + positions -> blocks -> mean of the patch tokens -> LayerNorm -> linear

Glossary: B batch, T0 frames, M mels, t x f patch grid (time x mel), N = 1 + t f tokens, D width.

Tokens are time-major: token 1 + column * f + mel row; token 0 is the class token, which takes part in attention but
not in the mean. The only LayerNorm after the last block is the one after the mean.

Other lengths than the trained 1024 frames: the authors' code refuses them. Ours is timm's `dynamic_img_size` rule,
similar to AST's: the trained 64 x 8 table is resized to t x 8 with bicubic interpolation and antialiasing, the
class token's row kept. An input that does not fill its last patch is padded with zeros (the data set's
mean log-mel), as timm's `dynamic_img_pad` does: no frame is dropped.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from niah.networks.layers.vit import Block, embed_patches


@dataclass(frozen=True)
class AudioMaeConfig:
    """Settings; the defaults are the released ViT-B, fine-tuned on AudioSet-2M (47.3 mAP)."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    patch: int = 16
    mels: int = 128
    trained_frames: int = 1024
    classes: int = 527

    def __post_init__(self) -> None:
        if self.mels % self.patch or self.trained_frames % self.patch:
            raise ValueError(f"mels and trained_frames must be multiples of patch {self.patch}")

    def grid(self, frames: int) -> tuple[int, int]:
        """Return the patch columns and rows (t, f) of an input of `frames` frames, padded to whole patches."""
        return -(-frames // self.patch), self.mels // self.patch

    def tokens(self, frames: int) -> int:
        """Return the number of tokens of an input of `frames` frames."""
        columns, rows = self.grid(frames)
        return 1 + columns * rows


class PatchEmbed(nn.Module):
    """Patches as tokens: (B, T0, M) -> (B, t f, D), zeros after the last frame."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, width, patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:  # (B, T0, M) -> (B, t f, D), zeros after the last frame
        padding = -x.shape[1] % self.proj.kernel_size[0]
        return embed_patches(F.pad(x, (0, 0, 0, padding)), self.proj).flatten(1, 2)


class AudioMae(nn.Module):
    """The tagger: (B, T0, M) normalised log-mel -> (B, classes) logits."""

    def __init__(self, config: AudioMaeConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.cls_token = nn.Parameter(torch.empty(1, 1, width).normal_(std=0.02))
        tokens = config.tokens(config.trained_frames)
        self.pos_embed = nn.Parameter(torch.empty(1, tokens, width).normal_(std=0.02))
        self.patch_embed = PatchEmbed(width, config.patch)
        self.blocks = nn.Sequential(*[Block(width, config.heads) for _ in range(config.depth)])
        self.fc_norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, config.classes)

    def positions(self, frames: int) -> Tensor:
        """Return the position embeddings (1, N, D) of an input of `frames` frames."""
        trained, wanted = self.config.grid(self.config.trained_frames), self.config.grid(frames)
        if wanted == trained:
            return self.pos_embed
        table = self.pos_embed[:, 1:].float().reshape(1, *trained, -1).permute(0, 3, 1, 2)
        table = F.interpolate(table, wanted, mode="bicubic", antialias=True, align_corners=False)
        patches = table.flatten(2).transpose(1, 2).to(self.pos_embed.dtype)
        return torch.cat([self.pos_embed[:, :1], patches], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        class_token = self.cls_token.expand(len(x), -1, -1)
        tokens = torch.cat([class_token, self.patch_embed(x)], dim=1)  # (B, N, D)
        tokens = self.blocks(tokens + self.positions(x.shape[1]))
        out: Tensor = self.head(self.fc_norm(tokens[:, 1:].mean(dim=1)))
        return out
