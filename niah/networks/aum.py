"""AuM: Audio Mamba, a Vision Mamba on log-mel patches (arXiv 2406.03344; official `models/mamba_models.py`).

    (B, T0, M) features -> patches -> + positions -> 24 mixers, pre-norm -> norm -> the class token -> linear

Glossary: B batch, T0 frames, M mels, f x t patch grid (mel rows x time columns), L = 1 + f t tokens, D width.

Patches run row by row in frequency. The class token is inserted between patches L // 2 - 1 and L // 2, that is between
the last column of one mel row and the first of the next; its position embedding is still row 0 of the table.
A block is r <- r + h, h <- mixer(norm(r)), without an MLP; the class token is read from norm(r + h).

Other lengths: the 8 x 64 table is resized bilinearly with antialias, as the official constructor does from a trained
checkpoint. Frames that do not fill a patch are dropped by the convolution.

The official models look ahead at every length: a token of the second mel row follows the whole first row in the scan.
The causal form (`causal`; ours, trained by this project) can be fed a recording piece by piece:

    Fo-Fo, one scan; patches column by column in time (official `transpose_token_sequence`), so that the scan runs with
    time; positions of mel rows alone, which no length changes; the class token at the end, where it has seen all

`start` and `step` carry the mixers' states over the pieces. A piece's class token reads the states and leaves no trace
in them, so that the logits after any pieces are those of one pass over their frames.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from niah.errors import NiahError
from niah.networks.ast import PatchEmbed
from niah.networks.layers.drop_path import DropPath
from niah.networks.layers.frame_buffer import FrameBuffer
from niah.networks.layers.mamba_mixer import Design, MambaMixer, added, normed, shrink_output
from niah.networks.layers.mixer_step import MixerState, step_mixer
from niah.networks.layers.positions import by_columns, resize_smoothly

NORM_EPS = 1e-5


@dataclass(frozen=True)
class AumConfig:
    """Settings; the defaults are AuM-base as trained from scratch."""

    width: int = 768
    depth: int = 24
    design: Design = "fo-bi"
    patch: tuple[int, int] = (16, 16)  # mels, frames; the stride too
    mels: int = 128
    trained_frames: int = 1024
    classes: int = 527
    drop_path: float = 0.0  # largest rate, reached linearly at the last block; training only
    initial_A: float = (
        1.0  # |A| at the start of training, times 1 .. 16; a larger one is a shorter memory
    )
    causal: bool = False  # the form that runs with time (module docstring); fo-fo only

    def __post_init__(self) -> None:
        object.__setattr__(self, "patch", tuple(self.patch))
        if self.design not in Design.__args__:  # type: ignore[attr-defined]
            raise ValueError(f"design '{self.design}' is none of fo-fo, fo-bi, bi-bi")
        if self.causal and self.design != "fo-fo":
            raise ValueError(
                f"causal needs design fo-fo, which scans forward alone; got {self.design}"
            )

    def grid(self, frames: int) -> tuple[int, int]:
        """Return the patch rows and columns of an input of `frames` frames.

        Raises:
            NiahError: fewer frames than one patch has.
        """
        if frames < self.patch[1]:
            raise NiahError(f"AuM needs at least {self.patch[1]} frames (one patch), got {frames}")
        return self.mels // self.patch[0], frames // self.patch[1]

    def tokens(self, frames: int) -> int:
        """Return the number of tokens of an input of `frames` frames."""
        rows, columns = self.grid(frames)
        return 1 + rows * columns

    @property
    def places(self) -> int:
        """Return the rows of the table of positions, the class token's included."""
        if self.causal:
            return 1 + self.mels // self.patch[0]
        return self.tokens(self.trained_frames)


@dataclass(frozen=True)
class AumState:
    """Memory of a causal AuM of the frames so far: of the same size after any number of them.

    Attributes:
        buffer: frames of a patch that is not full.
        mixers: one state a block; None before the first patch.
        logits: (B, classes) after the last full patch; None before the first.
    """

    buffer: FrameBuffer
    mixers: tuple[MixerState, ...] | None = None
    logits: Tensor | None = None


class PosEmbed(nn.Module):
    """The position table under its official key, `pos_embed.pos_embed`: the class token's row, then the patches'."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, width))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)


class Block(nn.Module):
    """One pre-norm mixer without its residual: (B, L, D) -> (B, L, D)."""

    elements_moved = 28  # per input element (`niah.bench.roofline`)

    def __init__(self, config: AumConfig, drop_path: float) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(config.width, eps=NORM_EPS)
        self.mixer = MambaMixer(config.width, config.design, config.initial_A)
        self.drop_path = DropPath(drop_path)

    def forward(self, residual: Tensor) -> Tensor:  # (B, L, D) -> (B, L, D)
        out: Tensor = self.drop_path(self.mixer(normed(self.norm, residual)))
        return out

    def at(self, residual: Tensor, place: int) -> Tensor:
        """Return the output of one token: (B, L, D) -> (B, D); without gradients the others' is not computed."""
        if torch.is_grad_enabled():
            out: Tensor = self(residual)[:, place]
            return out
        return self.mixer.at(normed(self.norm, residual), place)


