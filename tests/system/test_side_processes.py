"""Work that is shared out to processes: the same results in order, errors and ends of processes included."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from niah.errors import NiahError
from niah.system import side_processes
from niah.system.side_processes import beside, shared_out

REPOSITORY = Path(__file__).parents[2]  # that of tests.conftest, which imports torch


def squares(shared: dict[str, int], items: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield each square and the process that computed it; `shared` names the item that ends it, and how."""
    print("what work prints is no result")
    for item in items:
        if item == shared.get("wrong"):
            raise NiahError(f"{item} has no square")
        if item == shared.get("deadly") and os.getpid() != shared["parent"]:
            os._exit(1)
        yield item * item, os.getpid()


def asleep(file: str, items: Sequence[int]) -> Iterator[int]:
    """Write the process to a file, and yield each item after a minute."""
    with Path(file).open("a") as pids:
        pids.write(f"{os.getpid()}\n")
    for item in items:
        time.sleep(60)
        yield item


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_processes, "PATIENCE_S", -1.0)
    monkeypatch.setattr(side_processes, "WORTH_S", -1.0)
    monkeypatch.setattr(side_processes, "cores", lambda: 3)
    monkeypatch.setattr(side_processes, "usable_bytes", lambda: 1 << 50)


def counts(results: list[tuple[int, int]]) -> list[int]:
    """Number of results of each process, in order."""
    by = [process for _, process in results]
    return [by.count(process) for process in dict.fromkeys(by)]


def test_the_first_is_computed_here_and_the_rest_in_equal_parts() -> None:
    results = shared_out(squares, {}, range(10), "squares")
    assert [square for square, _ in results] == [n * n for n in range(10)]
    assert results[0][1] == os.getpid()
    assert counts(results) == [1, 3, 3, 3]


def test_short_work_stays_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_processes, "PATIENCE_S", 60.0)
    assert counts(shared_out(squares, {}, range(10), "squares")) == [10]
    assert shared_out(squares, {}, [], "squares") == []


def test_a_machine_without_room_computes_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_processes, "usable_bytes", lambda: 1 << 20)
    assert counts(shared_out(squares, {}, range(10), "squares")) == [10]


def test_what_a_process_does_not_give_is_computed_here() -> None:
    ended = shared_out(squares, {"deadly": 5, "parent": os.getpid()}, range(10), "squares")
    assert [square for square, _ in ended] == [n * n for n in range(10)]
    assert counts(ended) == [1 + 2, 3, 1, 3]  # 5 and 6 were left by the second process


def test_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert counts(shared_out(squares, {}, range(10), "squares")) == [10]


def test_an_error_is_raised_here() -> None:
    with pytest.raises(NiahError, match="7 has no square"):
        shared_out(squares, {"wrong": 7}, range(10), "squares")


def test_a_block_that_ends_early_ends_its_processes() -> None:
    with pytest.raises(ZeroDivisionError), beside(squares, {}, range(4), 2):
        raise ZeroDivisionError
    with beside(squares, {}, range(4), 2) as wait:
        advanced: list[int] = []
        results = wait(advanced.append)
    assert counts(results) == [2, 2]
    assert sum(advanced) == 4


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_processes_end_with_the_one_that_was_killed(tmp_path: Path) -> None:
    """A batch system kills the process that it started; those beside it would keep the cores of the next job."""
    program = (
        "import sys; from niah.system.side_processes import beside\n"
        "from tests.system.test_side_processes import asleep\n"
        "with beside(asleep, sys.argv[1], range(4), 2) as wait: wait(lambda _: None)"
    )
    pids = tmp_path / "pids"
    parent = subprocess.Popen([sys.executable, "-c", program, str(pids)], cwd=REPOSITORY)
    deadline = time.monotonic() + 60
    while not (pids.exists() and len(pids.read_text().splitlines()) == 2):
        assert parent.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    folders = [Path("/proc") / pid for pid in pids.read_text().split()]
    deadline = time.monotonic() + 20
    while any(map(is_running, folders)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(process: Path) -> bool:
    """Return whether a process is there, and no zombie that nobody waits for."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
