"""Interventions: each changes the one thing that it says, by an independent account, and leaves the adapter alone."""

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import niah
from niah.adapters.network_adapter import NetworkAdapter
from niah.diagnosis.causes import interventions as change
from niah.networks.ast import Ast
from niah.networks.dass.blocks import SS2D
from niah.networks.layers.mamba_mixer import MambaMixer
from niah.scan import cross_scan

SEEDED = torch.Generator().manual_seed(0)


def loaded(name: str) -> NetworkAdapter:
    adapter = niah.load_model(name)
    assert isinstance(adapter, NetworkAdapter)
    return adapter


@pytest.fixture(scope="module")
def ast() -> NetworkAdapter:
    return loaded("ast-sin-nano")


@pytest.fixture(scope="module")
def dass() -> NetworkAdapter:
    return loaded("dass-nano")


def by_place(adapter: NetworkAdapter, frames: int) -> Tensor:
    """(rows, columns, D) positions of the patches."""
    assert isinstance(adapter.network, Ast)
    rows, columns = adapter.network.config.grid(frames)
    return adapter.network.v.positions(frames)[0, 2:].view(rows, columns, -1)


def features(frames: int) -> Tensor:
    return torch.randn(frames, 128, generator=SEEDED)


# --- positions


@pytest.mark.parametrize("start", [0, 960, 2496, 3968])
def test_renumbering_gives_the_needle_alone_what_it_has_in_the_scene(
    ast: NetworkAdapter, start: int
) -> None:
    alone = change.renumbered(ast, 50.0, start)
    column = start // 32
    assert torch.equal(by_place(alone, 1024), by_place(ast, 5000)[:, column : column + 32])
    scene = features(1024)[None]
    same = torch.equal(alone.logits(scene), ast.logits(scene))
    assert not same  # also at the start: mel rows are renumbered


def test_a_needle_at_the_end_stays_inside(ast: NetworkAdapter) -> None:
    alone = change.renumbered(ast, 20.0, 976)
    assert torch.equal(by_place(alone, 1024), by_place(ast, 2000)[:, 30:62])


@pytest.mark.parametrize("start", [0, 960, 2496])
def test_repeating_gives_the_needle_in_the_scene_what_it_has_alone(
    ast: NetworkAdapter, start: int
) -> None:
    scene = change.repeated(ast, start)
    column = start // 32
    assert torch.equal(by_place(scene, 5000)[:, column : column + 32], by_place(ast, 1024))
    assert torch.equal(by_place(scene, 5000)[:, 100:132], by_place(scene, 5000)[:, 68:100])


def test_at_ten_seconds_the_parts_are_the_released_model(ast: NetworkAdapter) -> None:
    scene = features(1024)[None]
    released = ast.logits(scene)
    for changed in (
        change.repeated(ast, 0),
        change.renumbered(ast, 10.0, 0),
        change.with_ast_config(ast, log_length_scale=True),
    ):
        assert torch.allclose(changed.logits(scene), released, atol=1e-6)
        assert changed.network is not ast.network


def test_log_length_scales_every_attention(ast: NetworkAdapter) -> None:
    changed = change.with_ast_config(ast, log_length_scale=True)
    assert isinstance(changed.network, Ast)
    config = changed.network.config
    tokens, width = config.tokens(5000), config.width
    x = torch.randn(1, tokens, width, generator=torch.Generator().manual_seed(0))
    scale = torch.ones(3 * width)
    scale[:width] = math.log(tokens) / math.log(config.tokens(1024))
    for block in changed.network.v.blocks:
        plain: Any = copy.deepcopy(block.attn)
        plain.trained_tokens = None
        with torch.no_grad():
            plain.qkv.weight.mul_(scale[:, None])
            plain.qkv.bias.mul_(scale)
            for first in (None, 2):
                torch.testing.assert_close(block.attn(x, first), plain(x, first))  # type: ignore[operator]


# --- state-space models


def test_memory_scales_every_decay_and_nothing_else(dass: NetworkAdapter) -> None:
    changed = change.with_memory(dass, 4.0)
    old, new = dass.network.state_dict(), changed.network.state_dict()
    assert any(name.endswith("A_logs") for name in old)
    for name, value in old.items():
        if name.endswith("A_logs"):
            assert torch.allclose(new[name].exp(), 4 * value.exp(), rtol=1e-5)
        else:
            assert torch.equal(new[name], value)


