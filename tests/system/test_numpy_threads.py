"""Results in order on any number of threads, whose number the environment sets."""

import os
import threading
import time

import pytest

from niah.system.numpy_threads import cores, side_by_side


@pytest.mark.parametrize(
    ("named", "expected"), [("1", 1), ("3", 3), ("", None), ("many", None), ("0", None)]
)
def test_threads_are_those_of_the_environment(
    named: str, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", named)
    assert cores() == (expected or len(os.sched_getaffinity(0)))


@pytest.mark.parametrize("threads", ["1", "3"])
def test_results_are_in_order_whichever_ends_first(
    threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    used: set[int] = set()

    def slow(number: int) -> int:
        used.add(threading.get_ident())
        time.sleep(0.01 * (9 - number))
        return number * number

    assert side_by_side(slow, range(9)) == [number * number for number in range(9)]
    assert len(used) == int(threads)


@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_first_error_is_raised(threads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda number: 1 // (3 - number), range(9))
