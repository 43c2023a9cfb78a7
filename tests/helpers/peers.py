"""Other people's scans, for benchmarks only: imported where they are installed, never part of the package."""

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

MAMBA_SOURCE = "NIAH_MAMBA_SSM_SOURCE"
DASS_SOURCE = "NIAH_DASS_SOURCE"
Scan = Callable[..., Tensor]


def module(name: str, packages: str) -> Any:
    """A peer's module; the benchmark is skipped, with what to install, where it is absent."""
    return pytest.importorskip(name, reason=f"needs a peer: pip install --no-deps {packages}")


def mamba_ssm_on_device() -> Any:
    """mamba-ssm's compiled scan."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    return module("mamba_ssm.ops.selective_scan_interface", "mamba-ssm").selective_scan_fn


def vmamba_on_device() -> Any:
    """VMamba's compiled scan (16-bit in, float32 out), built from its kernels/selective_scan."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    reason = "needs VMamba's kernels, built from kernels/selective_scan of its source"
    return pytest.importorskip("selective_scan_cuda_oflex", reason=reason)


def mamba_ssm_reference() -> Any:
    """mamba-ssm's `selective_scan_ref`, from an unpacked source distribution, its CUDA extension stubbed.

    Its interface module imports the extension, and Triton's layer norm, at the top; the reference uses neither.
    """
    folder = os.environ.get(MAMBA_SOURCE)
    if not folder or not (Path(folder) / "mamba_ssm").is_dir():
        pytest.skip(f"needs an unpacked mamba-ssm source distribution: set {MAMBA_SOURCE} to it")
    pytest.importorskip("einops")
    packages = ["mamba_ssm", "mamba_ssm.ops", "mamba_ssm.ops.triton", "mamba_ssm.utils"]
    stubs = ["selective_scan_cuda", "mamba_ssm.ops.triton.layer_norm"]
    before = _mamba_modules()
    try:
        for name in packages:  # without the packages' own __init__, which import everything
            package = ModuleType(name)
            package.__path__ = [str(Path(folder, *name.split(".")))]
            sys.modules[name] = package
        for name in stubs:
            sys.modules[name] = ModuleType(name)
        sys.modules[stubs[1]]._layer_norm_fwd = None  # type: ignore[attr-defined]
        interface = importlib.import_module("mamba_ssm.ops.selective_scan_interface")
    finally:
        for name in _mamba_modules():
            del sys.modules[name]  # the interface too: on a device the real one is imported later
        sys.modules.update(before)
    return interface.selective_scan_ref


def _mamba_modules() -> dict[str, ModuleType]:
    """The imported modules of mamba-ssm, its extension included."""
    return {
        name: module
        for name, module in sys.modules.items()
        if name == "selective_scan_cuda" or name.split(".")[0] == "mamba_ssm"
    }


def official_dass(model: str, scan: Scan) -> nn.Module:
    """The authors' DASS network, from `src/models` of their repository, with another scan in place of the CUDA kernel.

    Args:
        model: a card's name, whose seeded random weights it gets.
        scan: of (u, delta, A, B, C, D, delta_bias) as the kernel takes them, to y.
    """
    folder = os.environ.get(DASS_SOURCE)
    if not folder or not (Path(folder) / "vmamba.py").is_file():
        pytest.skip(f"needs src/models of the authors' DASS repository: set {DASS_SOURCE} to it")
    pytest.importorskip("einops")
    pytest.importorskip("torchvision")
    before, path = set(sys.modules), list(sys.path)
    kernels = ModuleType("selective_scan_cuda_oflex")
    kernels.fwd = lambda *arguments: (scan(*arguments[:7]), None)  # type: ignore[attr-defined]
    try:
        sys.path.insert(0, folder)
        sys.modules[kernels.__name__] = kernels
        official = importlib.import_module("csms6s")
        orders = official.CrossScan, official.CrossMerge  # in torch, not in Triton
        triton = ModuleType("csm_triton")
        for name in ("", "1b1", "F", "1b1F"):
            setattr(triton, f"CrossScanTriton{name}", orders[0])
            setattr(triton, f"CrossMergeTriton{name}", orders[1])
        triton.getCSM = lambda _: orders  # type: ignore[attr-defined]
        sys.modules[triton.__name__] = triton
        script = Path(__file__).parents[2] / "scripts" / "gpu" / "official_dass.py"
        spec = importlib.util.spec_from_file_location("official_dass", script)
        assert spec is not None
        assert spec.loader is not None
        builder = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(builder)
        network: nn.Module = builder.build_official(Path(folder), model, torch.device("cpu"))
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - before:
            if name in ("csms6s", "csm_triton", "vmamba", kernels.__name__) or "fvcore" in name:
                del sys.modules[name]
    return network
