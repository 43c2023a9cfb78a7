"""The availability of a scan backend on this machine, and whether it differs from the automatic one."""

import importlib.util

import torch

from niah.errors import NiahError
from niah.scan import choose_backend

_ON_CUDA_ALONE = ("triton", "mamba_ssm")


def check_available(kernel: str, device: torch.device) -> None:
    """Check that a scan can run on a device of this machine.

    Args:
        kernel: a value of `niah.scan.Backend`.
        device: where it would run.

    Raises:
        NiahError: it cannot.
    """
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
    """Return the requested scan, or None if it is the automatic one on this device.

    Scores of two scans are close but not equal bit by bit, so a scan other than the automatic one is part of a cell's
    key and of a run's identity.

    Args:
        kernel: a value of `niah.scan.Backend`.
        device: where it runs.
    """
    automatic = choose_backend(torch.empty(0, device=device))
    return None if kernel in ("auto", automatic) else kernel