def test_shorter_memory_carries_less_far(dass: NetworkAdapter) -> None:
    """A changed beginning has less effect on the last map, two thirds of the scene later."""
    scene = features(3000)
    other = scene.clone()
    other[:300] += 1.0

    def carried(adapter: NetworkAdapter) -> float:
        maps = [adapter.network.feature_map(each[None]) for each in (scene, other)]  # type: ignore[operator]
        return float((maps[1] - maps[0])[0, 30:].abs().max())

    effects = [carried(change.with_memory(dass, factor)) for factor in (1.0, 8.0, 1000.0)]
    assert effects[0] > effects[1] > effects[2]
    assert effects[2] < 0.05 * effects[0]


@pytest.mark.parametrize("direction", range(4))
def test_without_a_direction_the_scan_is_the_sum_of_the_others(
    dass: NetworkAdapter, direction: int
) -> None:
    changed = change.without_direction(dass, direction)
    pairs = zip(dass.network.modules(), changed.network.modules(), strict=True)
    blocks = [(old, new) for old, new in pairs if isinstance(old, SS2D) and isinstance(new, SS2D)]
    assert len(blocks) == 5
    for old, new in blocks:
        u = torch.randn(1, 9, 4, old.in_proj.in_features, generator=SEEDED)
        p = old.project(u)
        whole, rank = old.scan(u, p), old.rank
        alone = p.clone()
        for k in {0, 1, 2, 3} - {direction}:
            alone[..., k, rank + 1] = 0.0
        # what this direction's state gives: all other readouts silenced, the skip paths taken off
        dt_weight, dt_bias, A, D = old.scan_parameters()
        given = cross_scan(
            u, alone, dt_weight, dt_bias, A, torch.zeros_like(D), backend="reference"
        )
        assert torch.allclose(new.scan(u, new.project(u)), whole - given, atol=1e-4)
        assert float(given.abs().max()) > 1e-3


def test_a_bi_bi_mixer_loses_one_of_its_halves() -> None:
    torch.manual_seed(0)
    mixer = MambaMixer(32, "bi-bi").eval().requires_grad_(False)
    holder = torch.nn.Sequential(mixer)
    assert change.directions(holder) == 2
    assert change.has_memory(holder)
    x = torch.randn(1, 50, 32, generator=SEEDED)
    later = x.clone()
    later[:, 40] += 1.0

    def earlier_changes(network: torch.nn.Module) -> float:
        """Beyond the reach of the convolutions, only the scan from the end brings news of later tokens."""
        return float((network(later) - network(x))[:, :30].abs().max())

    class Holding:
        network = holder
        device, dtype = torch.device("cpu"), torch.float32

    forward_only = change.without_direction(Holding(), 1)  # type: ignore[arg-type]
    backward_only = change.without_direction(Holding(), 0)  # type: ignore[arg-type]
    assert earlier_changes(holder) > 0
    assert earlier_changes(forward_only.network) == 0
    assert earlier_changes(backward_only.network) > 0


# --- pooling


def test_pooling_is_what_it_is_defined_as(dass: NetworkAdapter) -> None:
    scene, start = features(3000), 1000
    read = change.pooled(dass, scene, start)
    places = dass.network.position_logits(scene[None])[0].numpy()  # type: ignore[operator]
    flat = places.reshape(-1, places.shape[-1])
    columns = [c for c in range(len(places)) if start <= 64 * c + 4 < start + 1024]
    assert len(columns) == 16
    highest = np.sort(flat, axis=0)[::-1][: round(len(flat) * 1024 / 3000)].mean(axis=0)
    expected = {
        "average": dass.logits(scene[None])[0].numpy(),
        "max": flat.max(axis=0),
        "top-k": highest,
        "needle": places[columns].mean(axis=(0, 1)),
    }
    assert read.keys() == expected.keys()
    for name, value in expected.items():
        assert np.abs(read[name].numpy() - value).max() < 1e-4, name


def test_alone_a_needle_is_its_own_pooling(dass: NetworkAdapter) -> None:
    read = change.pooled(dass, features(1024), 0)
    for name in ("needle", "top-k"):
        assert torch.allclose(read[name], read["average"], atol=1e-5)
