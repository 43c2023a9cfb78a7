"""Selective scan over a two-dimensional map (SS2D): one name, one signature, several backends.

`cross_scan` runs the four directional scans of VMamba's SS2D over a map and adds them up:

    k = 0  along time inside a mel row, rows from low to high mel
    k = 1  along frequency inside a time column, columns in time order
    k = 2  k = 0 from the far end;   k = 3  k = 1 from the far end

For a direction, with s the position in its order and c the channel (Mamba, arXiv 2312.00752, equations 2 and 4;
state size 1, as in DASS):

    z_s     = W_k p_s^dt + bias_k                    (C,)
    delta_s = softplus(z_s)
    h_s     = exp(delta_s A_k) h_{s-1} + delta_s B_s u_s,   h_{-1} = 0
    y_s     = C_s h_s + D_k u_s

and the result is the sum of the four y on the map (VMamba's `csms6s.py`, CrossScan and CrossMerge).

Glossary: B batch, T time columns, F mel rows, C channels, R rank of the step projection, L = T F positions.
Maps are (B, T, F, C): channels last and time outermost, so every direction is a stride, never a copy.

Backends: `reference` (torch, one step at a time, any device and dtype, simple), `chunked` (torch, about sqrt(L) steps
at a time), `cpu` (numba), `triton` (CUDA devices; nothing for the user to compile) and `mamba_ssm` (the official CUDA
kernel, if that package is installed; never chosen automatically). Tensors without data (the `meta` device)
are not scanned but counted (`niah.scan.shapes`).
"""

import importlib.util
from collections.abc import Callable
from functools import cache
from typing import Literal, overload

import torch
from torch import Tensor

Backend = Literal["auto", "reference", "chunked", "cpu", "triton", "mamba_ssm"]
ChosenBackend = Literal[Backend, "shapes"]
DIRECTIONS = 4

ScanDirection = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, int], Tensor]
ScanSequence = Callable[
    [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, bool], tuple[Tensor, Tensor]
]


def output_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype of y for an input's: float32 for float16, which y may overflow; else the same."""
    return torch.float32 if dtype == torch.float16 else dtype


def choose_backend(tensor: Tensor, backend: Backend = "auto") -> ChosenBackend:
    """Choose the backend for a tensor.

    Args:
        tensor: the input of a scan.
        backend: an explicit choice, or "auto".

    Returns:
        The explicit choice; else `cpu` on a CPU, `triton` on a CUDA device, `chunked` for float64 and on other devices.
        `shapes` for a tensor without data, which no other backend can scan.
    """
    if (
        tensor.is_meta and backend != "mamba_ssm"
    ):  # that one refuses sizes before it looks at the data
        return "shapes"
    if backend != "auto":
        return backend
    if tensor.dtype == torch.float64:
        return "chunked"
    if tensor.device.type == "cuda" and _has_triton():
        return "triton"
    return "cpu" if tensor.device.type == "cpu" else "chunked"


@cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


def cross_scan(
    u: Tensor,
    p: Tensor,
    dt_weight: Tensor,
    dt_bias: Tensor,
    A: Tensor,
    D: Tensor,
    *,
    backend: Backend = "auto",
) -> Tensor:
    """Sum the four directional scans of a map (equations in the module docstring).

    Args:
        u: (B, T, F, C) input map.
        p: (B, T, F, 4, R + 2) per direction, in this order: R step coordinates, B, C.
        dt_weight: (4, C, R) step projection.
        dt_bias: (4, C) of the step.
        A: (4, C), negative.
        D: (4, C) skip path.
        backend: see `choose_backend`.

    Returns:
        (B, T, F, C), dtype of `u`, but float32 for float16 (`output_dtype`).
    """
    chosen = choose_backend(u, backend)
    tensors = (u, p, dt_weight, dt_bias, A, D)
    if chosen == "shapes":
        from niah.scan import shapes

        return shapes.cross_scan(u)
    if chosen == "triton":
        from niah.scan.triton.cross import cross_scan as triton_scan

        return triton_scan(*tensors)
    if chosen == "mamba_ssm":
        from niah.scan.mamba_ssm import cross_scan as official_scan

        return official_scan(*tensors)
    if chosen == "cpu" and not (
        torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    ):
        from niah.scan.cpu.map import cross_scan as numba_scan

        return numba_scan(*tensors)
    if u.element_size() == 2:  # the state and the sum of the directions in float32
        y = cross_scan(*(tensor.float() for tensor in tensors), backend=chosen)
        return y.to(output_dtype(u.dtype))
    if chosen == "cpu":
        from niah.scan.cpu.map_training import cross_scan as differentiable_scan

        return differentiable_scan(*tensors)
    scan_direction = _scan_direction(chosen)
    rank = dt_weight.shape[-1]
    y = u * D.sum(0)
    for k in range(DIRECTIONS):
        z = torch.nn.functional.linear(p[..., k, :rank], dt_weight[k], dt_bias[k])
        # out of place: the sum is part of the autograd graph in training
        y = y + scan_direction(u, z, p[..., k, rank], p[..., k, rank + 1], A[k], k)
    return y


