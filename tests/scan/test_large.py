"""Maps and sequences of more than 2^31 elements on a CPU give what their parts give: 17 GiB, minutes."""

import os
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from niah.scan import DIRECTIONS, cross_scan, selective_scan

CHANNELS, ROWS, RANK = 512, 8, 1
STEPS = 2**22 + 2**14  # times 512 channels: 2^31 elements and a little
REACH = 256  # columns or steps past which nothing is remembered: exp(-100) and less
WIDTH = 1024  # of a part, with REACH at each end
NEEDED = 22 * 2**30
MEMORY = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MEMORY < NEEDED, reason="needs a machine with 22 GiB"),
]


def parts_of(length: int, whole: Tensor) -> list[slice]:
    """The first, the one across element 2^31, the last."""
    across = 2**31 // (whole.numel() // length)
    return [slice(a, a + WIDTH) for a in (0, across - WIDTH // 2, length - WIDTH)]


def compare(whole: Tensor, scan: Callable[[slice], Tensor]) -> None:
    inner = slice(REACH, -REACH)  # at its true ends, too, a row of a map meets another row's end
    for part in parts_of(whole.shape[1], whole):
        alone, found = scan(part)[:, inner], whole[:, part][:, inner]
        torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-5)
        assert float(found.abs().max()) > 1


def noise(*shape: int) -> Tensor:
    return torch.empty(*shape).normal_(generator=torch.Generator().manual_seed(0))


def test_a_map_is_as_its_parts() -> None:
    columns = STEPS // ROWS
    u, p = noise(1, columns, ROWS, CHANNELS), noise(1, columns, ROWS, DIRECTIONS, RANK + 2)
    assert u.numel() > 2**31
    rest = (
        torch.zeros(DIRECTIONS, CHANNELS, RANK),
        torch.zeros(DIRECTIONS, CHANNELS),  # steps of log 2
        torch.full((DIRECTIONS, CHANNELS), -1.0),
        torch.ones(DIRECTIONS, CHANNELS),
    )
    with torch.no_grad():
        whole = cross_scan(u, p, *rest, backend="cpu")
        compare(whole, lambda part: cross_scan(u[:, part], p[:, part], *rest, backend="cpu"))


@pytest.mark.parametrize("reverse", [False, True])
def test_a_sequence_is_as_its_parts(reverse: bool) -> None:
    u, B, C = noise(1, STEPS, CHANNELS), noise(1, STEPS, 1), noise(1, STEPS, 1)
    assert u.numel() > 2**31
    A, D = torch.full((CHANNELS, 1), -2.0), torch.ones(CHANNELS)

    def scan(part: slice) -> Tensor:
        x = u[:, part]  # also the steps before their softplus: another such tensor would not fit
        return selective_scan(x, x, B[:, part], C[:, part], A, D, reverse=reverse, backend="cpu")

    with torch.no_grad():
        compare(scan(slice(None)), scan)
