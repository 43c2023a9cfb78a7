"""Which scan `--kernel` may ask for here, and whether it is another than `auto` would take."""

import importlib.util

import torch

from niah.errors import NiahError
from niah.scan import choose_backend

_ON_CUDA_ALONE = ("triton", "mamba_ssm")


def check_available(kernel: str, device: torch.device) -> None:
    """Raises `NiahError` for a scan (`niah.scan.Backend`) that cannot run on this device of this machine."""
    if kernel == "cpu" and device.type != "cpu":
        raise NiahError(
            f"--kernel cpu does not run on {device}: use --device cpu, or --kernel auto"
        )
    if kernel not in _ON_CUDA_ALONE:
        return
    if importlib.util.find_spec(kernel) is None:
        raise NiahError(
            f"--kernel {kernel}: the package {kernel.replace('_', '-')} is not installed; use --kernel auto"
        )
    if kernel == "triton":
        from niah.scan.triton.steps import check_device

        check_device(device.type)  # tests may interpret it on a CPU
    elif device.type != "cuda":
        raise NiahError(
            f"--kernel {kernel} needs a CUDA device, and this is '{device}': use --kernel auto"
        )


def other_than_auto(kernel: str, device: torch.device) -> str | None:
    """The scan that was asked for, or None where it is what `auto` takes on this device.

    Scores of one scan are near another's, not the same bits, so that an other one is part of a cell's key and of a
    run's identity; naming the automatic one changes nothing.
    """
    automatic = choose_backend(torch.empty(0, device=device))
    return None if kernel in ("auto", automatic) else kernel
