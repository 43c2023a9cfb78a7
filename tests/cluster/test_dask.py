"""Runs on real workers of dask.distributed: those of one process, whoever dies."""

import os
import random
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import soundfile

from niah.cluster.driver import _Driver, sweep_on_cluster
from niah.cluster.spec import ClusterSpec
from niah.cluster.workers import local_cluster
from niah.errors import NiahError
from niah.records.workers import list_workers
from niah.sweep.options import RunOptions
from niah.sweep.share import Share
from niah.version import __version__
from tests.helpers import tiny
from tests.helpers.dask_processes import DaskProcesses
from tests.helpers.preloaded import Preloaded, Process
from tests.helpers.tiny_sweep import Material, cells_of

pytestmark = pytest.mark.slow

LENGTHS = (10.0, 12.0, 14.0, 16.0, 18.0, 20.0)
FORWARDS = 6 * (1 + 2 * (len(LENGTHS) - 1))


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return Material.make(tmp_path_factory.mktemp("material"))


@pytest.fixture(scope="module")
def slow(material: Material) -> Path:
    return tiny.card(material.folder / "slow", delay_s=0.05)


@pytest.fixture(scope="module")
def alone(material: Material, slow: Path) -> Path:
    out = material.folder / "alone"
    material.run(out, models=str(slow), lengths=LENGTHS)
    return out


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Workers import the tests' tagger, compute on one thread, and write down what they score."""
    monkeypatch.setenv("PYTHONPATH", str(tiny.REPOSITORY))
    monkeypatch.setenv("TINY_LOG", str(tmp_path / "out.log"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def options_of(material: Material, card: Path, out: Path, **changes: Any) -> RunOptions:
    values: dict[str, Any] = {
        "models": (str(card),),
        "checkpoint": str(material.weights),
        "needles": str(material.clips),
        "haystacks": ("zero", "gaussian"),
        "lengths_s": LENGTHS,
        "protocol": "dass-v1",
        "device": "cpu",
        "out": out,
    }
    return RunOptions(**{**values, **changes})


def assert_equal_runs(out: Path, alone: Path) -> None:
    pd.testing.assert_frame_equal(cells_of(out), cells_of(alone))
    for file in sorted((alone / "scores").iterdir()):
        assert (out / "scores" / file.name).read_bytes() == file.read_bytes()
    assert {file.name for file in out.iterdir()} == {"cells", "cells.csv", "run.json", "scores"}


def scored(out: Path) -> list[str]:
    return out.with_suffix(".log").read_text().splitlines()


def wait_for_rows(out: Path, count: int, run: "Driven | Process") -> None:
    deadline = time.monotonic() + 120
    while len(list((out / "cells").glob("*.json"))) < count:
        assert time.monotonic() < deadline
        if isinstance(run, Driven):
            assert run.is_alive(), run.error
        else:
            assert run.poll() is None, run.communicate()
        time.sleep(0.01)


class Driven(threading.Thread):
    """A run on a cluster in a thread of its own."""

    def __init__(self, options: RunOptions, spec: str) -> None:
        super().__init__()
        self.options, self.spec = options, ClusterSpec.parse(spec)
        self.notes: list[str] = []
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            sweep_on_cluster([self.options], self.spec, Share(), self.notes.append)
        except BaseException as error:
            self.error = error

    def finish(self, patience_s: float = 240.0) -> None:
        self.join(patience_s)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error


def test_two_local_workers_make_the_run_of_one_process(
    material: Material, slow: Path, alone: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run = Driven(options_of(material, slow, out), "local:2")
    wait_for_rows(out, 3, run)
    # for a moment the folder cannot be written to: what was in work is tried again
    (out / "scores").rename(tmp_path / "away")
    time.sleep(0.5)
    (tmp_path / "away").rename(out / "scores")
    run.finish()
    assert_equal_runs(out, alone)
    assert FORWARDS <= len(scored(out)) <= FORWARDS + 24
    assert len({line.split()[0] for line in scored(out)}) == 2
    count = len(scored(out))
    Driven(options_of(material, slow, out), "local:1").finish()  # nothing is left to do
    assert len(scored(out)) == count


def test_slices_on_a_cluster_are_the_whole(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour of audio is cut: six scenes of 600 s."""
    slow = tiny.card(tmp_path, delay_s=0.3)
    options = options_of(
        material, slow, tmp_path / "out", haystacks=("gaussian",), lengths_s=(600.0,)
    )
    sweep_on_cluster([options], ClusterSpec.parse("local:2"), Share(slice_s=0.6))
    monkeypatch.delenv("TINY_LOG")
    whole = tmp_path / "whole"
    material.run(whole, models=str(slow), haystack="gaussian", lengths=[600])
    assert_equal_runs(tmp_path / "out", whole)
    long = [line for line in scored(tmp_path / "out") if line.split()[1] == "60000"]
    assert len(long) == 6
    assert len({line.split()[0] for line in long}) == 2


def test_a_cell_that_kills_its_workers_is_an_error_and_no_other_is(
    material: Material, tmp_path: Path
) -> None:
    deadly, out = tiny.card(tmp_path, deadly=1400), tmp_path / "out"
    options = options_of(material, deadly, out, haystacks=("zero",))
    Driven(options, "local:2").finish()
    table = pd.read_csv(out / "cells.csv").set_index("length_s")
    assert dict(table["status"]) == {s: "error" if s == 14 else "ok" for s in LENGTHS}
    assert "died 3 times" in table["error"][14]


@pytest.mark.parametrize("seed", range(1))
def test_a_killed_worker_and_restarted_schedulers_lose_nothing(
    material: Material, slow: Path, alone: Path, tmp_path: Path, seed: int
) -> None:
    rng, out = random.Random(seed), tmp_path / "out"
    with DaskProcesses(tmp_path, {}) as dask:
        scheduler = dask.scheduler()
        workers = [dask.worker() for _ in range(2)]
        run = Driven(options_of(material, slow, out), dask.address)
        wait_for_rows(out, 2, run)
        workers[0].kill()
        workers[0].wait()
        for rows in (4, 7):
            wait_for_rows(out, rows, run)
            time.sleep(rng.uniform(0.0, 0.5))
            scheduler.kill()
            scheduler.wait()
            time.sleep(rng.uniform(0.0, 1.0))
            scheduler = dask.scheduler()
            dask.worker()
        run.finish()
        before = len(scored(out))
    assert_equal_runs(out, alone)
    assert before <= FORWARDS + 6 * 6  # what was in work is done again


def test_an_answer_that_is_lost_on_its_way_is_fetched_again(tmp_path: Path) -> None:
    """The scheduler dies between a task's end and its answer's arrival; an error of the task's own is no such loss."""
    from distributed import Client

    with DaskProcesses(tmp_path, {}) as dask:
        scheduler = dask.scheduler()
        dask.worker()
        with Client(dask.address, set_as_default=False) as client:
            unused: Any = None
            driver: Any = _Driver(client, unused, unused, 600.0, print)
            failing, answered = client.submit(divmod, 1, 0), client.submit(divmod, 7, 2)
            while "pending" in (failing.status, answered.status):
                time.sleep(0.01)
            driver.flying = {failing: "failing", answered: "answered"}
            with pytest.raises(NiahError, match="ZeroDivisionError"):
                driver._take(failing)
            scheduler.send_signal(signal.SIGSTOP)
            taking = threading.Thread(target=driver._take, args=(answered,))
            taking.start()
            taking.join(0.5)
            assert taking.is_alive()
            scheduler.kill()
            taking.join(60)
            assert [task for _, _, task in driver.later] == ["answered"]
            assert not driver.flying


DRIVER = """
import sys
from pathlib import Path
from tests.cluster.test_dask import options_of
from niah.cluster.driver import sweep_on_cluster
from niah.cluster.spec import ClusterSpec
from niah.sweep.share import Share
from niah.version import __version__
from tests.helpers.tiny_sweep import Material
folder, card, weights, clips, out = map(Path, sys.argv[1:6])
material = Material(folder, card, weights, clips)
sweep_on_cluster([options_of(material, card, out)], ClusterSpec.parse(sys.argv[6]), Share())
"""


def test_a_killed_driver_is_replaced_by_the_same_command(
    material: Material, slow: Path, alone: Path, preloaded: Preloaded, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    parts = material.folder, slow, material.weights, material.clips, out
    with DaskProcesses(tmp_path, {}) as dask:
        dask.scheduler()
        for _ in range(2):
            dask.worker()
        process = preloaded.start(DRIVER, *parts, dask.address)
        wait_for_rows(out, 3, process)
        process.kill()
        process.communicate()
        before = {file.name: file.read_bytes() for file in (out / "scores").iterdir()}
        Driven(options_of(material, slow, out), dask.address).finish()
    assert_equal_runs(out, alone)
    for name, content in before.items():
        assert (out / "scores" / name).read_bytes() == content
    assert len(scored(out)) <= FORWARDS + 6 * 2


def test_workers_leave_a_relative_folder_and_hear_new_sounds(
    slow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command in the same folder, after the sounds behind the same names have changed."""
    material = Material.make(tmp_path / "own")
    monkeypatch.chdir(tmp_path)
    options = options_of(material, slow, Path("out"), lengths_s=(10.0, 12.0))
    with DaskProcesses(tmp_path, {}) as dask:
        dask.scheduler()
        dask.worker()
        Driven(options, dask.address).finish()
        assert not list_workers(Path("out"))
        before = cells_of(Path("out"))
        for index, file in enumerate(sorted(material.folder.rglob("clip*.wav"))):
            soundfile.write(file, tiny.tone(index + 7), tiny.SAMPLE_RATE)
        shutil.rmtree("out")
        Driven(options, dask.address).finish()
    material.run(tmp_path / "alone", models=str(slow), lengths=(10.0, 12.0))
    assert_equal_runs(Path("out"), tmp_path / "alone")
    assert not before["mAP"].equals(cells_of(Path("out"))["mAP"])


def test_a_scheduler_that_stays_away_is_one_line(
    material: Material, slow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("niah.cluster.driver.LOST_S", 3.0)
    monkeypatch.setattr("niah.cluster.driver._PUBLISH_S", 0.1)
    with DaskProcesses(tmp_path, {}) as dask:
        scheduler = dask.scheduler()
        dask.worker()
        run = Driven(options_of(material, slow, tmp_path / "out"), dask.address)
        wait_for_rows(tmp_path / "out", 1, run)
        scheduler.kill()
        with pytest.raises(NiahError, match="the dask scheduler is gone: start it"):
            run.finish()


def test_a_scheduler_with_settings_that_lose_cells_is_noted(
    material: Material, slow: Path, tmp_path: Path
) -> None:
    with DaskProcesses(tmp_path, {}) as dask:
        dask.env["DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"] = "0"
        dask.scheduler()
        dask.worker()
        run = Driven(options_of(material, slow, tmp_path / "out", lengths_s=(10.0,)), dask.address)
        run.finish()
    assert any("allowed-failures: 0; 3 suits" in note for note in run.notes)


def test_a_cluster_without_workers_and_one_of_another_version_are_noted(
    material: Material, slow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("niah.cluster.driver.ALONE_S", 0.5)
    monkeypatch.setattr("niah.cluster.driver.__version__", "0.0.9")
    with DaskProcesses(tmp_path, {}) as dask:
        dask.scheduler()
        run = Driven(options_of(material, slow, tmp_path / "out", lengths_s=(10.0,)), dask.address)
        deadline = time.monotonic() + 120
        while not any("has no worker: waiting" in note for note in run.notes):
            assert run.is_alive(), run.error
            assert time.monotonic() < deadline
            time.sleep(0.05)
        dask.worker()
        run.finish()
    assert sum("has no worker" in note for note in run.notes) == 1
    assert (
        f"a worker has niah {__version__}, this is 0.0.9: install the same everywhere" in run.notes
    )


def test_an_address_where_nobody_answers_is_one_line(
    material: Material, slow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("niah.cluster.workers.CONNECT_S", 1.0)
    with pytest.raises(NiahError, match=r"no dask scheduler answers at tcp://127\.0\.0\.1:9"):
        sweep_on_cluster(
            [options_of(material, slow, tmp_path / "out")],
            ClusterSpec.parse("tcp://127.0.0.1:9"),
            Share(),
        )


def test_each_local_worker_has_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")

    def visible() -> tuple[str | None, str | None]:
        return os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("OMP_NUM_THREADS")

    from distributed import Client

    with local_cluster(0) as cluster, Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=120)
        environments = client.run(visible)
    assert sorted(str(each[0]) for each in environments.values()) == ["3", "5"]
    assert all(int(str(each[1])) >= 1 for each in environments.values())


@pytest.mark.parametrize("seed", range(1))
def test_workers_that_are_killed_at_random_lose_nothing(
    material: Material, slow: Path, alone: Path, tmp_path: Path, seed: int
) -> None:
    """The nanny starts another worker."""
    rng, out = random.Random(seed), tmp_path / "out"
    run = Driven(options_of(material, slow, out), "local:2")
    for _ in range(3):
        wait_for_rows(out, rng.randrange(1, 9), run)
        time.sleep(rng.uniform(0.0, 0.5))
        own = {os.getpid()}
        victims = [w.pid for w in list_workers(out) if w.is_alive and w.pid not in own]
        if victims:
            os.kill(rng.choice(victims), signal.SIGKILL)
    run.finish()
    assert_equal_runs(out, alone)
