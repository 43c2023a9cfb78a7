"""A card's [config]: every setting is of its type and of a size that a network can have."""

import dataclasses
import math
import time
import tomllib
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from niah.adapters.loading import make_adapter
from niah.cards import ModelCard
from niah.errors import NiahError
from niah.networks.ast import AstConfig
from niah.networks.config import MAY_BE_NEGATIVE, network_config
from niah.networks.dass.network import DassConfig
from tests.adapters.test_contract import FAMILIES


def test_the_defaults_of_a_config_are_accepted() -> None:
    for kind in (AstConfig, DassConfig):
        default: Any = kind()
        stated = {name: value for name, value in vars(default).items() if name != "classes"}
        assert network_config(kind, stated, default.classes) == default


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"depths": [1, 10**6]}, "depths must be 1 to 128"),
        ({"dims": [16, -1]}, "dims must be 1 to"),
        ({"dims": 96}, "dims must be a list"),
        ({"dims": []}, "dims must be a list"),
        ({"dims": [[1]]}, "dims must be int"),
        ({"patch": True}, "patch must be int"),
        ({"patch": 2.0}, "patch must be int"),
        ({"mlp_ratio": float("nan")}, "mlp_ratio must be 0 to"),
        ({"mlp_ratio": 0}, "mlp_ratio must be above 0"),
        ({"drop_path": 1}, "drop_path must be below 1"),
        ({"depths": [100, 100]}, "128 blocks at most in all"),
        ({"mlp_ratio": "4"}, "mlp_ratio must be float"),
        ({"pooling": 3}, "pooling must be str"),
        ({"width": 96}, "unknown key 'width'"),
        ({"classes": 3}, "unknown key 'classes'"),
    ],
)
def test_what_a_config_may_not_hold(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        network_config(DassConfig, config, 10)


def _card(adapter: str, config: dict[str, Any]) -> ModelCard:
    return ModelCard("x", f"niah.adapters.{adapter}", "esc-10", config=config, path=Path("x.toml"))


@pytest.mark.parametrize("family", FAMILIES)
def test_no_setting_of_any_family_is_hostile(family: str) -> None:
    """Sizes that no network has, each in each key: one line, at once, whatever the other keys are."""
    adapter = FAMILIES[family].adapter
    config = tomllib.loads(FAMILIES[family].config)
    settings: Any = make_adapter(_card(adapter, config)).network.config
    hints = get_type_hints(type(settings))
    names = [each.name for each in dataclasses.fields(settings) if each.name != "classes"]
    assert len(names) > 2
    begin = time.perf_counter()
    for name in names:
        for number in (-1, 10**9, 2**24, math.nan, math.inf):
            if number == -1 and name in MAY_BE_NEGATIVE:
                continue
            for value in (number, [number] * 2):
                with pytest.raises(NiahError, match=r"\[config\] does not fit") as refused:
                    make_adapter(_card(adapter, {**config, name: value}))
                assert "\n" not in str(refused.value)
        zero: Any = [0, 0] if "tuple" in str(hints[name]) else 0
        try:
            network = make_adapter(_card(adapter, {**config, name: zero})).network
            assert all(parameter.numel() for parameter in network.parameters())
        except NiahError as error:
            assert "\n" not in str(error)  # noqa: PT017
    assert time.perf_counter() - begin < 5


@pytest.mark.parametrize(
    ("adapter", "config"),
    [
        ("ast:Ast", {"width": 65536, "heads": 16}),
        ("ast:Ast", {"width": 16384, "heads": 8}),
        ("ast:Ast", {"mels": 16384, "trained_frames": 65536, "stride": [1, 1]}),
        ("dass:Dass", {"dims": [96, 192, 384, 65536]}),
        ("dass:Dass", {"mlp_ratio": 65536}),
        ("beats:Beats", {"hidden": 65536}),
        ("beats:Beats", {"conv_kernel": 65536}),
        ("htsat:HtsAt", {"side": 65536}),
        ("aum:Aum", {"width": 8192, "depth": 128}),
        ("ssamba:Ssamba", {"width": 65536}),
    ],
)
def test_sizes_whose_product_is_too_large_take_no_memory(
    adapter: str, config: dict[str, Any]
) -> None:
    with pytest.raises(NiahError, match="elements, more than 2"):
        make_adapter(_card(adapter, config))
