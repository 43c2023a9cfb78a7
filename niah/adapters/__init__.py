"""Adapters: a checkpoint as a function from features to logits.

    protocol          what the harness needs of a model;   contract: a check of it
    network_adapter   the base class of this package's families; one file a family beside it
    waveform          models of waveforms, and the adapter around one
    sources           from a name, file or object to a model;   importing: what a card's import string names
    loading           from a model to a loaded adapter, the package's own or a user's
    weights, hub      sources of a card's weights;   checkpoints: reading their files
    wrappers          adapters around an adapter: sliding windows, another pooling

Names are imported when they are used, so that listing cards and weights imports no torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from niah.adapters.importing import import_adapter
    from niah.adapters.loading import choose_device, load_model
    from niah.adapters.network_adapter import NetworkAdapter
    from niah.adapters.protocol import Adapter

__all__ = ["Adapter", "NetworkAdapter", "choose_device", "import_adapter", "load_model"]

_MODULES = {
    "Adapter": "protocol",
    "NetworkAdapter": "network_adapter",
    "choose_device": "loading",
    "import_adapter": "importing",
    "load_model": "loading",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'niah.adapters' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"niah.adapters.{_MODULES[name]}"), name)
