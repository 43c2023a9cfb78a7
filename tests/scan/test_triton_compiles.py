"""The Triton kernels compile for an H100, here, without one; what they cost there is counted, not timed.

Before 2026-11 a step of 256 elements took 331 + 425 instructions (reduce + rerun) in DASS's first stage, with ten
barriers and 24 special functions in each; 51.9 MB of scratch were written and read by the programs under way.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch

from tests.helpers import tiny

pytest.importorskip("triton")

from niah.scan.triton import cross_forward, cross_kernels, sequence_forward

BEFORE = {"pairs": 331, "outputs": 425}  # instructions a step
BACKWARD_BEFORE = {"first": 2368, "third": 3752}  # of 256 elements: eight warps for 1024
TURNS = 4  # steps in a turn of a loop
H100 = {"processors": 132, "l2_bytes": 50_000_000}
STAGES = {96: (32, 6, 8), 192: (16, 12, 16), 384: (8, 24, 32), 768: (4, 48, 64)}  # C: F, R, P
# views, and what copies nothing where a tensor is contiguous and of its dtype
FREE = {
    "alias",
    "contiguous",
    "detach",
    "empty",
    "empty_like",
    "expand",
    "flatten",
    "new_empty",
    "permute",
}
FREE |= {
    "reshape",
    "select",
    "slice",
    "split",
    "squeeze",
    "t",
    "to",
    "transpose",
    "unbind",
    "unsqueeze",
}
FREE |= {"view", "_unsafe_view"}


def machine_code(which: str, cache: Path) -> dict[str, Any]:
    environment = {**tiny.environment(cache), "TRITON_CACHE_DIR": str(cache / "triton")}
    environment.pop("TRITON_INTERPRET", None)
    ended = subprocess.run(
        [sys.executable, "-m", "tests.helpers.triton_compile", which],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=tiny.REPOSITORY,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def instructions_a_step(kernel: dict[str, Any]) -> float:
    """Of the loops without masks, which are all but those of the last slab; directions 1 and 2 share one of three."""
    _masked, *plain = (loop["instructions"] for loop in kernel["loops"])
    plain = [count for count in plain if count > 100]
    return float(mean(plain) if len(plain) < 3 else mean([plain[0], *plain])) / TURNS


def check_counts(found: dict[str, Any], stage: str, share: float = 0.5) -> None:
    pairs, outputs = (found[f"{name} {stage} bf16 half"] for name in ("pairs", "outputs"))
    count = instructions_a_step(pairs) + instructions_a_step(outputs)
    assert count <= share * sum(BEFORE.values())
    for kernel, barriers, programs in ((pairs, 12, 6), (outputs, 6, 4)):  # a turn; of two warps
        assert kernel["registers"] <= 65536 // (64 * programs)
        assert all(loop["special"] <= 16 * TURNS for loop in kernel["loops"])
        assert all(loop["barriers"] <= barriers for loop in kernel["loops"])


def check_sequence_counts(found: dict[str, Any]) -> None:
    """Check Mamba's scan: before 2026-11-27 a step of 32 channels took 215 + 251 instructions and five barriers."""
    for name, most in (("sequence", 135), ("sequence pairs", 100)):
        for reverse in (False, True):
            kernel = found[f"{name} {reverse}"]
            longest = kernel["loops"][0]
            assert longest["instructions"] <= most * TURNS
            assert longest["special"] == 17 * TURNS  # a power of 2 a state, and the step size's
            assert all(loop["barriers"] == 0 for loop in kernel["loops"])
            assert kernel["registers"] <= 65536 // (32 * sequence_forward.WARPS_PER_PROCESSOR)


@pytest.mark.slow  # `.ci/run` runs it by a line of its own
@pytest.mark.skipif(os.uname().sysname != "Linux", reason="Triton is for Linux")
def test_inference_kernels_compile_for_hopper_and_take_half_the_instructions(cache: Path) -> None:
    found = machine_code("forward", cache)
    assert len(found) == 6
    check_counts(found, "third")
    assert all(not found[name]["loops"] for name in ("layer norm", "depthwise", "first halving"))


@pytest.mark.slow
def test_all_kernels_compile_for_hopper(cache: Path) -> None:
    found = machine_code("all", cache)
    assert len(found) == 44
    assert min(kernel["bytes"] for kernel in found.values()) > 1000
    # tiles were chosen by time on a card: in the last stage, 3 % of the steps, Triton 3.6 takes 390, and 3.9 394
    for stage, share in (("first", 0.5), ("third", 0.5), ("last", 0.53)):
        check_counts(found, stage, share)
    for stage, before in BACKWARD_BEFORE.items():
        again, back = found[f"gradients {stage} bf16 tf32"]["loops"][1::-1]
        assert again["instructions"] + back["instructions"] < before / 2
        assert found[f"gradients {stage} bf16 tf32"]["registers"] <= 65536 // (32 * 8)
    check_sequence_counts(found)


@pytest.mark.parametrize("columns", [256, 25_000, 2_160_000])
@pytest.mark.parametrize("batch", [1, 12])
@pytest.mark.parametrize("channels", STAGES)
def test_scratch_fits_half_the_cache_of_an_h100(channels: int, batch: int, columns: int) -> None:
    F, R, P = STAGES[channels]
    plan = cross_forward.CrossScanPlan(
        batch, columns, F, channels, R, P, cross_forward.LINES[0], H100["processors"], "half"
    )
    assert 4 * plan.programs * plan.slab_size <= H100["l2_bytes"] // 2
    backward = cross_forward.BackwardPlan.of(plan)
    assert 2 * 4 * backward.programs * backward.slab_size <= H100["l2_bytes"] // 2


def test_a_forward_of_ten_seconds_is_under_200_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of DASS-small: its depths count, not its widths. What torch's operations do inside is not seen."""
    from torch.utils._python_dispatch import TorchDispatchMode

    from niah.networks.dass.network import DassConfig
    from niah.networks.dass.tiled import TiledDass

    launches: list[str] = []

    class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            name = function.__name__.split(".")[0]
            if name not in FREE:
                launches.append(name)
            return function(*args, **(kwargs or {}))

    def launched(kernel: Any, _: Any) -> Any:
        return lambda *_args, **_options: launches.append(kernel.fn.__name__)

    monkeypatch.setattr(type(cross_kernels._outputs), "__getitem__", launched)
    network = TiledDass(DassConfig(dims=(8, 16, 32, 64), stem=(4, 8), classes=5)).eval()
    network.requires_grad_(False).set_scan_backend("triton")
    features = torch.zeros(1, 1024, 128)
    with torch.inference_mode():
        network(features)  # prepares its weights
        launches.clear()
        with Operations():  # type: ignore[no-untyped-call]
            network(features)
    assert launches.count("_outputs") == sum(network.config.depths) == 14
    assert len(launches) < 200, Counter(launches)
