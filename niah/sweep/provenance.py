"""Provenance of a run: hardware, versions, commit."""

import importlib.metadata
import os
import platform
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from niah import version

_PACKAGES = (
    *("numpy", "torch", "timm", "numba", "pandas", "pyarrow", "librosa", "soundfile", "soxr"),
    *("triton", "mamba-ssm"),  # where they are installed
)


def hardware(device: torch.device) -> dict[str, Any]:
    """Describe this machine and `device` for run.json."""
    entries: dict[str, Any] = {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "device": str(device),
    }
    if device.type == "cuda":
        entries["gpu"] = torch.cuda.get_device_name(device)
        entries["cuda"] = torch.version.cuda
    return entries


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on, where installed."""
    installed = {"python": platform.python_version()}
    for name in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            installed[name] = importlib.metadata.version(name)
    return installed


def git() -> dict[str, Any]:
    """Return the commit of the checkout that this package runs from, and whether it was changed; empty if installed."""
    folder = (
        Path(version.__file__).resolve().parent
    )  # the package, whichever folder of it this file is in
    commands = {
        "commit": ["rev-parse", "HEAD"],
        "dirty": ["status", "--porcelain", "--untracked-files=no", "."],
    }
    state: dict[str, Any] = {}
    for name, arguments in commands.items():
        try:
            result = subprocess.run(
                ["git", *arguments],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return {}
        state[name] = result.stdout.strip()
    state["dirty"] = bool(state["dirty"])
    return state


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
