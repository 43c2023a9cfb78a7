"""The Mamba mixer of AuM and SSAMBA: Vim's modified mamba-ssm 1.1.1 (arXiv 2312.00752 and 2401.09417)

    x, z = h W_in^T                     first half x, second half z                          (L, E) each
    c    = SiLU(conv(x))                depthwise, 4 taps, looking back                      (L, E)
    p    = c W_x^T                      split in the order dt (R), B (N), C (N)
    y    = selective scan of c, with step softplus(dt W_dt^T + b_dt) and A = -exp(A_log)     (L, E)
    out  = (y SiLU(z)) W_out^T                                                               (L, D)

Glossary: B batch, L tokens, D width, E = 2 D channels, N states a channel, R = ceil(D / 16) rank of the step.
Sequences are (B, L, channels), channels last; a scan runs backwards by index, without a flipped copy.

Designs, by AuM's names (Vim's `bimamba_type`):
- `fo-fo` (none): the above.
- `fo-bi` (v1): one c and p, looking back; a second scan with A_b runs over them backwards. The two are summed
  (not halved), with the same D, which therefore counts twice.
- `bi-bi` (v2): a second set of all layers between W_in and W_out runs backwards, its convolution looking ahead; the
  result is the mean of the two.

Without gradients a long sequence is processed in tiles, with three neighbours for the convolution and the scan's state
carried over. Only (L, D) twice, and with two directions (L, E) once, are in memory as a whole. Tiles are larger on a
device, which a small one does not fill.
"""

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from niah.networks.layers.init import draw_steps
from niah.networks.layers.vit import TOKENS_READ
from niah.scan import Backend, choose_backend, selective_scan

Design = Literal["fo-fo", "fo-bi", "bi-bi"]
STATES, TAPS = 16, 4
# of a (tile, E) tensor: on a CPU a few fit its cache, and larger ones are no faster
TILE_ELEMENTS = 2048 * 1536
DEVICE_TILE_ELEMENTS = 1 << 25
HALVES = (torch.bfloat16, torch.float16)
IN_ITS_INPUTS_DTYPE = (
    "reference",
    "chunked",
    "cpu",
)  # scans that do not convert to float32 themselves
_HALO = TAPS - 1


class Direction(NamedTuple):
    """One of the scans of a mixer."""

    conv: nn.Conv1d
    x_proj: nn.Linear
    dt_proj: nn.Linear
    A_log: Tensor
    D: Tensor
    ahead: bool  # the convolution looks ahead
    reverse: bool  # the scan runs from the end


