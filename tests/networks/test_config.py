"""A card's [config]: every setting is of its type and of a size that a network can have."""

from typing import Any

import pytest

from niah.networks.ast import AstConfig
from niah.networks.config import network_config
from niah.networks.dass.network import DassConfig


def test_the_defaults_of_a_config_are_accepted() -> None:
    for kind in (AstConfig, DassConfig):
        default: Any = kind()
        stated = {name: value for name, value in vars(default).items() if name != "classes"}
        assert network_config(kind, stated, default.classes) == default


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"depths": [1, 10**6]}, "depths must be 1 to 512"),
        ({"dims": [16, -1]}, "dims must be 1 to"),
        ({"dims": 96}, "dims must be a list"),
        ({"dims": []}, "dims must be a list"),
        ({"dims": [[1]]}, "dims must be int"),
        ({"patch": True}, "patch must be int"),
        ({"patch": 2.0}, "patch must be int"),
        ({"mlp_ratio": float("nan")}, "mlp_ratio must be 0 to"),
        ({"mlp_ratio": "4"}, "mlp_ratio must be float"),
        ({"pooling": 3}, "pooling must be str"),
        ({"width": 96}, "unknown key 'width'"),
        ({"classes": 3}, "unknown key 'classes'"),
    ],
)
def test_what_a_config_may_not_hold(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        network_config(DassConfig, config, 10)
