"""Interventions: a loaded tagger with one change, and otherwise the same weights.

Transformers with numbered positions (`niah.networks.ast` has the options)
    renumbered     the needle alone gets the positions that it has in a longer scene
    repeated       positions repeat every trained length, so that the needle in a scene has the positions it has alone
    log-length     attention logits times log N / log(N trained)

State-space models: h_s = exp(delta_s A) h_{s-1} + delta_s B_s u_s,  y_s = C_s h_s + D u_s
    memory         A times f: the state decays f times as fast, to memory of 1/f of the time
    direction      C of one direction is zero: its state is not read, its skip path D u stays

Linear head after an average (DASS): other poolings of the logits at every position
    average, max, top-k    as in `niah.networks.layers.pooling`
    needle                 mean over the columns centred inside the needle: a pooling that knows the answer

Each returns a changed copy; the adapter is not changed.
"""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from niah.adapters.network_adapter import NetworkAdapter
from niah.adapters.protocol import Adapter, network_of
from niah.adapters.wrappers.pooled import position_logits_of
from niah.diagnosis.localisation.evidence import column_centres
from niah.networks.ast import Ast, AstConfig
from niah.networks.dass.blocks import SS2D
from niah.networks.layers.mamba_mixer import STATES, MambaMixer
from niah.networks.layers.pooling import pool
from niah.placement import FRAMES_PER_SECOND, total_frames
from niah.scan import DIRECTIONS

DECAYS = ("A_logs", "A_log", "A_b_log")  # parameters of log |A|


def with_ast_config(adapter: NetworkAdapter, **changes: Any) -> NetworkAdapter:
    """Return the AST with other options of `AstConfig`, which need no weights."""
    network = adapter.network
    assert isinstance(network, Ast)
    with torch.random.fork_rng(devices=[]):  # its initial weights are overwritten
        changed = Ast(replace(network.config, **changes))
    changed.load_state_dict(network.state_dict())
    return _with_network(adapter, changed)


def renumbered(adapter: NetworkAdapter, length_s: float, start: int) -> NetworkAdapter:
    """Return a model for the needle alone, with its positions in a longer scene.

    Args:
        adapter: an AST.
        length_s: seconds of the scene.
        start: the needle's first frame in the scene.
    """
    config = _ast_config(adapter)
    total = total_frames(length_s, config.trained_frames)
    last = config.grid(total)[1] - config.grid(config.trained_frames)[1]
    first = min(round(start / config.stride[1]), last)
    return with_ast_config(adapter, positions_as_if_s=total / FRAMES_PER_SECOND, first_column=first)


def repeated(adapter: NetworkAdapter, start: int, **further: Any) -> NetworkAdapter:
    """Return a model for a scene, in which the needle's columns have the positions of the needle alone.

    To the nearest patch, as a needle may start between two.

    Args:
        adapter: an AST.
        start: the needle's first frame in the scene.
        further: other changes of `AstConfig`.
    """
    first = -round(start / _ast_config(adapter).stride[1])
    return with_ast_config(adapter, repeat_positions=True, first_column=first, **further)


def _ast_config(adapter: NetworkAdapter) -> AstConfig:
    assert isinstance(adapter.network, Ast)
    return adapter.network.config


def with_memory(adapter: NetworkAdapter, factor: float) -> NetworkAdapter:
    """Return the model with every |A| multiplied by `factor`, as log |A| + ln factor."""

    def change(network: nn.Module) -> None:
        for parameter in _decays(network):
            parameter.add_(math.log(factor))

    return _changed(adapter, change)


def without_direction(adapter: NetworkAdapter, direction: int) -> NetworkAdapter:
    """Return the model with C of one direction zero: 0..3 of DASS's scans (`niah.scan`), 0 and 1 of Bi-Bi."""

    def change(network: nn.Module) -> None:
        for module in network.modules():
            if isinstance(module, SS2D):
                module.x_proj_weight[direction, module.rank + 1] = 0.0  # rows: R of the step, B, C
            elif isinstance(module, MambaMixer):
                projection = module.x_proj_b if direction else module.x_proj
                projection.weight[module.rank + STATES :] = 0.0

    return _changed(adapter, change)


def has_memory(network: nn.Module) -> bool:
    """Return whether the network is a state-space model."""
    return any(True for _ in _decays(network))


def directions(network: nn.Module) -> int:
    """Count the directions that can be removed one by one."""
    if any(isinstance(module, SS2D) for module in network.modules()):
        return DIRECTIONS
    mixers = [module for module in network.modules() if isinstance(module, MambaMixer)]
    return 2 if mixers and all(mixer.design == "bi-bi" for mixer in mixers) else 0


def pooled(adapter: Adapter, features: Tensor, start: int) -> dict[str, Tensor]:
    """Compute the logits of one scene by several poolings; the average is the model's own logit.

    Args:
        adapter: has logits at each position.
        features: (T0, M) of the scene.
        start: the needle's first frame.

    Returns:
        (classes,) by name: average, max, top-k, needle.
    """
    with torch.inference_mode():
        z = position_logits_of(adapter)(features[None]).float().cpu()  # (1, T, F, classes)
    centres, _ = column_centres(network_of(adapter), len(features), z.shape[1])
    frames = adapter.frontend.needle_frames
    inside = torch.from_numpy((centres >= start) & (centres < start + frames))
    share = frames / len(features)
    read = {name: pool(z, name, share)[0] for name in ("average", "max", "top-k")}
    return {**read, "needle": pool(z[:, inside], "average", share)[0]}


def _decays(network: nn.Module) -> Iterator[nn.Parameter]:
    named = network.named_parameters()
    return (p for name, p in named if name.rpartition(".")[2] in DECAYS)


def _changed(adapter: NetworkAdapter, change: Callable[[nn.Module], None]) -> NetworkAdapter:
    network = copy.deepcopy(adapter.network)
    with torch.no_grad():
        change(network)
    return _with_network(adapter, network)


def _with_network(adapter: NetworkAdapter, network: nn.Module) -> NetworkAdapter:
    changed = copy.copy(adapter)
    changed.network = network.eval().requires_grad_(False).to(adapter.device, adapter.dtype)
    return changed
