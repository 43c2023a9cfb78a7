"""`make bench`: the CPU scans against mamba-ssm's reference and mambapy's parallel scan, ratios in one run.

The shape is one direction of DASS's first stage at 300 s: 96 channels, 240,000 steps, state size 1, with the softplus
and the step projection (rank 6) included. mamba-ssm's reference takes minutes there; it is measured on a shorter
stretch, and its time an element does not depend on the length.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from niah.adapters.importing import import_adapter
from niah.cards import find_model
from niah.networks.layers import mamba_mixer
from niah.scan import DIRECTIONS, cross_scan, selective_scan
from niah.system.memory import keep_freed_memory
from tests.helpers import peers
from tests.helpers.measuring import interleaved_minima

pytestmark = pytest.mark.bench

CHANNELS, STEPS, ROWS, RANK, SHORT = 96, 240_000, 32, 6, 4_000
TILE = 8192  # steps: 3 MB of step sizes, and few enough tiles that starting their jobs is no cost
Benchmark = Any  # pytest-benchmark has no types


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    keep_freed_memory()
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with torch.inference_mode():
        yield
    torch.set_num_threads(before)


def first_stage(steps: int) -> dict[str, Tensor]:
    """One direction's arguments; `coordinates` R, then B and C."""
    generator = torch.Generator().manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator)

    return {
        "u": normal(1, steps, CHANNELS),
        "coordinates": normal(1, steps, RANK),
        "weight": normal(CHANNELS, RANK) / 3,
        "bias": normal(CHANNELS) - 4,
        "B": normal(1, steps, 1),
        "C": normal(1, steps, 1),
        "A": -torch.exp(normal(CHANNELS, 1)),
        "D": normal(CHANNELS),
    }


def ours(case: dict[str, Tensor], out: Tensor | None = None) -> Tensor:
    """The one direction in tiles, as the networks use it: the step sizes never leave the cache."""
    out = torch.empty_like(case["u"]) if out is None else out
    state: Tensor | None = None
    for first in range(0, out.shape[1], TILE):
        now = slice(first, first + TILE)
        u, coordinates, B, C = (case[name][:, now] for name in ("u", "coordinates", "B", "C"))
        z = F.linear(coordinates, case["weight"], case["bias"])
        out[:, now], state = selective_scan(
            u, z, B, C, case["A"], case["D"], initial_state=state, return_state=True, backend="cpu"
        )
    return out


def first_stage_map() -> list[Tensor]:
    """All four directions of the same stage, 7500 columns of 32 rows: what DASS runs."""
    case = first_stage(STEPS)
    u, coordinates, B, C = (
        case[name].view(1, -1, ROWS, case[name].shape[-1])
        for name in ("u", "coordinates", "B", "C")
    )
    p = torch.cat([coordinates, B, C], dim=-1)[..., None, :].repeat(1, 1, 1, DIRECTIONS, 1)
    rest = [case["weight"], case["bias"], case["A"][:, 0], case["D"]]
    return [u, p, *(x.expand(DIRECTIONS, *x.shape).contiguous() for x in rest)]


def through_mambapy(pscan: Callable[[Tensor, Tensor], Tensor], case: dict[str, Tensor]) -> Tensor:
    delta = F.softplus(F.linear(case["coordinates"], case["weight"], case["bias"]))
    return mambapy_scan_of(pscan, case["u"], delta, case["B"], case["C"], case["A"], case["D"])


def mambapy_scan_of(
    pscan: Callable[[Tensor, Tensor], Tensor],
    u: Tensor,
    delta: Tensor,
    B: Tensor,
    C: Tensor,
    A: Tensor,
    D: Tensor,
) -> Tensor:
    """Follow its MambaBlock.selective_scan: decays and drives (batch, L, E, N) whole."""
    decay = torch.exp(delta[..., None] * A)
    drive = delta[..., None] * B[:, :, None] * u[..., None]
    return (pscan(decay, drive) @ C[..., None]).squeeze(3) + D * u


def through_reference(scan: Any, case: dict[str, Tensor]) -> Tensor:
    z = F.linear(case["coordinates"], case["weight"])
    u, z, B, C = (x.mT.contiguous() for x in (case["u"], z, case["B"], case["C"]))
    y: Tensor = scan(u, z, case["A"], B, C, case["D"], None, case["bias"], True)
    return y.mT


