"""Claims: exactly one process has a unit, a dead one's is taken over, and nobody relies on clocks or file locks."""

import json
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from niah.errors import NiahError
from niah.records import workers
from niah.records.claims import MOST_DEATHS, Claim, Claims, Refusal
from niah.records.run_directory import RunDirectory
from niah.records.workers import Membership, list_workers
from niah.system import atomic, process_table
from tests.helpers import examples
from tests.helpers.preloaded import Preloaded

UNIT = "0123456789abcdef0123"


def claims_of(run: Path) -> Claims:
    return Claims(run, Membership(run))


def become_remote(run: Path, me: Membership, age_s: float) -> None:
    """Have a worker's file be that of another machine whose last heartbeat is `age_s` old."""
    file = run / "workers" / f"{me.name}.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "host": "node7", "pid": 4711}))
    os.utime(file, (time.time() - age_s,) * 2)


def test_one_of_many_gets_a_unit(tmp_path: Path) -> None:
    many = [claims_of(tmp_path) for _ in range(16)]
    gate, got = threading.Barrier(len(many)), []

    def take(claims: Claims) -> None:
        gate.wait()
        got.append(claims.claim(UNIT))

    threads = [threading.Thread(target=take, args=(each,)) for each in many]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [each for each in got if isinstance(each, Claim)]
    refused = [each for each in got if isinstance(each, Refusal)]
    assert {(each.is_done, each.by) for each in refused} == {(False, winner.attempt.where)}
    winner.done()
    assert many[0].claim(UNIT) == Refusal(is_done=True, by=winner.attempt.where)
    # a unit that is done but whose results are gone is free
    assert isinstance(many[0].claim(UNIT, is_stored=lambda: False), Claim)


def test_without_hard_links_exactly_one_creates_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    made = [atomic.create_json(tmp_path / "claim.json", {"by": i}) for i in range(3)]
    assert made == [True, False, False]
    assert json.loads((tmp_path / "claim.json").read_text()) == {"by": 0}


def test_a_link_whose_answer_was_lost_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS sends a request again when no answer comes: the second finds the link that the first made."""
    link = os.link

    def twice(source: Path, target: Path) -> None:
        link(source, target)
        link(source, target)

    monkeypatch.setattr(os, "link", twice)
    assert atomic.create_json(tmp_path / "claim.json", {})
    assert not atomic.create_json(tmp_path / "claim.json", {})


def test_a_released_unit_is_free_and_no_death(tmp_path: Path) -> None:
    one, other = claims_of(tmp_path), claims_of(tmp_path)
    for _ in range(MOST_DEATHS + 2):
        with one.claim(UNIT) as claim:
            assert isinstance(claim, Claim)
    claim = other.claim(UNIT)
    assert isinstance(claim, Claim)
    assert claim.deaths == ()


@pytest.mark.parametrize("ahead", [False, True])
def test_another_machines_claim_is_taken_over_when_its_heartbeat_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: bool
) -> None:
    """Also where the clock was set back since: it was waited for until the clock was there again."""
    monkeypatch.setattr(workers, "HEARTBEAT_S", 0.1)
    gone, alive, me = (claims_of(tmp_path) for _ in range(3))
    for claims in (gone, alive):
        assert isinstance(claims.claim(claims.me.name), Claim)
    become_remote(tmp_path, gone.me, age_s=-86400 if ahead else workers.STALE_S + 60)
    become_remote(tmp_path, alive.me, age_s=workers.STALE_S - 60)
    # after an outage of the server all heartbeats are late: it has the time for another
    assert isinstance(me.claim(gone.me.name), Refusal)
    time.sleep(0.3)
    claim = me.claim(gone.me.name)
    assert isinstance(claim, Claim)
    assert len(claim.deaths) == 1
    assert isinstance(me.claim(alive.me.name), Refusal)


def test_a_process_that_the_system_hides_is_alive_by_its_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's, where /proc is mounted with hidepid=2: it was taken for dead, and its claims for its deaths."""
    other, me = claims_of(tmp_path), claims_of(tmp_path)
    other.claim(UNIT)
    leftover = tmp_path / f".x.json.{os.getpid()}.{atomic._place_digits()}00000000{atomic.SUFFIX}"
    leftover.touch()

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(process_table, "process_fields", lambda _: [])
    monkeypatch.setattr(os, "kill", refuse)
    assert isinstance(me.claim(UNIT), Refusal)
    atomic.remove_leftovers(tmp_path, before=time.time() + 60)
    assert leftover.exists()
    monkeypatch.setattr(workers, "HEARTBEAT_S", 0.1)
    for file in (other.me.file, leftover):
        os.utime(file, (time.time() - 7200,) * 2)
    assert isinstance(me.claim(UNIT), Refusal)
    time.sleep(0.21)
    assert isinstance(me.claim(UNIT), Claim)
    atomic.remove_leftovers(tmp_path, before=time.time() + 60)
    assert not leftover.exists()


