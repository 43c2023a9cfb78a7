"""Poolings of per-position logits: each by its definition, and DASS's average against its own logits."""

import math

import numpy as np
import pytest
import torch

import niah
from niah.adapters.wrappers.pooled import Pooled
from niah.errors import NiahError
from niah.networks.layers.pooling import POOLINGS, pool, top_k_positions
from niah.records.axes import POOLINGS as PLANNED


@pytest.fixture
def z() -> torch.Tensor:
    return torch.randn(2, 7, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_plan_knows_every_pooling() -> None:
    assert set(PLANNED) == set(POOLINGS)


def test_each_is_as_defined(z: torch.Tensor) -> None:
    """Against numpy, a position at a time."""
    a = z.numpy()
    batch, columns, rows, classes = a.shape
    flat = a.reshape(batch, columns * rows, classes)
    in_map_order = np.swapaxes(a, 1, 2).reshape(batch, columns * rows, classes)  # rows outermost
    expected = {
        "average": flat.mean(1),
        "mean-probability": -np.log(1 / (1 / (1 + np.exp(-flat))).mean(1) - 1),
        "max": flat.max(1),
        "sum": flat.sum(1),
        "top-k": np.sort(flat, axis=1)[:, -5:].mean(1),  # 21 positions, a quarter of the scene
        "log-sum-exp": np.log(np.exp(flat).mean(1)),
        "first": a[:, 0].mean(1),
        "mid": a[:, 3].mean(1),
        "last": a[:, 6].mean(1),
        "first-token": in_map_order[:, 0],
        "mid-token": in_map_order[:, 10],
        "last-token": in_map_order[:, -1],
    }
    assert set(expected) == set(POOLINGS)
    for name, value in expected.items():
        np.testing.assert_allclose(pool(z, name, 0.25).numpy(), value, atol=1e-12, err_msg=name)


def test_positions_of_time_alone_have_one_reading(z: torch.Tensor) -> None:
    line = z[:, :, 0]
    for name in ("first", "mid", "last"):
        torch.testing.assert_close(pool(line, name, 1.0), pool(line, f"{name}-token", 1.0))
    torch.testing.assert_close(pool(line, "average", 1.0), line.mean(dim=1))


def test_they_lie_between_average_and_max(z: torch.Tensor) -> None:
    low, high = pool(z, "average", 0.25), pool(z, "max", 0.25)
    for name in ("top-k", "log-sum-exp"):
        between = pool(z, name, 0.25)
        assert (low <= between).all()
        assert (between <= high).all()
    torch.testing.assert_close(pool(z, "top-k", 1.0), low)
    assert math.isfinite(float(pool(1e4 * z, "log-sum-exp", 0.25).abs().max()))


def test_mean_probability_keeps_a_needle_apart_in_hours_of_haystack() -> None:
    """20,000 positions at p = 1e-5 and one at p = 0.2 or 0.21: in float32 sums of sigmoids the two would be one."""
    line = torch.full((2, 20000, 1), -11.5)
    line[0, 7], line[1, 7] = -1.386, -1.325
    pooled = pool(line, "mean-probability", 1.0)
    m = (20000 - 1) / 20000 / (1 + math.exp(11.5)) + torch.sigmoid(line[:, 7]).double() / 20000
    torch.testing.assert_close(pooled, torch.logit(m).float())
    assert pooled[0] < pooled[1]
    extreme = pool(torch.tensor([[[-3e4], [-2e4]], [[3e4], [2e4]]]), "mean-probability", 1.0)
    assert extreme.flatten().tolist() == pytest.approx([-708.4, 708.4], abs=0.1)


def test_the_average_is_diluted_and_top_k_is_not() -> None:
    """A needle of 32 columns at 4 in ever longer zeros: its share of the average falls, its share of k does not."""
    for columns in (32, 320, 3200):
        line = torch.zeros(1, columns, 1)
        line[:, :32] = 4.0
        share = 32 / columns
        assert float(pool(line, "average", share)) == pytest.approx(4 * share, rel=1e-6)
        assert float(pool(line, "top-k", share)) == 4
        assert float(pool(line, "max", share)) == 4
        assert top_k_positions(columns, share) == 32


def test_at_least_one_position_counts() -> None:
    assert top_k_positions(100, 1e-9) == 1
    assert top_k_positions(3, 1.0) == 3


def test_what_cannot_be_pooled_is_told(z: torch.Tensor) -> None:
    with pytest.raises(NiahError, match="Did you mean 'max'"):
        pool(z, "maxx", 1.0)
    with pytest.raises(NiahError, match=r"batch, time"):
        pool(z[:, 0, 0], "max", 1.0)


def test_dass_by_its_average_is_dass() -> None:
    adapter = niah.load_model("dass-nano")
    features = torch.randn(2, 1500, 128, generator=torch.Generator().manual_seed(1))
    averaged = Pooled(adapter, "average")
    torch.testing.assert_close(
        averaged.logits(features), adapter.logits(features), atol=2e-5, rtol=1e-5
    )
    assert averaged.kernel == f"{adapter.kernel}+pool-average"
    assert (Pooled(adapter, "max").logits(features) >= averaged.logits(features)).all()


def test_several_poolings_of_one_pass_are_each_alone() -> None:
    adapter = niah.load_model("dass-nano")
    features = torch.randn(1, 1200, 128, generator=torch.Generator().manual_seed(2))
    together = Pooled(adapter, "max", "last").logits(features)
    alone = [Pooled(adapter, name).logits(features) for name in ("max", "last")]
    torch.testing.assert_close(together, torch.cat(alone, dim=1))


@pytest.mark.parametrize("pooling", ["max", "top-k", "first"])
def test_a_dass_may_be_trained_with_another_pooling(pooling: str) -> None:
    """By its configuration; the same whether maps are whole (training) or tiled; gradients reach the stem."""
    from niah.networks.dass.network import DassConfig
    from niah.networks.dass.tiled import TiledDass

    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"depths": (1, 1), "dims": (8, 16), "stem": (4, 8), "classes": 3, "drop_path": 0.0}
        network = TiledDass(DassConfig(**sizes, pooling=pooling))  # type: ignore[arg-type]
        x = torch.randn(2, 2048, 32)
    logits = network(x)
    logits.sum().backward()
    gradient = next(network.patch_embed.parameters()).grad
    assert gradient is not None
    assert gradient.abs().sum() > 0
    network.eval()
    with torch.no_grad():
        torch.testing.assert_close(network(x), logits.detach(), atol=1e-5, rtol=1e-4)
        expected = pool(network.position_logits(x), pooling, 0.5)
    torch.testing.assert_close(logits.detach(), expected, atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="pooling 'maxx'"):
        DassConfig(pooling="maxx")


def test_a_model_without_positions_is_refused() -> None:
    with pytest.raises(NiahError, match=r"ast-sin-nano.*per-position"):
        Pooled(niah.load_model("ast-sin-nano"), "max")
