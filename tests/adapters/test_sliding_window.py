"""The sliding window: pools against their closed forms, every frame covered, batches as one by one."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

import niah
from niah.adapters.wrappers.sliding_window import POOLS, SlidingWindow, window_frames, window_starts
from niah.errors import NiahError
from niah.frontends.kaldi import AST, BEATS
from niah.frontends.stft import HTSAT, PASST
from niah.sweep.options import WINDOW_POOLS, RunOptions
from niah.vocabularies import Vocabulary


class Loudest:
    """An adapter of three classes whose logits are three rows' largest feature; it counts its calls."""

    name = "loudest"
    sample_rate = 16000
    frontend = AST
    labels = Vocabulary("three", ("a", "b", "c"), ("a", "b", "c"))
    kernel = "torch"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def logits(self, features: Tensor) -> Tensor:
        self.batches.append(len(features))
        return features[:, :, :3].amax(dim=1)


def random_features(frames: int, batch: int = 1, scale: float = 3.0) -> Tensor:
    return scale * torch.randn(batch, frames, 128, generator=torch.Generator().manual_seed(frames))


def pooled(pool: str, logits: Tensor) -> Tensor:
    """(W, classes) through the pool, one window a group."""

    def groups() -> Iterator[Tensor]:
        yield from logits.double()[:, None, None]

    return POOLS[pool](groups())[0]


def by_definition(pool: str, logits: Tensor) -> Tensor:
    p = torch.sigmoid(logits.double())
    if pool == "max":
        p = p.amax(dim=0)
    elif pool == "mean":
        p = p.mean(dim=0)
    else:
        p = 1 - (1 - p).prod(dim=0)
    return torch.logit(p)


# --- truths


@pytest.mark.parametrize("pool", WINDOW_POOLS)
@pytest.mark.parametrize("windows", [1, 2, 17])
def test_a_pool_is_its_definition(pool: str, windows: int) -> None:
    logits = torch.randn(windows, 5, generator=torch.Generator().manual_seed(windows))
    torch.testing.assert_close(pooled(pool, logits), by_definition(pool, logits))


@pytest.mark.parametrize("pool", WINDOW_POOLS)
def test_one_window_is_the_model_itself(pool: str) -> None:
    logits = torch.tensor([[-90.0, -3.0, 0.0, 5.0, 90.0]])
    torch.testing.assert_close(pooled(pool, logits), logits[0].double())


def test_pools_do_not_overflow_where_probabilities_do() -> None:
    """sigmoid(-800) is 0 and sigmoid(60) is 1 in float64; the pooled logits are still right."""
    low, high = torch.full((4, 1), -600.0), torch.full((4, 1), 60.0)
    assert float(pooled("mean", low)) == pytest.approx(-600)
    assert float(pooled("mean", high)) == pytest.approx(60)
    assert float(pooled("noisy-or", low)) == pytest.approx(-600 + np.log(4))
    assert float(pooled("noisy-or", high)) == pytest.approx(4 * 60)
    mixed = torch.tensor([[-600.0], [50.0]])
    assert float(pooled("mean", mixed)) == pytest.approx(0, abs=1e-12)  # half of 1
    assert float(pooled("noisy-or", mixed)) == pytest.approx(50)
    least = float(pooled("noisy-or", torch.full((2, 1), -2000.0)))
    assert least == pytest.approx(-708.4, abs=0.1)  # the documented clamp, not -inf
    assert all(np.isfinite(float(pooled(pool, low))) for pool in WINDOW_POOLS)


def test_pools_rank_as_they_should() -> None:
    """max <= noisy-or, mean <= max; a second witness moves all but max."""
    one, two = torch.tensor([[1.0], [-4.0], [-4.0]]), torch.tensor([[1.0], [1.0], [-4.0]])
    found = {pool: (float(pooled(pool, one)), float(pooled(pool, two))) for pool in WINDOW_POOLS}
    assert found["mean"][0] < found["max"][0] < found["noisy-or"][0]
    assert found["max"][0] == found["max"][1]
    assert found["mean"][0] < found["mean"][1]
    assert found["noisy-or"][0] < found["noisy-or"][1]


# --- windows


@pytest.mark.parametrize("hop", [None, 1, 100, 512, 1024])
@pytest.mark.parametrize("frames", [900, 1024, 1025, 1536, 5000])
def test_windows_cover_every_frame(frames: int, hop: int | None) -> None:
    starts = window_starts(frames, 1024, hop)
    covered = set().union(*(range(s, min(frames, s + 1024)) for s in starts))
    assert covered == set(range(frames))
    assert starts[-1] == max(0, frames - 1024)
    steps = np.diff(starts)
    assert (steps[:-1] == (hop or 512)).all()
    assert (steps > 0).all()


