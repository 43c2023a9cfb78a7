"""Jobs run side by side, each on one thread, and all that began are over when the call returns."""

import multiprocessing
import threading
import time

import pytest
import torch

from niah.system.threads import run_jobs

pytestmark = pytest.mark.usefixtures("two_threads")

JOBS = [(n,) for n in range(6)]


def test_a_job_has_one_thread_and_the_caller_keeps_its_own() -> None:
    seen: list[tuple[str, int]] = []

    def job(_: int) -> None:
        torch.randn(64, 64) @ torch.randn(64, 64)
        seen.append((threading.current_thread().name, torch.get_num_threads()))

    run_jobs(job, JOBS)
    assert len(seen) == len(JOBS)
    assert {threads for _, threads in seen} == {1}
    assert all(name.startswith("niah") for name, _ in seen)
    assert torch.get_num_threads() == 2


def test_the_first_error_is_raised_when_all_that_began_are_over() -> None:
    began, over = [], []

    def job(n: int) -> None:
        began.append(n)
        time.sleep(0.01)
        over.append(n)
        if n == 1:
            raise ValueError(f"job {n}")

    with pytest.raises(ValueError, match="job 1"):
        run_jobs(job, JOBS)
    assert sorted(over) == sorted(began)


@pytest.mark.parametrize("inference", [False, True])
def test_a_job_has_the_callers_gradient_mode(inference: bool) -> None:
    seen: list[tuple[bool, bool]] = []

    def job(_: int) -> None:
        seen.append((torch.is_inference_mode_enabled(), torch.is_grad_enabled()))

    with torch.inference_mode(inference), torch.no_grad():
        run_jobs(job, JOBS)
    assert set(seen) == {(inference, False)}


def count_jobs(results: "multiprocessing.Queue[int]") -> None:
    done: list[int] = []
    run_jobs(done.append, JOBS)
    results.put(len(done))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_makes_workers_of_its_own() -> None:
    """The parent's pool is made first; its threads do not live on in the child, which would wait for them for ever."""
    run_jobs(lambda _: None, JOBS)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=count_jobs, args=(results,))
    child.start()
    child.join(20)
    hung = child.is_alive()
    child.kill()
    assert not hung
    assert results.get(timeout=5) == len(JOBS)
