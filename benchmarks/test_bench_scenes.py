"""`make bench`: what a scene of 2.5 h costs a clip, this way and the plain way."""

from typing import Any

import numpy as np
import pytest
import torch

from niah.frontends.kaldi import KaldiFrontend
from niah.haystacks import load_haystack
from niah.needles.features import NeedleFeatures
from niah.scenes.builder import SceneBuilder

pytestmark = pytest.mark.bench

FRONTEND = KaldiFrontend()
LENGTH_S = 9000.0
Benchmark = Any  # pytest-benchmark has no types


@pytest.fixture(autouse=True)
def two_threads() -> None:
    torch.set_num_threads(2)


def made(haystack: str, protocol: str) -> tuple[SceneBuilder, NeedleFeatures]:
    builder = SceneBuilder(FRONTEND, protocol, load_haystack(haystack))
    clip = 0.1 * np.random.default_rng(0).standard_normal(160_000).astype(np.float32)
    return builder, builder.needle(clip)


@pytest.mark.parametrize("protocol", ["dass-v1", "niah-v2.1"])
@pytest.mark.parametrize("haystack", ["zero", "gaussian", "babble"])
def test_scene_after_the_first(benchmark: Benchmark, haystack: str, protocol: str) -> None:
    builder, needle = made(haystack, protocol)
    out = torch.empty(900_000, 128)
    count = iter(range(1_000_000))

    def scene() -> None:
        builder.scene(
            needle, f"clip{next(count)}", length_s=LENGTH_S, position=0.5, snr_db=10, out=out
        )

    for _ in range(3):  # the first fills the bank
        scene()
    benchmark.pedantic(scene, rounds=10)


@pytest.mark.parametrize("haystack", ["gaussian", "babble"])
def test_first_scene(benchmark: Benchmark, haystack: str) -> None:
    out = torch.empty(900_000, 128)

    def fresh() -> tuple[tuple[()], dict[str, Any]]:
        builder, needle = made(haystack, "niah-v2.1")
        return (), {"builder": builder, "needle": needle}

    def scene(builder: SceneBuilder, needle: NeedleFeatures) -> None:
        builder.scene(needle, "a", length_s=LENGTH_S, position=0.5, snr_db=10, out=out)

    benchmark.pedantic(scene, setup=fresh, rounds=2)


def test_scene_the_plain_way(benchmark: Benchmark) -> None:
    """Fresh noise and its filter bank for every clip, as the released loader does."""
    _, needle = made("zero", "dass-v1")

    def scene() -> torch.Tensor:
        noise = torch.randn(1, int(160_000 / 998 * (900_000 - 1024)) + 1)
        noise *= needle.rms / 10**0.5 / noise.square().mean().sqrt()
        starts = range(0, noise.shape[1], 6_400_000)
        hay = torch.cat([FRONTEND(noise[:, i : i + 6_400_000]) for i in starts], dim=1)[0]
        hay = hay[: 900_000 - 1024]
        return torch.cat([hay[:450_000], needle.features, hay[450_000:]])

    benchmark.pedantic(scene, rounds=2)


def test_filter_bank_of_two_and_a_half_hours(benchmark: Benchmark) -> None:
    noise = torch.randn(1, FRONTEND.samples(900_000))
    benchmark.pedantic(FRONTEND.energies, args=(noise,), rounds=3, warmup_rounds=1)
