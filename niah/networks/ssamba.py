"""SSAMBA: Vision Mamba, self-supervised on spectrogram patches (arXiv 2405.11831; `amba_models.py`, Vim 6143d07).

    (B, T0, M) features -> patches -> + positions -> 12 pairs of mixers -> norm, twice -> mean or class token -> head

Glossary: B batch, T0 frames, M mels, f x t patch grid (mel rows x time columns), L = 1 + f t tokens, D width.

The class token comes first; patches run row by row in frequency. The authors' training scripts differ from the class's
defaults and from the paper's figure, and are followed here: LayerNorm, and blocks in pairs, the second of which gets
the flipped sequence:

    r <- r + h;   h <- mixer_2i(norm_2i(r)) + flip(mixer_2i+1(norm_2i+1(flip r)));   r <- 2 r

The residual is doubled because each block of a pair has its own copy and the two are added. The last norm is
applied twice. Every norm acts on one token, so nothing is flipped here: the second mixer runs backwards.

Other lengths and strides: `niah.networks.layers.positions.cut_or_resize` on the stored 8 x 64 table.

Every official model scans from the end too. The causal form (`causal`; ours, for `niah train`) can be fed a recording
piece by piece: all blocks in a row, r <- r + mixer_i(norm_i(r)), as the official class runs them without
`if_bidirectional`; mixers of one scan (`fo-fo`); patches column by column in time; positions of mel rows alone. `start`
and `step` carry the mixers' states and the sum of the tokens that the head takes the mean of.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from niah.networks.ast import PatchEmbed
from niah.networks.layers.drop_path import DropPath
from niah.networks.layers.frame_buffer import FrameBuffer
from niah.networks.layers.mamba_mixer import MambaMixer, added, normed, shrink_output
from niah.networks.layers.mixer_step import MixerState, step_mixer
from niah.networks.layers.positions import Grid, by_columns, cut_or_resize
from niah.networks.ssast import PatchGrid, Pooling, Tagger

NORM_EPS = 1e-5


@dataclass(frozen=True)
class SsambaConfig(PatchGrid):
    """Settings; the defaults are SSAMBA-base."""

    width: int = 768
    depth: int = 24
    pooling: Pooling = "avgtok"
    classes: int = 527
    drop_path: float = 0.1  # largest rate, reached linearly at the last pair; training only
    causal: bool = False  # the form that runs with time (module docstring); avgtok only

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.depth % 2:
            raise ValueError(f"depth must be even, the blocks go in pairs; got {self.depth}")
        if self.causal and self.pooling != "avgtok":
            raise ValueError("causal needs pooling avgtok: the class token comes first")

    @property
    def stored(self) -> Grid:
        """Return the grid of the stored positions: one column in the causal form."""
        if self.causal:
            return self.grid(self.patch[1])
        return super().stored


@dataclass(frozen=True)
class SsambaState:
    """Memory of a causal SSAMBA of the frames so far: of the same size after any number of them.

    Attributes:
        buffer: frames of a patch that is not full.
        mixers: one state a block; None before the first patch.
        total: (B, D) float64, the sum of the tokens; None before the first.
        tokens: their number.
    """

    buffer: FrameBuffer
    mixers: tuple[MixerState, ...] | None = None
    total: Tensor | None = None
    tokens: int = 0


class Block(nn.Module):
    """One pre-norm mixer without its residual: (B, L, D) -> (B, L, D)."""

    elements_moved = 28  # per input element (`niah.bench.roofline`)

    def __init__(self, config: SsambaConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.mixer = MambaMixer(config.width, "fo-fo" if config.causal else "bi-bi")

    def forward(self, residual: Tensor, from_end: bool) -> Tensor:  # (B, L, D) -> (B, L, D)
        out: Tensor = self.mixer(normed(self.norm, residual), from_end)
        return out


class VisionMamba(nn.Module):
    """The encoder, `v` in the official state dict: (B, T0, M) -> (B, D)."""

    def __init__(self, config: SsambaConfig) -> None:
        super().__init__()
        self.config = config
        width, pairs = config.width, config.depth // 2
        rows, columns = config.stored
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + rows * columns, width))
        self.patch_embed = PatchEmbed(width, config.patch, config.stride)
        self.layers = nn.ModuleList([Block(config) for _ in range(config.depth)])
        # one draw for both blocks of a pair, where the official code draws for each
        rates = torch.linspace(0, config.drop_path, pairs, device="cpu").tolist()
        self.drop_paths = nn.ModuleList([DropPath(rate) for rate in rates])
        self.norm_f = nn.LayerNorm(width, eps=NORM_EPS)
        for table in (self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(table, std=0.02)
        shrink_output(self, config.depth)

    def embed(self, x: Tensor) -> Tensor:
        """Return the tokens (B, L, D) of features (B, T0, M), with their positions."""
        config, table = self.config, self.pos_embed
        token = (self.cls_token + table[:, :1]).expand(len(x), -1, -1)
        if config.causal:
            return torch.cat([token, self.columns(x)], dim=1)
        places = cut_or_resize(table[:, 1:], config.stored, config.grid(x.shape[1]))
        patches = added(self.patch_embed(x), places)
        return torch.cat([token, patches], dim=1)

    def columns(self, x: Tensor) -> Tensor:
        """Return the patches with their positions, column by column: (B, T0, M) -> (B, t f, D)."""
        rows, columns = self.config.grid(x.shape[1])
        places = self.pos_embed[:, 1:].repeat(1, columns, 1)
        return added(by_columns(self.patch_embed(x), (rows, columns)), places)

    def forward(self, x: Tensor) -> Tensor:  # (B, T0, M) -> (B, D)
        residual = self.embed(x).float()
        if self.config.causal:
            for index, layer in enumerate(self.layers):
                h = layer(residual, from_end=False)
                residual = added(residual, self.drop_paths[index // 2](h))
            return self._normed_twice(residual[:, 1:]).mean(dim=1)
        for first, second, drop_path in zip(
            self.layers[0::2], self.layers[1::2], self.drop_paths, strict=True
        ):
            h = added(first(residual, from_end=False), second(residual, from_end=True))
            residual = added(added(residual, residual), drop_path(h))
        if self.config.pooling == "cls":
            residual = residual[:, :1]
        y = self._normed_twice(residual)
        out: Tensor = y[:, 0] if self.config.pooling == "cls" else y[:, 1:].mean(dim=1)
        return out

    def _normed_twice(self, residual: Tensor) -> Tensor:
        out: Tensor = self.norm_f(normed(self.norm_f, residual))
        return out

    def advance(self, state: SsambaState, x: Tensor) -> SsambaState:
        """Read the next frames, (B, n, M) with n from 0 on; `state` is not changed."""
        buffer, ready = state.buffer.add(x)
        if ready is None:
            return SsambaState(buffer, state.mixers, state.total, state.tokens)
        residual = (self.embed(ready) if state.mixers is None else self.columns(ready)).float()
        mixers = []
        for index, layer in enumerate(self.layers):
            before = None if state.mixers is None else state.mixers[index]
            h, own = step_mixer(layer.mixer, normed(layer.norm, residual), before)  # type: ignore[arg-type]
            mixers.append(own)
            residual = residual + h
        y = self._normed_twice(residual[:, 1:] if state.mixers is None else residual)
        total = y.double().sum(dim=1)
        if state.total is not None:
            total = total + state.total
        return SsambaState(buffer, tuple(mixers), total, state.tokens + y.shape[1])


class Ssamba(Tagger):
    """The tagger: (B, T0, M) normalised log-mel -> (B, classes) logits."""

    v: VisionMamba

    def __init__(self, config: SsambaConfig) -> None:
        super().__init__(VisionMamba(config), config.width, config.classes)
        self.config = config

    @property
    def streams(self) -> bool:
        """Return whether `step` computes what one pass would: the causal form."""
        return self.config.causal

    def start(self) -> SsambaState:
        """Return the state before the first frame."""
        return SsambaState(FrameBuffer(self.config.patch[1], self.config.stride[1]))

    def step(self, state: SsambaState, x: Tensor) -> tuple[SsambaState, Tensor | None]:
        """Read the next frames.

        Args:
            state: of the frames before; it is not changed.
            x: (B, n, M) features, n from 0 on.

        Returns:
            The new state, and the logits (B, classes) of all frames so far: those that `forward` computes of them. None
            before the first full patch.
        """
        after = self.v.advance(state, x)
        if after.total is None:
            return after, None
        logits: Tensor = self.mlp_head((after.total / after.tokens).to(x.dtype))
        return after, logits