def test_a_worker_whose_file_cannot_be_read_is_alive_by_its_heartbeat(tmp_path: Path) -> None:
    me = claims_of(tmp_path).me
    file = tmp_path / "workers" / "torn.json"
    file.write_text("{")
    assert [each.name for each in me.others()] == ["torn"]
    os.utime(file, (time.time() - workers.STALE_S - 60,) * 2)
    alive = {each.name: each.is_alive for each in workers.list_workers(tmp_path)}
    assert alive == {me.name: True, "torn": False}


def test_a_late_heartbeat_after_an_outage_saves_a_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "HEARTBEAT_S", 0.1)
    late, me = claims_of(tmp_path), claims_of(tmp_path)
    late.claim(UNIT)
    become_remote(tmp_path, late.me, age_s=workers.STALE_S + 60)
    assert isinstance(me.claim(UNIT), Refusal)
    os.utime(late.me.file)
    time.sleep(0.3)
    assert isinstance(me.claim(UNIT), Refusal)


def test_the_clocks_of_machines_need_not_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, me = claims_of(tmp_path), claims_of(tmp_path)
    other.claim(UNIT)
    become_remote(tmp_path, other.me, age_s=1)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 86400)
    assert isinstance(me.claim(UNIT), Refusal)


DIES = """
import os, sys
from pathlib import Path
from niah.records.claims import Claims
from niah.records.workers import Membership
run = Path(sys.argv[1])
claim = Claims(run, Membership(run)).claim(sys.argv[2])
print(len(claim.deaths), flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.slow  # `.ci/run` runs it by a line of its own
def test_a_unit_that_kills_its_process_is_given_up_after_three(
    preloaded: Preloaded, tmp_path: Path
) -> None:
    for deaths in range(MOST_DEATHS):
        process = preloaded.start(DIES, tmp_path, UNIT)
        assert process.communicate()[0] == f"{deaths}\n"
    claim = claims_of(tmp_path).claim(UNIT)
    assert isinstance(claim, Claim)
    assert claim.is_hopeless
    assert len(claim.deaths) == MOST_DEATHS


BEATS = """
import ctypes, sys, time
from pathlib import Path
from niah.records import workers
workers._DELAY_S, workers.HEARTBEAT_S = 0.05, 0.1
me = workers.Membership(Path(sys.argv[1]))
begin = me.file.stat().st_mtime
while me.file.stat().st_mtime == begin:  # its heart starts in another process
    time.sleep(0.02)
