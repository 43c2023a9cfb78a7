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

and the result is the sum of the four y on the map (facts: official `csms6s.py` CrossScan / CrossMerge).

Glossary: B batch, T time columns, F mel rows, C channels, R rank of the step projection, L = T F positions.
Maps are (B, T, F, C): channels last and time outermost, so every direction is a stride, never a copy.

Backends: `reference` (torch, one step at a time, any device and dtype, obviously right), `chunked` (torch, about
sqrt(L) steps at a time) and `cpu` (numba).
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Backend = Literal["auto", "reference", "chunked", "cpu"]
DIRECTIONS = 4

ScanDirection = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, int], Tensor]


def choose_backend(tensor: Tensor, backend: Backend = "auto") -> Backend:
    """`cpu` for float32 tensors on the CPU, `chunked` otherwise; an explicit choice is kept."""
    if backend != "auto":
        return backend
    return "cpu" if tensor.device.type == "cpu" and tensor.dtype == torch.float32 else "chunked"


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
    """Sum of the four directional scans of a map (module docstring for the equations).

    Args:
        u: (B, T, F, C) input map.
        p: (B, T, F, 4, R + 2) per direction, in this order: R step coordinates, B, C.
        dt_weight: (4, C, R); dt_bias, A, D: (4, C); A is negative.
        backend: see `choose_backend`.

    Returns:
        (B, T, F, C), dtype of `u`.
    """
    scan_direction = _scan_direction(choose_backend(u, backend))
    rank = dt_weight.shape[-1]
    y = u * D.sum(0)
    for k in range(DIRECTIONS):
        z = torch.nn.functional.linear(p[..., k, :rank], dt_weight[k], dt_bias[k])
        # out of place: the sum is part of the autograd graph in training
        y = y + scan_direction(u, z, p[..., k, rank], p[..., k, rank + 1], A[k], k)
    return y


def _scan_direction(backend: Backend) -> ScanDirection:
    if backend == "cpu":
        from niah.scan.cpu import scan_direction as numba_scan

        return numba_scan
    if backend == "chunked":
        from niah.scan.chunked import scan_direction as chunked_scan

        return chunked_scan
    from niah.scan.reference import scan_direction as torch_scan

    return torch_scan
