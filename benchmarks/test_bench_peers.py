"""`make bench`: scans and transformers beside their peers, on the same input in one run; absent peers are skipped.

Each peer is first checked to compute the same thing. `extra_info` holds nanoseconds an element, since slow ones are
measured on a stretch. The scans of DASS and of whole AuM and SSAMBA networks are in test_bench_scan and
test_bench_dass.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from timm.models.vision_transformer import Block
from torch import Tensor
from torch.nn.functional import softplus

from niah.adapters.loading import load_model
from niah.scan import selective_scan
from niah.scan.chunked import recurrence
from tests.helpers import peers

pytestmark = pytest.mark.bench

Benchmark = Any  # pytest-benchmark has no types
CHANNELS, STATES = 384, 16  # SSAMBA-tiny's mixer
STEPS, STRETCH = 4096, 512  # tokens of 82 s; what the step-by-step reference gets
AST_TOLERANCE = 1e-3


@pytest.fixture(autouse=True)
def two_threads() -> None:
    torch.set_num_threads(2)


def sequence(steps: int, device: str = "cpu") -> list[Tensor]:
    """u, z (1, L, E), B, C (1, L, N), A (E, N), D (E,)."""
    generator = torch.Generator().manual_seed(0)
    sizes = [(1, steps, CHANNELS)] * 2 + [(1, steps, STATES)] * 2
    tensors = [torch.randn(*size, generator=generator) for size in sizes]
    tensors[1] -= 3
    A = -torch.arange(1.0, STATES + 1).repeat(CHANNELS, 1)
    return [x.to(device) for x in (*tensors, A, torch.ones(CHANNELS))]


def ours(args: list[Tensor], backend: Any = "auto") -> Tensor:
    u, z, B, C, A, D = args
    return selective_scan(u, z, B, C, A, D, backend=backend)


def channels_first(args: list[Tensor]) -> tuple[Tensor, ...]:
    u, z, B, C, A, D = args
    u, z, B, C = (x.transpose(1, 2).contiguous() for x in (u, z, B, C))
    return u, z, A, B, C, D


def same(found: Tensor, args: list[Tensor], tolerance: float = 1e-4) -> None:
    expected = ours(args)
    assert float((found - expected).abs().max() / expected.abs().max()) < tolerance


def timed(benchmark: Benchmark, work: Callable[[], Any], elements: int, rounds: int = 5) -> None:
    def waited() -> None:
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    benchmark.pedantic(waited, rounds=rounds, warmup_rounds=1)  # the least is quoted
    benchmark.extra_info["elements"] = elements
    benchmark.extra_info["ns_per_element"] = 1e9 * benchmark.stats.stats.min / elements


def test_sequence_scan_ours(benchmark: Benchmark) -> None:
    args = sequence(STEPS)
    timed(benchmark, lambda: ours(args), STEPS * CHANNELS)


def test_sequence_scan_of_mamba_ssm_in_torch(benchmark: Benchmark) -> None:
    scan = peers.mamba_ssm_reference()
    args = sequence(STRETCH)
    given = channels_first(args)
    same(scan(*given, delta_softplus=True).transpose(1, 2), args)
    timed(benchmark, lambda: scan(*given, delta_softplus=True), STRETCH * CHANNELS, rounds=2)


def test_sequence_scan_of_mambapy(benchmark: Benchmark) -> None:
    pscan = peers.module("mambapy.pscan", "mambapy").pscan

    def scan(u: Tensor, z: Tensor, B: Tensor, C: Tensor, A: Tensor, D: Tensor) -> Tensor:
        delta = softplus(z)
        decay = torch.exp(delta[..., None] * A)  # (1, L, E, N)
        states = pscan(decay, (delta * u)[..., None] * B[:, :, None])
        y: Tensor = (states @ C[..., None]).squeeze(3) + D * u
        return y

    args = sequence(STEPS)
    with torch.no_grad():
        same(scan(*args), args)
        timed(benchmark, lambda: scan(*args), STEPS * CHANNELS)


def test_recurrence_ours(benchmark: Benchmark) -> None:
    decay, drive = (torch.rand(1, STEPS, 96) for _ in range(2))
    timed(benchmark, lambda: recurrence(decay, drive), STEPS * 96)


def test_recurrence_of_accelerated_scan_in_torch(benchmark: Benchmark) -> None:
    scan = peers.module("accelerated_scan.ref", "accelerated-scan").scan
    decay, drive = (torch.rand(1, STEPS, 96) for _ in range(2))
    given = [x.transpose(1, 2).contiguous() for x in (decay, drive)]
    expected = recurrence(decay, drive)
    assert torch.allclose(scan(*given).transpose(1, 2), expected, rtol=1e-4, atol=1e-4)
    timed(benchmark, lambda: scan(*given), STEPS * 96)


@pytest.mark.parametrize("frames", [1024, 3000, 5000])
@torch.no_grad()
def test_ast_ours(benchmark: Benchmark, frames: int) -> None:
    adapter = load_model("ast-interp", "random")
    features = torch.randn(1, frames, 128)
    timed(benchmark, lambda: adapter.logits(features), frames, rounds=2)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("frames", [1024, 3000, 5000])
@torch.no_grad()
def test_ast_of_transformers(benchmark: Benchmark, frames: int, attention: str) -> None:
    transformers = peers.module("transformers", "transformers tokenizers")
    config = transformers.ASTConfig(
        max_length=frames, num_labels=527, attn_implementation=attention
    )
    network = transformers.ASTForAudioClassification(config).eval()
    features = torch.randn(1, frames, 128)
    assert network(features).logits.shape == (1, 527)
    timed(benchmark, lambda: network(features), frames, rounds=2)


@pytest.mark.parametrize("frames", [1024, 3000, 5000])
@torch.no_grad()
def test_ast_of_timm(benchmark: Benchmark, frames: int) -> None:
    """The twelve blocks alone, which the authors' code takes from timm, with our weights: the same tokens out."""
    adapter: Any = load_model("ast-interp", "random")
    own = adapter.network.v.blocks
    stack: list[Any] = [Block(768, 12, qkv_bias=True) for _ in own]
    for block in stack:
        block.norm1.eps = block.norm2.eps = own[0].norm1.eps
    blocks = torch.nn.Sequential(*stack).eval()
    blocks.load_state_dict(own.state_dict())
    tokens = torch.randn(1, adapter.network.config.tokens(frames), 768)
    expected = tokens.clone()
    for block in own:
        expected = block(expected)
    assert float((blocks(tokens) - expected).abs().max()) < AST_TOLERANCE
    timed(benchmark, lambda: blocks(tokens), frames, rounds=2)


