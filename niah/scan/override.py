"""Another scan than the automatic one: what `--kernel` sets."""

from typing import Any, get_args

from niah.errors import NiahError, nearest
from niah.scan import Backend


def use_scan(adapter: Any, kernel: str) -> None:
    """Make a model's scans use the backend `kernel` (`niah.scan.Backend`).

    Raises:
        NiahError: no such backend, or a model without scans.
    """
    if kernel not in get_args(Backend):
        raise NiahError(f"unknown kernel '{kernel}'.{nearest(kernel, get_args(Backend))}")
    owners: list[Any] = [adapter, getattr(adapter, "network", None)]
    for owner in owners:
        if hasattr(owner, "set_scan_backend"):
            owner.set_scan_backend(kernel)
            return
    if kernel != "auto":
        raise NiahError(f"model '{adapter.name}' has no scan to choose: leave --kernel out")