class Aum(nn.Module):
    """The tagger: (B, T0, M) normalised log-mel -> (B, classes) logits."""

    def __init__(self, config: AumConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        rates = torch.linspace(0, config.drop_path, config.depth, device="cpu").tolist()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.patch_embed = PatchEmbed(width, config.patch, config.patch)
        self.pos_embed = PosEmbed(config.places, width)
        self.layers = nn.ModuleList([Block(config, rate) for rate in rates])
        self.norm_f = nn.RMSNorm(width, eps=NORM_EPS)
        self.head = nn.Linear(width, config.classes)
        self._initialise()

    def _initialise(self) -> None:
        """Initialise as Vim does: small class token and head, and outputs of all blocks that add up to one block's."""
        for weight in (self.cls_token, self.head.weight):
            nn.init.trunc_normal_(weight, std=0.02)
        nn.init.zeros_(self.head.bias)
        shrink_output(self, self.config.depth)

    def embed(self, x: Tensor) -> tuple[Tensor, int]:
        """Return the tokens (B, L, D) of features (B, T0, M) with their positions, and the class token's index."""
        config, table = self.config, self.pos_embed.pos_embed
        token = (self.cls_token + table[:, :1]).expand(len(x), -1, -1)
        if config.causal:
            patches = self._columns(x)
            return torch.cat([patches, token], dim=1), patches.shape[1]
        grid = config.grid(x.shape[1])
        places = resize_smoothly(table[:, 1:], config.grid(config.trained_frames), grid)
        patches = added(self.patch_embed(x), places)
        middle = patches.shape[1] // 2
        return torch.cat([patches[:, :middle], token, patches[:, middle:]], dim=1), middle

    def _columns(self, x: Tensor) -> Tensor:
        """Return the patches with their positions, column by column: (B, T0, M) -> (B, t f, D)."""
        rows, columns = self.config.grid(x.shape[1])
        places = self.pos_embed.pos_embed[:, 1:].repeat(1, columns, 1)
        return added(by_columns(self.patch_embed(x), (rows, columns)), places)

    def forward(self, x: Tensor) -> Tensor:
        residual, place = self.embed(x)
        residual = residual.float()
        for layer in self.layers[:-1]:
            residual = added(residual, layer(residual))
        last: Block = self.layers[-1]  # type: ignore[assignment]
        return self._read(residual[:, place] + last.at(residual, place))

    def _read(self, token: Tensor) -> Tensor:  # (B, D) -> (B, classes)
        out: Tensor = self.head(normed(self.norm_f, token))
        return out

    @property
    def streams(self) -> bool:
        """Return whether `step` computes what one pass would: the causal form."""
        return self.config.causal

    def start(self) -> AumState:
        """Return the state before the first frame."""
        return AumState(FrameBuffer(*(self.config.patch[1],) * 2))

    def step(self, state: AumState, x: Tensor) -> tuple[AumState, Tensor | None]:
        """Read the next frames.

        Args:
            state: of the frames before; it is not changed.
            x: (B, n, M) features, n from 0 on.

        Returns:
            The new state, and the logits (B, classes) of all frames so far: those that `forward` computes of them. None
            before the first full patch.
        """
        buffer, ready = state.buffer.add(x)
        if ready is None:
            return AumState(buffer, state.mixers, state.logits), state.logits
        mixers, _ = self._advance(self._columns(ready).float(), state.mixers)
        token = (self.cls_token + self.pos_embed.pos_embed[:, :1]).expand(len(x), -1, -1)
        _, residual = self._advance(token.float(), mixers)
        logits = self._read(residual[:, 0])
        return AumState(buffer, mixers, logits), logits

    def _advance(
        self, residual: Tensor, mixers: tuple[MixerState, ...] | None
    ) -> tuple[tuple[MixerState, ...], Tensor]:
        """Run tokens (B, L, D) through the blocks, from their states on."""
        after = []
        for index, layer in enumerate(self.layers):
            before = None if mixers is None else mixers[index]
            h, own = step_mixer(layer.mixer, normed(layer.norm, residual), before)  # type: ignore[arg-type]
            after.append(own)
            residual = residual + h
        return tuple(after), residual
