"""Adapters: a checkpoint as a function from features to logits.

    protocol          what the harness asks of a model;   contract: a check of it, in words
    network_adapter   what this package's own families share; a family a file beside it
    loading           from a card to a ready adapter, the package's own or a user's
    weights, hub      where a card's weights come from;   checkpoints: what is in such a file
    wrappers          adapters around an adapter: sliding windows, another pooling

Names are loaded when they are used, so that listing cards and weights imports no torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from niah.adapters.loading import choose_device, import_adapter, load_model
    from niah.adapters.network_adapter import NetworkAdapter
    from niah.adapters.protocol import Adapter

__all__ = ["Adapter", "NetworkAdapter", "choose_device", "import_adapter", "load_model"]

_MODULES = {
    "Adapter": "protocol",
    "NetworkAdapter": "network_adapter",
    "choose_device": "loading",
    "import_adapter": "loading",
    "load_model": "loading",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'niah.adapters' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"niah.adapters.{_MODULES[name]}"), name)
