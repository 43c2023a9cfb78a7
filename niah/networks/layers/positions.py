"""Position embeddings of patch grids: sinusoids of any position, and learned tables resized to another grid.

Glossary: f x t patch grid (mel rows x time columns), P = f t places, D width. Tables are (1, P, D), row by row in
frequency: place row * t + column. Class tokens have separate rows, which are not resized.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

Grid = tuple[int, int]
_BLOCK = 1 << 16  # rows of a sinusoid in float64 at a time


def sinusoid_at(places: Tensor, width: int) -> Tensor:
    """Compute sinusoids: even columns sin(p w_i), odd ones cos(p w_i), w_i = 10000^(-2i/width).

    Args:
        places: (n,) p.
        width: D.

    Returns:
        (n, width) float32.
    """
    frequency = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    table = torch.empty(len(places), width)
    for block, out in zip(torch.split(places, _BLOCK), torch.split(table, _BLOCK), strict=True):
        angle = block.double()[:, None] * frequency
        out[:, 0::2], out[:, 1::2] = angle.sin(), angle.cos()
    return table


def sinusoid(tokens: int, width: int) -> Tensor:
    """Return `sinusoid_at` the places 0, 1, 2, ..: (tokens, width) float32."""
    return sinusoid_at(torch.arange(tokens), width)


def cut_or_resize(table: Tensor, stored: Grid, wanted: Grid) -> Tensor:
    """Resize a table by the rule of AST, SSAST and SSAMBA, in the two steps of the official code.

    Fewer columns are cut from the middle of the stored ones, more are resized bilinearly (align_corners False, no
    antialias); then rows are resized where their number differs.

    Args:
        table: (1, stored places, D).
        stored: its grid.
        wanted: the grid of the input.

    Returns:
        (1, wanted places, D).
    """
    if stored == wanted:
        return table
    rows, columns = stored
    places = to_map(table, stored)
    if wanted[1] < columns:
        first = columns // 2 - wanted[1] // 2
        places = places[..., first : first + wanted[1]]
    elif wanted[1] > columns:
        places = _bilinear(places, (rows, wanted[1]))
    if wanted[0] != rows:
        places = _bilinear(places, wanted)
    return to_table(places)


def resize_smoothly(table: Tensor, stored: Grid, wanted: Grid) -> Tensor:
    """Resize a table by the rule of AuM: bilinear with antialias, which changes only a reduction.

    Args:
        table: (1, stored places, D).
        stored: its grid.
        wanted: the grid of the input.

    Returns:
        (1, wanted places, D).
    """
    if stored == wanted:
        return table
    return to_table(_bilinear(to_map(table, stored), wanted, antialias=True))


def to_map(table: Tensor, grid: Grid) -> Tensor:
    """Reshape a table to a map: (1, f t, D) -> (1, D, f, t)."""
    return table.transpose(1, 2).reshape(1, -1, *grid)


def to_table(places: Tensor) -> Tensor:
    """Reshape a map to a table: (1, D, f, t) -> (1, f t, D)."""
    return places.flatten(2).transpose(1, 2)


def by_columns(patches: Tensor, grid: Grid) -> Tensor:
    """Reorder patches row by row to patches column by column: (B, f t, D) -> (B, t f, D)."""
    return patches.reshape(len(patches), *grid, -1).transpose(1, 2).flatten(1, 2)


def _bilinear(places: Tensor, size: Grid, antialias: bool = False) -> Tensor:
    """Resize in at least float32: CPUs have no 16-bit antialias."""
    wide = torch.promote_types(places.dtype, torch.float32)
    resized = F.interpolate(
        places.to(wide), size=size, mode="bilinear", align_corners=False, antialias=antialias
    )
    return resized.to(places.dtype)
