"""`make bench`: whole networks beside their authors' own code, with the same weights on the same input in one run.

PaSST beside hear21passt, and DASS-small beside the authors' code, whose CUDA kernel is replaced by a plain loop over
each channel (numba, two threads). Absent peers are skipped; `NIAH_DASS_SOURCE` names `src/models` of the authors'
repository. Times are of turns, one after the other; the least count.
"""

import os
from typing import Any

import numpy as np
import pytest
import torch
from numba import set_num_threads
from torch import Tensor

from benchmarks.test_bench_dass import _plain_loop
from niah.adapters.loading import load_model
from niah.system.memory import keep_freed_memory
from tests.helpers import peers
from tests.helpers.measuring import interleaved_minima

pytestmark = pytest.mark.bench

Benchmark = Any  # pytest-benchmark has no types
TOLERANCE = 1e-4  # of the largest logit


@pytest.fixture(autouse=True)
def two_threads() -> None:
    keep_freed_memory()
    torch.set_num_threads(2)
    set_num_threads(2)


def loop_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, bias: Tensor
) -> Tensor:
    """Scan as VMamba's kernel: u, delta (batch, K C, L); A (K C, 1); B, C (batch, K, 1, L); D and bias (K C,)."""
    directions, length = B.shape[1], u.shape[2]
    y = torch.empty_like(u)
    each = [x.view(len(u), directions, -1, length) for x in (u, delta + bias[:, None], y)]
    rates, skips = (x.view(directions, -1).contiguous().numpy() for x in (A, D))
    for item in range(len(u)):
        u_, z_, y_ = (x[item].numpy() for x in each)
        b, c = (np.ascontiguousarray(x[item].reshape(-1, length).numpy()) for x in (B, C))
        _plain_loop(u_, z_, b, c, rates, skips, y_)
    return y


def compare(benchmark: Benchmark, ours: Any, theirs: Any, turns: int) -> None:
    """Check that both give the same logits, and record the least seconds of each and their ratio."""
    expected, found = theirs(), ours()
    assert float((found - expected).abs().max() / expected.abs().max()) < TOLERANCE
    seconds = interleaved_minima({"ours": ours, "theirs": theirs}, turns)
    benchmark.extra_info.update(seconds)
    benchmark.extra_info["theirs / ours"] = seconds["theirs"] / seconds["ours"]
    benchmark.extra_info["load_average"] = round(os.getloadavg()[0], 1)
    benchmark.pedantic(lambda: None, rounds=1)


@torch.inference_mode()
def test_dass_small_beside_the_authors_code(benchmark: Benchmark) -> None:
    adapter: Any = load_model("dass-small", "random")
    official = peers.official_dass("dass-small", loop_scan)
    features = torch.randn(1, 1024, 128, generator=torch.Generator().manual_seed(0))
    image = features[:, None].transpose(2, 3)
    compare(benchmark, lambda: adapter.logits(features), lambda: official(image), turns=3)


@torch.inference_mode()
def test_passt_beside_hear21passt(benchmark: Benchmark) -> None:
    module = peers.module("hear21passt.models.passt", "hear21passt")
    module.first_RUN = False  # it prints shapes in its first run
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        official = module.PaSST(stride=10, num_classes=527, distilled=True).eval()
        for table in (official.time_new_pos_embed, official.freq_new_pos_embed):
            torch.nn.init.normal_(table, std=0.02)
    adapter: Any = load_model("passt-s", "random")
    adapter.network.load_state_dict(adapter.official_state(official.state_dict(), adapter.network))
    features = torch.randn(1, 998, 128, generator=torch.Generator().manual_seed(0))
    image = features[:, None].transpose(2, 3)
    compare(benchmark, lambda: adapter.logits(features), lambda: official(image)[0], turns=3)