Path(sys.argv[1], "held").touch()
ctypes.PyDLL(None).sleep(60)  # holds the interpreter lock
"""


def test_the_heart_beats_while_the_interpreter_lock_is_held_and_stops_with_the_process(
    preloaded: Preloaded, tmp_path: Path
) -> None:
    process = preloaded.start(BEATS, tmp_path)

    def last() -> float:
        return max((f.stat().st_mtime for f in tmp_path.glob("workers/*.json")), default=0.0)

    held, deadline = tmp_path / "held", time.monotonic() + 60
    while not held.exists() or last() < held.stat().st_mtime + 0.25:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()
    time.sleep(0.1)
    end = last()
    time.sleep(0.4)
    assert last() == end
    (worker,) = list_workers(tmp_path)
    assert not worker.is_alive  # at once on the same machine, however fresh its heartbeat


@pytest.mark.parametrize("text", ["x", "0", "nan", "-5", "1e9"])
def test_a_wrong_time_to_wait_is_one_line(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIAH_STALE_S", text)
    with pytest.raises(NiahError, match="NIAH_STALE_S must be"):
        workers.stale_s()


def test_two_writers_share_a_run_and_leave_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with RunDirectory.create_or_open(path, examples.IDENTITY) as one:
        one.write_run_json({"models": {"a": {"parameters": 1}}, "presets": ["fig3"]})
        with RunDirectory.create_or_open(path, examples.IDENTITY) as two:
            assert [len(one.others()), len(two.others())] == [1, 1]
            with one.coordinating() as mine, two.coordinating(wait=False) as other:
                assert (mine, other) == (True, False)
                two.write_run_json({"models": {"b": {"parameters": 2}}, "presets": ["fig4"]})
                assert set(two.run_json()["models"]) == {"a", "b"}
                assert set(RunDirectory(path).run_json()["models"]) == {"a"}
            first = examples.add(one, 1.0)
            second = examples.add(two, 1.0, length_s=20.0)
        content = RunDirectory(path).run_json()
        assert set(content["models"]) == {"a", "b"}
        assert content["presets"] == ["fig3", "fig4"]
        with pytest.raises(NiahError, match="needles is made there, other now"):
            RunDirectory.create_or_open(path, {**examples.IDENTITY, "needles": "other"})
        assert one.others() == []
    assert set(RunDirectory(path).cells()["cell"]) == {first, second}
    assert sorted(file.name for file in path.iterdir()) == [
        *("cells", "cells.csv", "run.json", "scores")
    ]


def test_a_dead_coordinator_is_replaced(preloaded: Preloaded, tmp_path: Path) -> None:
    program = DIES.replace(".claim(sys.argv[2])", ".coordinating(wait=True)")
    program = program.replace("print(len(claim.deaths), flush=True)", "claim.__enter__()")
    preloaded.start(program, tmp_path).communicate()
    assert (tmp_path / "claims" / "coordinator.json").is_file()
    claims = claims_of(tmp_path)
    with claims.coordinating(wait=True) as mine:
        assert mine
    assert not (tmp_path / "claims" / "coordinator.json").exists()


def test_one_that_joins_while_the_last_leaves_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It joins after the leaver has looked for others, and before that one removes what is left."""
    path = tmp_path / "run"
    leaver = RunDirectory.create_or_open(path, examples.IDENTITY)
    joined: list[RunDirectory] = []
    clear = Claims.clear

    def join_meanwhile(self: Claims, *, at_end: bool) -> None:
        if at_end and not joined:
            joined.append(RunDirectory(path).join())
        clear(self, at_end=at_end)

    monkeypatch.setattr(Claims, "clear", join_meanwhile)
    leaver.close()
    (newcomer,) = joined
    assert [worker.is_alive for worker in list_workers(path)] == [True]
    assert newcomer.claims is not None
    assert not (path / "claims").exists()  # the leaver has removed it
    assert isinstance(newcomer.claims.claim(UNIT), Claim)
    newcomer.close()
    assert not (path / "workers").exists()


def test_parts_that_vanish_while_they_are_checked_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = examples.make(tmp_path / "run").path
    (path / "workers").mkdir()
    scandir = os.scandir

    def vanishing(folder: Path | str) -> object:
        if str(folder).endswith("workers"):
            raise FileNotFoundError(2, "No such file or directory")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", vanishing)
    assert len(RunDirectory(path).cells()) > 0


def test_leftovers_of_a_living_writer_stay(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with RunDirectory.create_or_open(path, examples.IDENTITY):
        new, old = path / ".cells.csv.1.tmp", path / "scores" / ".a.2.tmp"
        for file in (new, old):
            file.touch()
        os.utime(old, (0, 0))
        RunDirectory.create_or_open(path, examples.IDENTITY).close()
        assert new.exists()
        assert old.exists()
    assert not new.exists()  # the last one removes them
    assert not old.exists()
    old.touch()
    os.utime(old, (0, 0))
    with RunDirectory.create_or_open(path, examples.IDENTITY):
        assert not old.exists()


def test_two_that_leave_at_once_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both look for others at the same time: one of them is the last all the same."""
    path = tmp_path / "run"
    runs = [RunDirectory.create_or_open(path, examples.IDENTITY) for _ in range(2)]
    for run in runs:
        assert run.claims is not None
        claim = run.claims.claim(run.me.name if run.me else "")
        assert isinstance(claim, Claim)
        claim.done()
    looked = threading.Barrier(2)
    others = Membership.others

    def look(me: Membership) -> list[workers.Worker]:
        seen = others(me)
        with suppress(threading.BrokenBarrierError):
            looked.wait(0.5)
        return seen

    monkeypatch.setattr(Membership, "others", look)
    threads = [threading.Thread(target=run.close) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not {file.name for file in path.iterdir()} & {"workers", "claims"}
