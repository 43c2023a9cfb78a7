"""Workers of a run directory: the processes that share it, on any number of machines, and which of them are alive.

    workers/<worker>.json   host, process, progress; its time of change is the worker's heartbeat

A worker on this machine is dead when its process is gone. One on another machine, or of another user whose processes
the system hides, is dead when its heartbeat has not moved for 5 minutes (`NIAH_STALE_S` seconds), by the clock of the
file system, so that the machines' clocks need not agree. No file locks are used: on network
file systems they hold between machines only where a lock server runs.
"""

import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from niah.errors import NiahError
from niah.records import heartbeat
from niah.system import atomic
from niah.system.process_table import host, is_hidden, place, process_lives, process_start

FOLDER = "workers"
HEARTBEAT_S = 20.0
STALE_S = 300.0  # `NIAH_STALE_S` sets another
ENDED = "ended"  # state of a worker that scores no more cells
_DELAY_S = 1.0  # most runs of tests are over before a heartbeat is needed
_TRIES = 5  # of joining, while another worker that ends removes the empty folder


@dataclass(frozen=True)
class Worker:
    """One process that works, or worked, on a run."""

    name: str
    host: str
    pid: int
    started_s: float  # since the epoch, by its own clock
    is_alive: bool
    idle_s: float  # since its last heartbeat, by the file system's clock
    is_local: bool = False  # on this machine, where its process can be looked up
    sign_s: float = 0.0  # time of its last heartbeat, by the file system's clock
    progress: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"

    @property
    def is_working(self) -> bool:
        """Return whether it may still score cells."""
        return self.is_alive and self.progress.get("state") != ENDED


