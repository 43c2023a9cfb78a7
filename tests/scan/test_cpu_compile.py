"""Compiled kernels on disk: used again, but not after an edit of anything that is compiled into them."""

import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from numba.core.dispatcher import Dispatcher

import niah
from niah.scan.cpu.compile import SourcesCache
from tests.conftest import REPOSITORY
from tests.helpers.preloaded import Preloaded

PACKAGE = REPOSITORY / "niah"
KERNEL_MODULES = [
    "niah.scan.cpu.map_kernels",
    "niah.scan.cpu.map_training",
    "niah.scan.cpu.math",
    "niah.scan.cpu.sequence",
]
# state past one chunk, exp(A sum) state + E: a kernel of map_kernels, with math's exp inlined; here exp(-1) 2 + 0
RUN = """
import json, os, sys
folder, settings = sys.argv[1], json.loads(sys.argv[2])
os.chdir(folder)
os.environ.update(settings)
os.environ.pop("NUMBA_CACHE_DIR", None)
for name in [name for name in sys.modules if name.partition(".")[0] == "niah"]:
    del sys.modules[name]  # the copy is imported in its place
sys.path.insert(0, folder)
import numba
import numpy as np
numba.config.CACHE_DIR = ""
import niah
from niah.scan.cpu.map_kernels import _enter
ends, sums, A, state = (np.full(1, x, np.float32) for x in (0, 1, -1, 2))
_enter(ends, sums, A, state)
hits = sum(_enter.stats.cache_hits.values())
json.dump({"state": float(state[0]), "hits": hits, "package": niah.__file__}, sys.stdout)
"""
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder with a copy of the package, to edit."""
    left_out = shutil.ignore_patterns("__pycache__", "*.safetensors")
    shutil.copytree(PACKAGE, tmp_path / "niah", ignore=left_out)
    return tmp_path


@pytest.fixture
def run(copied: Path, preloaded: Preloaded) -> Run:
    """RUN with the copy of the package, in a process of its own."""

    def result(folder: Path = copied, **settings: str) -> dict[str, Any]:
        given = {"NIAH_CACHE": str(copied / "cache"), **settings}
        process = preloaded.start(RUN, folder, json.dumps(given))
        out, errors = process.communicate()
        assert process.returncode == 0, errors
        made: dict[str, Any] = json.loads(out)
        assert Path(made.pop("package")).is_relative_to(folder)
        return made

    return result


def test_an_edit_of_an_inlined_function_is_seen(copied: Path, run: Run) -> None:
    first, second = run(), run()
    assert first["hits"] == 0
    assert second["hits"] == 1  # there is a cache to go stale
    assert first["state"] == second["state"] == pytest.approx(0.7357589, abs=1e-6)
    source = copied / "niah" / "scan" / "cpu" / "math.py"
    before = source.read_text()
    edited = before.replace("_LOWEST = np.float32(-87.0)", "_LOWEST = np.float32(-0.5)")
    assert edited != before
    source.write_text(edited)
    third = run()
    assert third["hits"] == 0
    assert third["state"] == pytest.approx(1.2130613, abs=1e-6)  # exp(-0.5) 2
    source.write_text(before)
    assert run() == second
    other = copied / "other"  # another checkout, or another environment
    shutil.copytree(copied / "niah", other / "niah", ignore=shutil.ignore_patterns("__pycache__"))
    assert run(other) == second


@pytest.mark.parametrize("name", KERNEL_MODULES)
def test_every_kernel_has_that_cache(name: str) -> None:
    module = importlib.import_module(name)
    kernels: list[Any] = [x for x in vars(module).values() if isinstance(x, Dispatcher)]
    assert kernels
    assert all(isinstance(kernel._cache, SourcesCache) for kernel in kernels)


def test_all_modules_with_kernels_are_looked_at() -> None:
    """The files of `niah/scan/cpu` are what the hash is made of."""
    folder = Path(niah.__file__).parent / "scan" / "cpu"
    with_kernels = {path.stem for path in folder.glob("*.py") if "\n@kernel(" in path.read_text()}
    assert {f"niah.scan.cpu.{stem}" for stem in with_kernels} == set(KERNEL_MODULES)


def test_a_package_a_home_and_a_cache_that_cannot_be_written_still_scan(
    copied: Path, run: Run
) -> None:
    """Files stand where folders would have to be made: that stops root too, whom permissions do not."""
    for folder in [path for path in (copied / "niah").rglob("*") if path.is_dir()]:
        (folder / "__pycache__").touch()
    no_folder = copied / "file"
    no_folder.touch()
    unwritable = str(no_folder / "home")
    settings = {"HOME": unwritable, "XDG_CACHE_HOME": unwritable, "NIAH_CACHE": str(no_folder)}
    for _ in range(2):
        made = run(**settings)
        assert made == {"state": pytest.approx(0.7357589, abs=1e-6), "hits": 0}
