"""Changes that separate the causes of a drop, one at a time, for each family of models.

Transformer with numbered positions (AST). In a longer input tokens get other positions, and more tokens share the
attention. Each is measured without the other:

    renumbering   the 10 s needle alone, with the positions that it has in the scene of L seconds
    dilution      the L second scene, its positions repeated so that the needle has those that it has alone
    remainder     drop - renumbering - dilution: the loss that needs both (it can be negative). It includes that a
                  needle in a scene may start between two patches

State-space model with averaged logits (DASS). A longer input changes the needle's part of the map, through the scans'
state, and adds other positions to the average:

    network       the L second scene, averaged over the needle's columns only: all loss before pooling
    remainder     drop - network: pooling

Parts are shares of the released model's 10 s score, and with the remainder they sum to its drop. Remedies are changed
models, with shares of their own 10 s scores: shorter memory, other pooling, one scan direction less, attention scaled
by log length. Nothing is trained again, so a remedy shows what the weights can do, not what a model trained with the
change would do. A model that differs in training (two-dimensional positions) is another `--model`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from niah.adapters.network_adapter import NetworkAdapter
from niah.adapters.protocol import network_of
from niah.diagnosis.causes import interventions as change
from niah.diagnosis.causes.table import RELEASED, Variant, part, remedy
from niah.errors import NiahError
from niah.networks.ast import Ast
from niah.networks.dass.network import Dass
from niah.sweep.loaded_model import LoadedModel

MEMORY_FACTORS = (2.0, 4.0, 8.0)
_MAP_DIRECTIONS = ("forward in time", "up in mel", "backward in time", "down in mel")
_LINE_DIRECTIONS = ("forward", "backward")

Change = Callable[
    [NetworkAdapter, float, int], NetworkAdapter
]  # (model, scene's seconds, needle's first frame)


@dataclass(frozen=True)
class Pass:
    """One changed model, and the variants that its forward pass gives, by pooling ("" for the model's logits)."""

    variants: dict[str, Variant]
    change: Change = lambda adapter, length_s, start: adapter  # noqa: ARG005
    alone: bool = False  # runs the needle alone, at every length

    @property
    def has_base(self) -> bool:
        """Return whether it is defined at 10 s, where a part equals the released model."""
        return any(variant.kind != "part" for variant in self.variants.values())


def passes_of(model: LoadedModel) -> list[Pass]:
    """Return the passes for a model's family.

    Raises:
        NiahError: there are none for its family.
    """
    network = network_of(model.adapter)
    if isinstance(network, Ast) and network.config.positions != "learned":
        return _of_ast()
    if isinstance(network, Dass):
        pooling = {
            "average": RELEASED,
            "needle": part("network", "needle's columns only"),
            "max": remedy("max pooling"),
            "top-k": remedy("top-k pooling"),
        }
        return [Pass(pooling), *_of_memory(network)]
    if isinstance(network, torch.nn.Module) and change.has_memory(network):
        return [Pass({"": RELEASED}), *_of_memory(network)]
    raise no_causes(model.name)


def no_causes(model: str) -> NiahError:
    """Return the error on a model whose parts are not known."""
    return NiahError(
        f"no causes are defined for model '{model}': give an AST with positions beyond 10 s, or a state-space "
        "model of this package"
    )


def _of_ast() -> list[Pass]:
    def log_length(adapter: NetworkAdapter, _length_s: float, _start: int) -> NetworkAdapter:
        return change.with_ast_config(adapter, log_length_scale=True)

    def repeated(adapter: NetworkAdapter, _length_s: float, start: int) -> NetworkAdapter:
        return change.repeated(adapter, start)

    def both(adapter: NetworkAdapter, _length_s: float, start: int) -> NetworkAdapter:
        return change.repeated(adapter, start, log_length_scale=True)

    return [
        Pass({"": RELEASED}),
        Pass({"": part("renumbering", "10 s, positions as in L")}, change.renumbered, alone=True),
        Pass({"": part("dilution", "L, positions as in 10 s")}, repeated),
        Pass({"": remedy("log-length attention")}, log_length),
        Pass({"": remedy("repeated positions and log-length")}, both),
    ]


def _of_memory(network: torch.nn.Module) -> list[Pass]:
    """Return the passes for memory length and scan directions of a state-space model."""

    def memory(factor: float) -> Change:
        return lambda adapter, _length_s, _start: change.with_memory(adapter, factor)

    def without(direction: int) -> Change:
        return lambda adapter, _length_s, _start: change.without_direction(adapter, direction)

    count = change.directions(network)
    names = _MAP_DIRECTIONS if count == len(_MAP_DIRECTIONS) else _LINE_DIRECTIONS
    return [
        *(Pass({"": remedy(f"memory 1/{f:g}")}, memory(f)) for f in MEMORY_FACTORS),
        *(Pass({"": remedy(f"no scan {names[k]}")}, without(k)) for k in range(count)),
    ]