class Membership:
    """This process's place among the workers of one run directory."""

    def __init__(self, run: Path, progress: Mapping[str, Any] | None = None) -> None:
        """Join the workers of the run in `run`.

        Raises:
            NiahError: the folder cannot be written to.
        """
        self.folder = run / FOLDER
        self.name = secrets.token_hex(8)
        self._content: dict[str, Any] = {
            "worker": self.name,
            **place(),
            "pid": os.getpid(),
            "process_started": process_start(os.getpid()),
            "started_s": time.time(),
            "progress": dict(progress or {}),
        }
        self._began: float | None = None  # by a clock that is never set
        self._suspects: dict[str, tuple[float, float]] = {}
        self._child: subprocess.Popen[bytes] | None = None
        self._register()
        self._timer = threading.Timer(_DELAY_S, self._start_heartbeat)
        self._timer.daemon = True
        self._timer.start()

    @property
    def where(self) -> str:
        """Host and process, as people read them."""
        return f"{host()}:{os.getpid()}"

    @property
    def progress(self) -> Mapping[str, Any]:
        """Everything that this worker has reported."""
        reported: dict[str, Any] = self._content["progress"]
        return reported

    @property
    def file(self) -> Path:
        """The worker's own file."""
        return self.folder / f"{self.name}.json"

    def _register(self) -> None:
        for attempt in range(_TRIES):
            with atomic.one_line_os_errors(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
            try:
                self._write()
                self.joined_s = self.file.stat().st_mtime
                return
            except (NiahError, FileNotFoundError):
                if attempt == _TRIES - 1:
                    raise

    def _write(self) -> None:
        atomic.replace_json(self.file, self._content)  # after a power cut the process is gone too

    def _start_heartbeat(self) -> None:
        command = [sys.executable, "-I", "-S", heartbeat.__file__, str(self.file)]
        with suppress(OSError):  # without one, the worker is alive for those on this machine
            self._child = subprocess.Popen(
                [*command, str(min(HEARTBEAT_S, stale_s() / 4))],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the worker, which ends it
            )

    def report(self, **progress: Any) -> None:
        """Tell other processes what this one does (`niah status`); a folder that cannot be written to is no error."""
        self._content["progress"] = {**self._content["progress"], **progress}
        with suppress(NiahError):
            self._write()

    def times(self) -> dict[str, float]:
        """Return when this worker began its cells, at the first call, and the present, both by the clock of now.

        Their distance is what has passed, also where the machine's clock was set in between.
        """
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        reported_s = time.time()
        return {"began_s": reported_s - (now - self._began), "reported_s": reported_s}

    def clock(self) -> float:
        """Return the file system's time: that of a touch of the worker's own file."""
        with suppress(OSError):
            os.utime(self.file)
            return self.file.stat().st_mtime
        return time.time()

    def is_alive(self, name: str) -> bool:
        """Return whether another worker is alive; one that cannot be read at the moment is."""
        if name == self.name:
            return True
        worker = read_worker(self.folder / f"{name}.json", self.clock())
        if worker is None:
            return False
        if worker.is_alive:
            self._suspects.pop(name, None)
            return True
        if worker.is_local:
            return False
        # after an outage of the server every heartbeat is late: each gets the time for another
        last, since = self._suspects.get(name, (0.0, time.monotonic()))
        if abs(worker.sign_s - last) > 1.0:
            self._suspects[name] = (worker.sign_s, since := time.monotonic())
        return time.monotonic() - since < min(2 * HEARTBEAT_S, stale_s() / 2)

    def others(self) -> list[Worker]:
        """Return the other workers that are alive, the first that joined first."""
        everyone = list_workers(self.folder.parent, self.clock())
        others = (each for each in everyone if each.name != self.name)
        return [each for each in others if self.is_alive(each.name)]

    def leave(self) -> None:
        """End the heartbeat and remove the worker's file."""
        self._timer.cancel()
        self._timer.join()
        if self._child is not None and self._child.stdin is not None:
            self._child.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(timeout=10)
        with suppress(OSError):
            self.file.unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()  # of the last one


def list_workers(run: Path, clock_s: float | None = None) -> list[Worker]:
    """Return the workers of a run, dead ones too, the first that joined first.

    Args:
        run: run directory.
        clock_s: present time of its file system; None takes this machine's.
    """
    now = time.time() if clock_s is None else clock_s
    files = sorted((run / FOLDER).glob("[!.]*.json"))
    workers = [worker for file in files if (worker := read_worker(file, now)) is not None]
    return sorted(workers, key=lambda each: (each.started_s, each.name))


def read_worker(file: Path, clock_s: float) -> Worker | None:
    """Return the worker of a file, None where there is none.

    Args:
        file: workers/<worker>.json.
        clock_s: present time of its file system.
    """
    worker = Worker(file.stem, "?", 0, 0.0, is_alive=True, idle_s=0.0)
    try:
        changed = file.stat().st_mtime
        worker = replace(
            worker,
            # one that is ahead is of before the clock was set back
            is_alive=abs(clock_s - changed) <= stale_s(),
            idle_s=max(0.0, clock_s - changed),
            sign_s=changed,
        )
        content = json.loads(file.read_bytes())
        pid = int(content["pid"])
        worker = replace(
            worker,
            name=str(content["worker"]),
            host=str(content["host"]),
            pid=pid,
            started_s=float(content["started_s"]),
            progress=dict(content["progress"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError):
        return worker  # a server that does not answer, or another user's file
    here = place()
    if all(content.get(name) == here[name] for name in here) and not is_hidden(pid):
        lives = process_lives(pid, content.get("process_started"))
        return replace(worker, is_alive=lives, is_local=True)
    return worker


def stale_s() -> float:
    """Return the seconds without a heartbeat after which a worker of another machine is taken for dead.

    Raises:
        NiahError: `NIAH_STALE_S` is no number of seconds.
    """
    text = os.environ.get("NIAH_STALE_S", "")
    try:
        seconds = float(text) if text else STALE_S
    except ValueError:
        seconds = 0.0
    if not 1.0 <= seconds <= 1e6:
        raise NiahError(f"NIAH_STALE_S must be 1 to 1e6 seconds but is {text!r:.40}")
    return seconds
