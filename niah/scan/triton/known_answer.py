"""A known-answer test of the scans before they train: a compiler for GPUs may err without a word.

Triton's do, for some sizes on some cards, and in backward passes above all. Before the first training step of each
configuration on a device, outputs and gradients of a small random input are compared with those of the scan in torch
in float64. Where they differ, that configuration trains by torch's scan, which is slower, and a warning says so.
"""

import warnings
from collections.abc import Callable, Hashable, Sequence

import torch
import triton
from torch import Tensor

from niah.scan import cross_scan, selective_scan
from niah.scan.triton.cross_forward import LANES, LINES
from niah.scan.triton.steps import interpreted

Scan = Callable[..., Sequence[Tensor]]
TOLERANCE = 1e-3  # relative, of the norm
TOLERANCE_16_BITS = 3e-2  # also of mixed precision

_answered: dict[Hashable, bool] = {}


def map_scan_trains(scan: Scan, u: Tensor, p: Tensor, dt_weight: Tensor) -> bool:
    """Return whether the map scan gives right outputs and gradients for tensors like these.

    Args:
        scan: (u, p, dt_weight, dt_bias, A, D) -> (y,), differentiable.
        u: (B, T, F, C).
        p: (B, T, F, 4, R + 2), rows of any length.
        dt_weight: (4, C, R).
    """
    (_, _, F, C), rank, row = u.shape, dt_weight.shape[-1], p.stride(3)
    dtypes = u.dtype, p.dtype, dt_weight.dtype
    key = ("map", u.device, F, C, rank, row, dtypes)

    def inputs() -> list[Tensor]:
        draw = _Draw(u.device)
        columns = 2 * LINES[0] * max(1, LANES // F) + 3  # two slabs, and one that is not full
        rows = draw(2, columns, F, 4, row, dtype=p.dtype, scale=0.5)
        weights = draw(4, C, rank, dtype=dt_weight.dtype, scale=rank**-0.5)
        A = -draw(4, C).abs() - 0.1
        maps = draw(2, columns, F, C, dtype=u.dtype), rows[..., : rank + 2]
        return [*maps, weights, draw(4, C) - 3, A, draw(4, C)]

    def truth(*tensors: Tensor) -> Sequence[Tensor]:
        return (cross_scan(*tensors, backend="chunked"),)

    return _is_right(key, scan, truth, inputs)


def sequence_scan_trains(scan: Scan, u: Tensor, A: Tensor, *, reverse: bool) -> bool:
    """Return whether the scan of a sequence gives right outputs and gradients for tensors like these.

    Args:
        scan: (u, z, B, C, A, D, state) -> (y, final state), differentiable.
        u: (batch, L, E).
        A: (E, N).
        reverse: the scan's order.
    """
    (E, N), key = A.shape, ("sequence", u.device, *A.shape, u.dtype, reverse)

    def inputs() -> list[Tensor]:
        draw = _Draw(u.device)
        wide = [draw(2, 70, width, dtype=u.dtype) for width in (E, E, N, N)]
        return [*wide, -draw(E, N).abs() - 0.1, draw(E), draw(2, E, N)]

    def truth(*tensors: Tensor) -> Sequence[Tensor]:
        *rest, state = tensors
        return selective_scan(
            *rest, initial_state=state, reverse=reverse, return_state=True, backend="chunked"
        )

    return _is_right(key, scan, truth, inputs)


def relative_error(scan: Scan, truth: Scan, inputs: Sequence[Tensor]) -> float:
    """Return the largest error of outputs and gradients, over the norm of the true ones; infinite for NaN."""
    draw = _Draw(inputs[0].device, seed=1)
    with torch.enable_grad(), torch.autocast(inputs[0].device.type, enabled=False):
        own = [x.detach().requires_grad_() for x in inputs]
        computed = scan(*own)
        exact = [x.detach().double().requires_grad_() for x in inputs]
        wanted = truth(*exact)
        upstream = [draw(*y.shape, dtype=y.dtype) for y in computed]
        gradients = torch.autograd.grad(computed, own, upstream)
        true_gradients = torch.autograd.grad(wanted, exact, [g.double() for g in upstream])
    pairs = [*zip(computed, wanted, strict=True), *zip(gradients, true_gradients, strict=True)]
    with torch.no_grad():
        errors = [float((a.double() - b).norm() / b.norm()) for a, b in pairs]
    return max(e if e == e else float("inf") for e in errors)


class _Draw:
    """Normal numbers of its own generator: the training's random numbers stay as they are."""

    def __init__(self, device: torch.device, seed: int = 0) -> None:
        self._device = device
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(
        self, *size: int, dtype: torch.dtype = torch.float32, scale: float = 1.0
    ) -> Tensor:
        drawn = torch.randn(*size, generator=self._generator) * scale
        return drawn.to(self._device, dtype)


def _is_right(key: Hashable, scan: Scan, truth: Scan, inputs: Callable[[], list[Tensor]]) -> bool:
    if interpreted():  # nothing is compiled
        return True
    if key not in _answered:
        tensors = inputs()
        error = relative_error(scan, truth, tensors)
        is_wide = all(x.dtype == torch.float32 for x in tensors)
        _answered[key] = error <= (TOLERANCE if is_wide else TOLERANCE_16_BITS)
        if not _answered[key]:
            warnings.warn(
                f"Triton {triton.__version__} compiles this scan wrongly for this device (relative error {error:.2g}): "
                "training uses the scan in torch, which is slower",
                RuntimeWarning,
                stacklevel=2,
            )
    return _answered[key]