def test_ten_seconds_are_as_long_as_a_needle() -> None:
    for frontend in (AST, BEATS, PASST, HTSAT):
        frames, hop = window_frames(10, None, frontend.needle_frames)
        assert (frames, hop) == (frontend.needle_frames, frontend.needle_frames // 2)
    assert window_frames(20, 2.5, 1024) == (2000, 250)


@pytest.mark.parametrize("pool", WINDOW_POOLS)
@pytest.mark.parametrize("batch", [1, 3])
def test_windows_at_once_change_nothing(pool: str, batch: int) -> None:
    features = random_features(4321, batch, scale=0.3)
    one, four = Loudest(), Loudest()
    alone = SlidingWindow(one, 10, 2.5, pool).logits(features)
    together = SlidingWindow(four, 10, 2.5, pool, windows_at_once=4).logits(
        features.clone().requires_grad_()  # which changes nothing either
    )
    torch.testing.assert_close(alone, together)
    assert alone.shape == (batch, 3)
    assert alone.dtype == torch.float32
    assert set(one.batches) == {batch}
    assert set(four.batches) == {4}  # every pass has as many
    starts = window_starts(4321, 1024, 250)
    by_hand = torch.stack([features[:, s : s + 1024, :3].amax(dim=1) for s in starts])
    torch.testing.assert_close(alone, by_definition(pool, by_hand).float(), rtol=1e-4, atol=1e-4)


def test_the_kernel_says_window_pool_and_hop() -> None:
    told = [
        SlidingWindow(Loudest(), 10).kernel,
        SlidingWindow(Loudest(), 10, 2.5, "mean").kernel,
        SlidingWindow(Loudest(), 20, 20, "noisy-or").kernel,
    ]
    assert told == [
        "torch+window-max-hop5s",
        "torch+window-mean-hop2.5s",
        "torch+window-noisy-or-hop20s",
    ]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"window_s": 0.0}, "--window must be 0.01 s"),
        ({"window_s": 10.0, "window_pool": "maxx"}, "--window-pool 'maxx': unknown. Did you mean"),
        ({"hop_s": 5.0}, "add --window 10"),
        ({"window_pool": "mean"}, "add --window 10"),
        ({"window_s": 10.0, "hop_s": 11.0}, "--hop must be 0.01 s"),
        ({"window_s": 10.0, "hop_s": 0.0}, "--hop must be 0.01 s"),
    ],
)
def test_what_makes_no_window_is_refused(given: dict[str, float], told: str) -> None:
    with pytest.raises(NiahError, match=told):
        RunOptions(**given)  # type: ignore[arg-type]


def test_the_plan_knows_the_pools() -> None:
    assert set(WINDOW_POOLS) == set(POOLS)


# --- what a tensor may hold


def limited(safe_elements: int) -> niah.adapters.NetworkAdapter:
    adapter = niah.load_model("dass-nano", checkpoint="random")
    assert isinstance(adapter, niah.adapters.NetworkAdapter)
    adapter.largest_tensor = lambda batch, frames: batch * frames * 128  # type: ignore[method-assign]
    adapter.safe_elements = safe_elements
    return adapter


def test_a_batch_past_what_kernels_index_is_split() -> None:
    features = random_features(256, batch=5, scale=0.5)
    plain = niah.load_model("dass-nano", checkpoint="random").logits(features)
    adapter = limited(2 * 256 * 128)
    assert adapter.safe_batch(256) == 2
    torch.testing.assert_close(adapter.logits(features), plain, rtol=1e-4, atol=1e-5)


def test_a_clip_past_what_kernels_index_is_refused_with_the_largest_that_is_safe() -> None:
    adapter, features = limited(256 * 128 - 1), random_features(256)
    assert adapter.safe_batch(256) == 1  # torch's own kernels take it
    assert adapter.logits(features).shape == (1, 25)
    adapter.indexes_with_32_bits = True
    told = "256 frames: past what the kernels index; largest safe is 255 frames"
    with pytest.raises(NiahError, match=told):
        adapter.logits(features)
    assert adapter.logits(features[:, :255]).shape == (1, 25)


def test_a_cpu_indexes_with_64_bits() -> None:
    adapter = niah.load_model("dass-nano", checkpoint="random")
    assert isinstance(adapter, niah.adapters.NetworkAdapter)
    assert type(adapter).safe_elements >= 2**31 - 1
    assert adapter.safe_elements == 2**63 - 1