def _scan_direction(backend: Backend) -> ScanDirection:
    if backend == "chunked":
        from niah.scan.chunked import scan_direction as chunked_scan

        return chunked_scan
    from niah.scan.reference import scan_direction as torch_scan

    return torch_scan


@overload
def selective_scan(
    u: Tensor,
    z: Tensor,
    B: Tensor,
    C: Tensor,
    A: Tensor,
    D: Tensor,
    *,
    reverse: bool = ...,
    initial_state: Tensor | None = ...,
    return_state: Literal[False] = ...,
    backend: Backend = ...,
) -> Tensor: ...


@overload
def selective_scan(
    u: Tensor,
    z: Tensor,
    B: Tensor,
    C: Tensor,
    A: Tensor,
    D: Tensor,
    *,
    reverse: bool = ...,
    initial_state: Tensor | None = ...,
    return_state: Literal[True],
    backend: Backend = ...,
) -> tuple[Tensor, Tensor]: ...


def selective_scan(
    u: Tensor,
    z: Tensor,
    B: Tensor,
    C: Tensor,
    A: Tensor,
    D: Tensor,
    *,
    reverse: bool = False,
    initial_state: Tensor | None = None,
    return_state: bool = False,
    backend: Backend = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """Scan one sequence as Mamba does, with N states a channel (arXiv 2312.00752, equations 2 and 4).

        delta_t = softplus(z_t)                                                     (E,)
        s_t[e, n] = exp(delta_t[e] A[e, n]) s_{t-1}[e, n] + delta_t[e] B_t[n] u_t[e]
        y_t[e] = sum_n C_t[n] s_t[e, n] + D[e] u_t[e]

    A sequence may be cut into tiles: the final state of one tile is the `initial_state` of the next, and the
    concatenated outputs are those of the whole. With `reverse` the last tile comes first.

    Args:
        u: (batch, L, E) input.
        z: (batch, L, E) step size before its softplus, bias included.
        B: (batch, L, N) input projection, shared by all channels.
        C: (batch, L, N) output projection, shared by all channels.
        A: (E, N), negative.
        D: (E,) skip path.
        reverse: scan from the last step to the first.
        initial_state: (batch, E, N), the state before the first step of the scan; None is zero.
        return_state: also return the state after the last step of the scan.
        backend: see `choose_backend`.

    Returns:
        (batch, L, E), dtype of `u`, but float32 for float16; with `return_state` also (batch, E, N). Differentiable in
        all tensors.
    """
    chosen = choose_backend(u, backend)
    if chosen == "shapes":
        from niah.scan import shapes

        y, state = shapes.scan_sequence(u, A.shape[1])
        return (y, state) if return_state else y
    scan_sequence = _scan_sequence(chosen)
    if initial_state is None:
        initial_state = u.new_zeros(u.shape[0], *A.shape)
    dtype = output_dtype(u.dtype)
    if u.element_size() == 2 and chosen in ("reference", "chunked"):  # the others do so inside
        u, z, B, C, A, D, initial_state = (x.float() for x in (u, z, B, C, A, D, initial_state))
    y, state = scan_sequence(u, z, B, C, A, D, initial_state, reverse)
    y = y.to(dtype)
    return (y, state) if return_state else y


def _scan_sequence(backend: Backend) -> ScanSequence:
    if backend == "triton":
        from niah.scan.triton.sequence import scan_sequence as triton_scan

        return triton_scan
    if backend == "mamba_ssm":
        from niah.scan.mamba_ssm import scan_sequence as official_scan

        return official_scan
    if backend == "cpu":
        from niah.scan.cpu.sequence import scan_sequence as numba_scan

        return numba_scan
    if backend == "chunked":
        from niah.scan.chunked import scan_sequence as chunked_scan

        return chunked_scan
    from niah.scan.reference import scan_sequence as torch_scan

    return torch_scan