class MambaMixer(nn.Module):
    """The mixer, (B, L, D) -> (B, L, D); keys and shapes of the state dict are the official ones."""

    def __init__(self, width: int, design: Design, initial_A: float = 1.0) -> None:
        super().__init__()
        channels, rank = 2 * width, math.ceil(width / 16)
        self.design, self.rank = design, rank
        self.tile, self.device_tile = tile_of(channels), tile_of(channels, DEVICE_TILE_ELEMENTS)
        self.backend: Backend = "auto"
        self.in_proj = nn.Linear(width, 2 * channels, bias=False)
        self.conv1d = nn.Conv1d(channels, channels, TAPS, groups=channels)
        self.x_proj = nn.Linear(channels, rank + 2 * STATES, bias=False)
        self.dt_proj = nn.Linear(rank, channels)
        self.A_log = nn.Parameter(_initial_decay(channels, initial_A))
        self.D = nn.Parameter(torch.ones(channels))
        _initialise_step(self.dt_proj)
        if design != "fo-fo":
            self.A_b_log = nn.Parameter(_initial_decay(channels, initial_A))
        if design == "bi-bi":
            self.conv1d_b = nn.Conv1d(channels, channels, TAPS, groups=channels)
            self.x_proj_b = nn.Linear(channels, rank + 2 * STATES, bias=False)
            self.dt_proj_b = nn.Linear(rank, channels)
            self.D_b = nn.Parameter(torch.ones(channels))
            _initialise_step(self.dt_proj_b)
        self.out_proj = nn.Linear(channels, width, bias=False)

    def directions(self, from_end: bool = False) -> list[Direction]:
        """Return the scans; with `from_end` those of the mixer on the flipped sequence, without flipping it."""
        forward = self.conv1d, self.x_proj, self.dt_proj
        scans = [Direction(*forward, self.A_log, self.D, from_end, from_end)]
        if self.design == "fo-bi":
            scans.append(Direction(*forward, self.A_b_log, self.D, from_end, not from_end))
        if self.design == "bi-bi":
            second = self.conv1d_b, self.x_proj_b, self.dt_proj_b
            scans.append(Direction(*second, self.A_b_log, self.D_b, not from_end, not from_end))
        return scans

    def forward(self, h: Tensor, from_end: bool = False) -> Tensor:
        """Mix tokens: (B, L, D) -> (B, L, D).

        Args:
            h: is overwritten by the result if it is long and no gradient is needed.
            from_end: compute flip(mixer(flip(h))) instead.
        """
        if h.shape[1] > self._tile(h) and not torch.is_grad_enabled():
            return self._by_tiles(h, from_end)
        x, z = self.in_proj(h).chunk(2, dim=-1)
        y: Tensor | None = None
        c, p = x, x
        before: Direction | None = None
        for direction in self.directions(from_end):
            if before is None or direction.conv is not before.conv:
                c = self._convolved(x, direction, 0, x.shape[1])
                p = direction.x_proj(c)
            scanned, _ = self.scan(c, p, direction, None)
            y = scanned if y is None else added(y, scanned)
            before = direction
        assert y is not None
        return self.gated(y, z)

    def at(self, h: Tensor, place: int) -> Tensor:
        """Mix for one token alone, without gradients: a scan ends there, and the gate is the token's.

        Args:
            h: (B, L, D) tokens.
            place: 0 .. L - 1.

        Returns:
            (B, D), row `place` of `forward`.
        """
        length = h.shape[1]
        total: Tensor | None = None
        for direction in self.directions():
            span = range(place, length) if direction.reverse else range(place + 1)
            for _, _, y in self._tiles(h, direction, gate=False, span=span):
                scanned = y[:, :1] if direction.reverse else y[:, -1:]
            total = scanned if total is None else total + scanned
        assert total is not None
        first = max(0, min(place, length - TOKENS_READ))
        weight = self.in_proj.weight[total.shape[2] :]
        z = F.linear(h[:, first : first + TOKENS_READ], weight)
        return self.gated(total.expand_as(z), z)[:, place - first]

    def _tile(self, h: Tensor) -> int:
        """Return the tokens of a tile where h is."""
        return self.device_tile if h.is_cuda else self.tile

    def _convolved(self, x: Tensor, direction: Direction, first: int, length: int) -> Tensor:
        """Convolve, and apply SiLU: tokens first.. of x (B, n, E), with zeros beside x, to (B, length, E)."""
        trains = torch.is_grad_enabled()
        if choose_backend(x, self.backend) == "triton" and not trains:
            from niah.networks.layers.mixer_kernels import convolve_silu

            weight, bias = direction.conv.weight, direction.conv.bias
            assert bias is not None
            return convolve_silu(x, weight, bias, first, length, ahead=direction.ahead)
        after = x.shape[1] - first - length
        padded = F.pad(x, (0, 0, _HALO - first, _HALO - after))
        return F.silu(convolve(padded, direction), inplace=not trains)

    def gated(self, y: Tensor, z: Tensor) -> Tensor:
        """Gate and project: (B, L, E) scanned and z -> (B, L, D)."""
        gate = F.silu(z)
        y = y * gate if torch.is_grad_enabled() else gate.mul_(y)
        out: Tensor = self.out_proj(y * 0.5 if self.design == "bi-bi" else y)
        return out

    def scan(
        self, c: Tensor, p: Tensor, direction: Direction, state: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Scan in one direction.

        Args:
            c: (B, L, E) convolved input.
            p: (B, L, R + 2 N) its projection: step, B and C.
            direction: of the scan.
            state: (B, E, N) before the first token; None is zero.

        Returns:
            (B, L, E) in the dtype of `c`, and the state after the last token.
        """
        dt, B, C = torch.split(p, [self.rank, STATES, STATES], dim=-1)
        u, z, A_log = c, direction.dt_proj(dt), direction.A_log
        if c.dtype in HALVES:  # decays of long memories are near 1
            A_log = A_log.float()
            if choose_backend(c, self.backend) in IN_ITS_INPUTS_DTYPE:
                u, z, B, C = (x.float() for x in (c, z, B, C))
        y, state = selective_scan(
            u,
            z,
            B,
            C,
            -torch.exp(A_log),
            direction.D.to(A_log.dtype),
            reverse=direction.reverse,
            initial_state=state,
            return_state=True,
            backend=self.backend,
        )
        return y.to(c.dtype), state

    def _by_tiles(self, h: Tensor, from_end: bool) -> Tensor:
        """Compute `forward` in place: the scan from the end first, whose outputs are stored, then the other."""
        directions = sorted(self.directions(from_end), key=lambda d: not d.reverse)
        backward: Tensor | None = None
        for direction in directions[:-1]:
            backward = h.new_empty(*h.shape[:2], len(direction.D))
            for tile, _, y in self._tiles(h, direction, gate=False):
                backward[:, tile] = y
        pending: tuple[slice, Tensor] | None = (
            None  # the last tile's result; its input is still needed as the next tile's halo
        )
        for tile, z, y in self._tiles(h, directions[-1], gate=True):
            if pending is not None:
                h[:, pending[0]] = pending[1]
            pending = tile, self.gated(y if backward is None else y.add_(backward[:, tile]), z)
        assert pending is not None
        h[:, pending[0]] = pending[1]
        return h

    def _tiles(
        self, h: Tensor, direction: Direction, gate: bool, span: range | None = None
    ) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Yield (place, z, y) of every tile of the scan of `span`, in its order; z is empty unless `gate`."""
        length, channels = h.shape[1], len(direction.D)
        span = range(length) if span is None else span
        weight = self.in_proj.weight
        state: Tensor | None = None
        size = self._tile(h)
        starts = span[::size]
        for start in reversed(starts) if direction.reverse else starts:
            stop = min(start + size, span.stop)
            first, last = max(0, start - _HALO), min(length, stop + _HALO)
            xz = F.linear(h[:, first:last], weight if gate else weight[:channels])
            c = self._convolved(xz[..., :channels], direction, start - first, stop - start)
            y, state = self.scan(c, direction.x_proj(c), direction, state)
            z = xz[:, start - first : stop - first, channels:]
            yield slice(start, stop), z, y


def convolve(x: Tensor, direction: Direction) -> Tensor:
    """Convolve (B, L + 6, E) -> (B, L, E): y_t = b + sum_k w_k x_(t - 3 + k), or x_(t + 3 - k) looking ahead.

    A two-dimensional convolution of height one, as it takes channels last; the one-dimensional one copies.
    """
    weight = direction.conv.weight.flip(2) if direction.ahead else direction.conv.weight
    x = x[:, _HALO:] if direction.ahead else x[:, :-_HALO]
    y = F.conv2d(
        x.transpose(1, 2).unsqueeze(2),
        weight.unsqueeze(2),
        direction.conv.bias,
        groups=len(weight),
    )
    return y.squeeze(2).transpose(1, 2)


def tile_of(channels: int, elements: int | None = None) -> int:
    """Return the tokens of a tile of a mixer of E channels: of the same bytes at every width, but at least the halo."""
    return max(_HALO, (elements or TILE_ELEMENTS) // channels)


def _initial_decay(channels: int, initial_A: float) -> Tensor:
    """Initialise as Mamba does, -A = 1 .. N in every channel, times `initial_A`."""
    if torch.get_default_device().type == "meta":  # whose logarithm would import torch's compiler
        return torch.empty(channels, STATES)
    states = torch.arange(1, STATES + 1, dtype=torch.float32)
    return torch.log(initial_A * states).repeat(channels, 1)


def _initialise_step(dt_proj: nn.Linear) -> None:
    """Initialise as Mamba does: steps log-uniform in [1e-3, 1e-1] through the bias, at least 1e-4."""
    nn.init.uniform_(dt_proj.weight, -(dt_proj.in_features**-0.5), dt_proj.in_features**-0.5)
    draw_steps(dt_proj.bias)


@torch.no_grad()
def shrink_output(network: nn.Module, depth: int) -> None:
    """Initialise as Mamba does: `depth` mixers together add as much to the residual as one would."""
    for module in network.modules():
        if isinstance(module, MambaMixer):
            module.out_proj.weight /= depth**0.5


def normed(norm: nn.LayerNorm | nn.RMSNorm, residual: Tensor) -> Tensor:
    """Return norm(residual) in the norm's dtype, computed in the residual's: float32 also in a float16 network."""
    weight = norm.weight
    if residual.dtype == weight.dtype:
        out: Tensor = norm(residual)
        return out
    shape = list(norm.normalized_shape)
    if isinstance(norm, nn.RMSNorm):
        return F.rms_norm(residual, shape, weight.float(), norm.eps).to(weight.dtype)
    return F.layer_norm(residual, shape, weight.float(), norm.bias.float(), norm.eps).to(
        weight.dtype
    )


def added(residual: Tensor, h: Tensor) -> Tensor:
    """Return residual + h, computed in place where no gradient needs the residual."""
    return residual + h if torch.is_grad_enabled() else residual.add_(h)


def backend_of(network: nn.Module) -> Backend:
    """Return the backend of a network's mixers."""
    return next(m.backend for m in network.modules() if isinstance(m, MambaMixer))


def use_backend(network: nn.Module, backend: Backend) -> None:
    """Set the backend of every mixer of a network."""
    for module in network.modules():
        if isinstance(module, MambaMixer):
            module.backend = backend


def largest_of_mixer(width: int, tokens: int) -> int:
    """Count the elements a clip of the largest tensor of a forward pass without gradients.

    It is the outputs of one direction, or x and z of a tile.

    Args:
        width: D.
        tokens: L.
    """
    of_tile = max(4 * width, math.ceil(width / 16) + 2 * STATES)
    return max(2 * width * tokens, of_tile * min(tokens, tile_of(2 * width) + 2 * _HALO))
