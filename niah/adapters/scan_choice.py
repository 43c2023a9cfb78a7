"""The choice of a scan backend: what `--kernel` sets."""

from typing import get_args

from niah.adapters.protocol import Adapter, ChoosesScan, network_of
from niah.errors import NiahError, nearest
from niah.scan import Backend


def use_scan(adapter: Adapter, kernel: str) -> None:
    """Make a model's scans use one backend.

    Args:
        adapter: a loaded model.
        kernel: a value of `niah.scan.Backend`.

    Raises:
        NiahError: no such backend, or a model without scans.
    """
    for backend in get_args(Backend):
        if backend == kernel:
            break
    else:
        raise NiahError(f"unknown kernel '{kernel}'.{nearest(kernel, get_args(Backend))}")
    owners: list[object] = [adapter, network_of(adapter)]
    for owner in owners:
        if isinstance(owner, ChoosesScan):
            owner.set_scan_backend(backend)
            return
    if kernel != "auto":
        raise NiahError(f"model '{adapter.name}' has no scan to choose: leave --kernel out")