def report(benchmark: Benchmark, seconds: dict[str, float], elements: dict[str, int]) -> float:
    """The last way's time an element over the first's, kept with the benchmark's own numbers."""
    each = {name: seconds[name] / elements[name] * 1e9 for name in seconds}
    mine, *_, peer = each
    benchmark.extra_info.update({f"{name} ns an element": value for name, value in each.items()})
    benchmark.extra_info["times faster"] = each[peer] / each[mine]
    return each[peer] / each[mine]


def against(
    benchmark: Benchmark, peer: str, theirs: Callable[[], Tensor], steps: int, *, wanted: float
) -> None:
    """Our scan of the one sequence in tiles, and of the map (an element is one of one direction), beside a peer's."""
    case, arguments = first_stage(STEPS), first_stage_map()
    out = torch.empty_like(case["u"])
    ways: dict[str, Callable[[], Tensor]] = {
        "sequence": lambda: ours(case, out),
        "map": lambda: cross_scan(*arguments),
        peer: theirs,
    }
    counts = {"sequence": 20, "map": 10, peer: 4}
    one = STEPS * CHANNELS
    elements = {"sequence": one, "map": DIRECTIONS * one, peer: steps * CHANNELS}
    report(benchmark, interleaved_minima(ways, counts), elements)
    benchmark.extra_info["wanted"] = wanted
    benchmark.pedantic(ours, args=(case, out), rounds=3)


def test_first_stage_against_mambapy(benchmark: Benchmark) -> None:
    pscan = peers.module("mambapy.pscan", "mambapy").pscan
    small, case = first_stage(5000), first_stage(STEPS)
    torch.testing.assert_close(through_mambapy(pscan, small), ours(small), atol=1e-4, rtol=1e-4)
    against(benchmark, "mambapy", lambda: through_mambapy(pscan, case), STEPS, wanted=7)


def test_first_stage_against_the_official_reference(benchmark: Benchmark) -> None:
    scan = peers.mamba_ssm_reference()
    small, short = first_stage(1000), first_stage(SHORT)
    torch.testing.assert_close(through_reference(scan, small), ours(small), atol=1e-4, rtol=1e-4)
    theirs = "selective_scan_ref"
    against(benchmark, theirs, lambda: through_reference(scan, short), SHORT, wanted=100)


@pytest.mark.parametrize("model", ["aum-base", "ssamba-tiny"])
def test_models_at_300_s_against_mambapy(
    benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    """The model with two layers (all are alike), with our scan and with mambapy's in its place, one whole sequence."""
    pscan = peers.module("mambapy.pscan", "mambapy").pscan
    card, _ = find_model(model)
    with torch.inference_mode(False):
        network = import_adapter(card).build({**card.config, "depth": 2}, 527).eval()
    features = torch.randn(1, 30_000, 128, generator=torch.Generator().manual_seed(0))

    def peer_scan(
        u: Tensor, z: Tensor, B: Tensor, C: Tensor, A: Tensor, D: Tensor, **how: Any
    ) -> tuple[Tensor, Tensor | None]:
        delta = F.softplus(z)
        if not how["reverse"]:
            return mambapy_scan_of(pscan, u, delta, B, C, A, D), None
        u, delta, B, C = u.flip(1), delta.flip(1), B.flip(1), C.flip(1)
        return mambapy_scan_of(pscan, u, delta, B, C, A, D).flip(1), None

    def with_peer() -> Tensor:
        with monkeypatch.context() as patch:
            patch.setattr(mamba_mixer, "selective_scan", peer_scan)
            for module in network.modules():
                if isinstance(module, mamba_mixer.MambaMixer):
                    patch.setattr(module, "tile", features.shape[1])
            out: Tensor = network(features)
            return out

    torch.testing.assert_close(with_peer(), network(features), atol=1e-3, rtol=1e-3)
    seconds = interleaved_minima(
        {"niah": lambda: network(features), "mambapy": with_peer}, {"niah": 6, "mambapy": 2}
    )
    report(benchmark, seconds, {"niah": 15_000, "mambapy": 15_000})
    benchmark.pedantic(network, args=(features,), rounds=2)
    benchmark.extra_info["wanted"] = 5
