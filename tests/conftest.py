"""Fixtures of all tests: a cache of their own, the command, the developers' material beside the checkout, a browser."""

import functools
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import typer.main

from niah.cli import main
from tests.helpers.browser import Browser, find_browser
from tests.helpers.command_line import Answer, Niah
from tests.helpers.needed import missing
from tests.helpers.preloaded import Preloaded
from tests.helpers.skips import pytest_sessionfinish, pytest_terminal_summary

__all__ = ["pytest_sessionfinish", "pytest_terminal_summary"]

if not torch.cuda.is_available():  # before anything imports triton: its kernels then run on the CPU
    os.environ.setdefault("TRITON_INTERPRET", "1")

REPOSITORY = Path(__file__).resolve().parent.parent
# compiled kernels outlast the tests' own cache, which is empty; before anything imports numba
os.environ.setdefault("NUMBA_CACHE_DIR", str(REPOSITORY / ".pytest_cache" / "numba"))


def pytest_collection_finish() -> None:
    """Leave what was imported out of garbage collections, which took a twentieth of the time; have fewer of them."""
    gc.set_threshold(10_000)
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty cache for the tests, so that they neither read nor fill the user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NIAH_CACHE", str(folder))
        patch.setenv("NIAH_FIGURES", "png")  # SVG and PDF have tests of their own
        # no test cuts the power: writes need not wait for the disk (tests/system/test_atomic.py has their order)
        patch.setattr(os, "fsync", lambda _: None)
        # nor compares sharded tensors, for which `assert_close` would import sympy and more in each process: 4 s
        patch.setattr("torch.testing._comparison._HAS_DTENSOR", False, raising=False)
        # hundreds of tests call `niah.cli.main`: its tree of commands is made once
        patch.setattr(typer.main, "get_command", functools.cache(typer.main.get_command))
        yield folder


@pytest.fixture(scope="session")
def preloaded(cache: Path) -> Iterator[Preloaded]:
    """Programs in processes of their own, forked from one that has imported torch and niah."""
    paths = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "NIAH_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    with Preloaded(environment) as server:
        yield server


@pytest.fixture
def niah(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Niah:
    """`niah ARGUMENTS` in this process."""

    def run(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["niah", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capfd.readouterr()
        code = caught.value.code
        return Answer(code if isinstance(code, int) else 0, out, err)

    return run


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Two threads for torch, whatever the environment says."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The developers' official vectors and labelled audio: `$NIAH_SHARED`, else `shared/` beside the checkout.

    A stranger's clone has none: its tests are skipped with the reason. One that is named must be there.
    """
    named = os.environ.get("NIAH_SHARED")
    folder = Path(named or REPOSITORY.parent / "shared")
    if (folder / "golden").is_dir():
        return folder
    if named:
        pytest.fail(f"NIAH_SHARED names {named}, which has no golden/", pytrace=False)
    pytest.skip("needs the developers' folder of vectors and audio: set NIAH_SHARED to it")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One page of a headless Chromium, for the tests of a module."""
    program = find_browser()
    if program is None:
        missing("needs Chromium or Chrome on the path, or NIAH_BROWSER naming one")
    with Browser(program, tmp_path_factory.mktemp("profile")) as started:
        yield started