@pytest.mark.parametrize("steps", [4096, 450_000])
def test_sequence_scan_on_a_device(benchmark: Benchmark, steps: int) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    args = sequence(steps, "cuda")
    timed(benchmark, lambda: ours(args, "triton"), steps * CHANNELS)


@pytest.mark.parametrize("steps", [4096, 450_000])
def test_sequence_scan_of_mamba_ssm_on_a_device(benchmark: Benchmark, steps: int) -> None:
    scan = peers.mamba_ssm_on_device()
    args = sequence(steps, "cuda")
    given = channels_first(args)
    same(scan(*given, delta_softplus=True).transpose(1, 2), args)
    timed(benchmark, lambda: scan(*given, delta_softplus=True), steps * CHANNELS)


@pytest.mark.parametrize("columns", [256, 7500, 225_000])
@pytest.mark.parametrize("whose", ["triton", "vmamba"])
def test_map_scan_on_a_device(benchmark: Benchmark, whose: str, columns: int) -> None:
    """DASS's first stage at 10 s, 300 s and 2.5 h, bfloat16: ours against VMamba's kernel on the copies it needs."""
    rows, channels, rank = 32, 96, 6
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    generator = torch.Generator("cuda").manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, device="cuda", dtype=torch.bfloat16)

    elements = columns * rows * channels * 4
    if whose == "triton":
        from niah.scan.triton.cross import cross_scan

        u, p = normal(1, columns, rows, channels), normal(1, columns, rows, 4, rank + 2)
        A = -torch.ones(4, channels, device="cuda")
        rest = (normal(4, channels, rank), normal(4, channels), A, normal(4, channels))
        timed(benchmark, lambda: cross_scan(u, p, *rest), elements)
        return
    scan = peers.vmamba_on_device()
    length = columns * rows
    x, delta = normal(1, 4 * channels, length), normal(1, 4 * channels, length)
    B, C = normal(1, 4, 1, length), normal(1, 4, 1, length)
    A = -torch.ones(4 * channels, 1, device="cuda")
    D, bias = torch.ones(4 * channels, device="cuda"), torch.zeros(4 * channels, device="cuda")
    timed(benchmark, lambda: scan.fwd(x, delta, A, B, C, D, bias, True, 1, True), elements)
