"""The Triton kernels compile for an H100, here, without one; no length is a constant or specialised on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import tiny

pytest.importorskip("triton")


def machine_code(which: str, cache: Path) -> dict[str, int]:
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
    found: dict[str, int] = json.loads(ended.stdout)
    return found


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="Triton is for Linux")
def test_inference_kernels_compile_for_hopper(cache: Path) -> None:
    found = machine_code("forward", cache)
    assert len(found) == 8
    assert min(found.values()) > 1000


@pytest.mark.slow
def test_all_kernels_compile_for_hopper(cache: Path) -> None:
    found = machine_code("all", cache)
    assert len(found) == 24
    assert min(found.values()) > 1000
