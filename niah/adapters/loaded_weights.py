"""Weights that a script has changed since `niah.load_model` read them: they are no longer those of the file."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from niah.adapters.identity import networks_sha256
from niah.adapters.in_use import AS_LOADED


@dataclass(frozen=True)
class _Loaded:
    """State of a model when it was loaded: of its networks, and what it says of its weights."""

    networks_sha256: str
    weights_sha256: str
    weights_source: str


def remember_loaded(adapter: Any) -> None:
    """Remember the networks of an adapter that was just loaded; one that takes no attributes is left as it is."""
    stated = str(getattr(adapter, "weights_sha256", ""))
    source = str(getattr(adapter, "weights_source", ""))
    networks = networks_sha256(adapter)
    if stated and networks:
        with suppress(AttributeError, TypeError):
            setattr(adapter, AS_LOADED, _Loaded(networks, stated, source))


def count_changes(adapter: Any) -> None:
    """Give an adapter whose networks were changed since it was loaded their own checksum, in place of the file's.

    Its cells are then those of other weights of the same name. Once the networks are as they were loaded, it has the
    file's again.

    Args:
        adapter: that `remember_loaded` was called with, or any other, which is left as it is.
    """
    loaded = getattr(adapter, AS_LOADED, None)
    if not isinstance(loaded, _Loaded):
        return
    networks = networks_sha256(adapter)
    is_same = networks == loaded.networks_sha256
    adapter.weights_sha256 = loaded.weights_sha256 if is_same else networks
    source = loaded.weights_source
    adapter.weights_source = source if is_same else f"{source}, changed in memory"
