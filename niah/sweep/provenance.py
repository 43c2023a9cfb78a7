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
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def git() -> dict[str, Any]:
    """Commit of the checkout that this package is run from, and whether it was changed; empty for an installed one."""
    folder = (
        Path(version.__file__).resolve().parent
    )  # the package, whichever folder of it this file is in
    commands = {
        "commit": ["rev-parse", "HEAD"],
        "dirty": ["status", "--porcelain", "--untracked-files=no", "."],
    }
    found: dict[str, Any] = {}
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
        found[name] = result.stdout.strip()
    found["dirty"] = bool(found["dirty"])
    return found


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
