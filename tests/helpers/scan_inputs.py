"""Inputs and tolerances for tests of the scans."""

from functools import cache

import torch
from torch import Tensor

from niah.scan import DIRECTIONS, Backend

# largest error / largest value against the float64 reference on the same (rounded) inputs: of y, and of gradients
TOLERANCES = {
    torch.float64: (1e-12, 1e-12),
    torch.float32: (2e-6, 1e-5),
    torch.bfloat16: (5e-3, 2e-2),
    torch.float16: (6e-4, 3e-3),
}
TOLERANCE = {"output": 1e-6, "gradient": TOLERANCES[torch.float32][1]}
CHANNELS = 50  # beside a block of 48
HALVES = torch.bfloat16, torch.float16
DTYPES = (torch.float32, *HALVES)
# of tests on a device, whose kernels `scripts/gpu/warm.py` compiles elsewhere: DASS's first and last stage, and odd
# sizes, (rows, channels, rank); and stages of a training step, (columns, rows, channels, rank)
DEVICE_MAPS = (32, 96, 6), (4, 768, 48), (3, 50, 4)
DEVICE_COLUMNS = 1, 2, 31, 32, 33, 1000, 4097
TRAINING_MAPS = (256, 32, 96, 6), (64, 8, 384, 24), (32, 4, 768, 48)


def arguments(
    shape: tuple[int, ...], dtype: torch.dtype = torch.float32, seed: int = 0
) -> list[Tensor]:
    batch, columns, rows, channels, rank = shape
    generator = torch.Generator().manual_seed(seed)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64).to(dtype)

    return [
        normal(batch, columns, rows, channels),
        normal(batch, columns, rows, DIRECTIONS, rank + 2),
        normal(DIRECTIONS, channels, rank) / 2,
        normal(DIRECTIONS, channels) - 3,
        -normal(DIRECTIONS, channels).abs() - 0.1,
        normal(DIRECTIONS, channels),
    ]


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30))


FAST: list[Backend] = ["cpu", "chunked"]


# one sequence, N states a channel


@cache
def sequence(
    length: int, states: int, dtype: torch.dtype, channels: int = CHANNELS
) -> list[Tensor]:
    """u, z, B, C, A, D and an initial state; steps of about 0.02, memories of tens to hundreds of steps."""
    generator = torch.Generator().manual_seed(length + states)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    u, z = normal(2, length, channels), normal(2, length, channels) - 4.0
    B, C = normal(2, length, states), normal(2, length, states)
    A = -torch.exp(normal(channels, states))
    made = [u, z, B, C, A, normal(channels), normal(2, channels, states)]
    return [x.to(dtype) for x in made]
