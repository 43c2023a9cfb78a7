"""Inputs read in child processes: under limits of memory and time, and watched for what no reader may do.

A batch of inputs runs in a fork of a process that has imported everything. The child's address space may grow by
1 GiB, an input may take 5 s of processor time, and nothing may be started, sent or written elsewhere: Python tells an
audit hook of every file that is opened, every process and every connection, and a listing of the folders around the
input is compared before and after.
"""

import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from niah.errors import NiahError
from niah.records import heartbeat

MEMORY_BYTES = 1 << 30  # beyond what the imports take
CPU_S = 5.0  # of one input
SILENCE_S = 60.0  # of the clock, on a machine that is busy with other tests: a reader that waits
BATCH = 250  # inputs of one child
_VICTIM = "precious\n"
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_STARTING = (
    "os.system",
    "subprocess.Popen",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.forkpty",
    "pty.spawn",
)
_CONNECTING = ("socket.connect", "socket.getaddrinfo", "socket.bind", "socket.sendto")
_MOVING = (
    *(
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.mkdir",
        "os.link",
        "os.symlink",
        "os.truncate",
        "os.chmod",
    ),
    *("os.chown", "os.utime", "shutil.rmtree", "shutil.move"),
)

Make = Callable[[Random, Path], Any]
Read = Callable[[Any], None]


@dataclass(frozen=True)
class Loader:
    """One kind of input.

    Attributes:
        name: what the counts call it.
        make: writes an input into an empty folder, and returns what `read` is given.
        read: reads it as the commands do.
        writes: whether reading it writes into that folder (a report, a cache).
        few: number of inputs in the default suite.
    """

    name: str
    make: Make
    read: Read
    writes: bool = False
    few: int = 40


@dataclass(frozen=True)
class Fault:
    """An input that did what none may do."""

    loader: str
    index: int
    kind: str  # traceback, slow, hang, crash, wrote, started
    detail: str


@dataclass
class Counts:
    """What came of the inputs of a loader."""

    loader: str
    accepted: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0
    faults: list[Fault] = field(default_factory=list)

    @property
    def inputs(self) -> int:
        return self.accepted + self.refused + len(self.faults)

    @property
    def kinds(self) -> Counter[str]:
        return Counter(fault.kind for fault in self.faults)


class _TooSlowError(BaseException):
    """The processor time of an input is used up."""


class _ForbiddenError(BaseException):
    """A reader began what it must not do."""


def make_input(loader: Loader, index: int, folder: Path) -> Any:
    """Write input `index` of a loader into an empty folder."""
    return loader.make(Random(f"{loader.name} {index}"), folder)


def fuzz(loader: Loader, first: int, count: int) -> Counts:
    """Make and read the inputs `first` to `first + count - 1`, each batch in a child process."""
    counts, start = Counts(loader.name), time.monotonic()
    at, last = first, first + count
    while at < last:
        for index, kind, detail, cpu_s in _batch(loader, at, min(at + BATCH, last)):
            counts.slowest_s = max(counts.slowest_s, cpu_s)
            if kind == "accepted":
                counts.accepted += 1
            elif kind == "refused":
                counts.refused += 1
            else:
                counts.faults.append(Fault(loader.name, index, kind, detail))
            at = index + 1
    counts.seconds = time.monotonic() - start
    return counts


Outcome = tuple[int, str, str, float]


def _batch(loader: Loader, first: int, last: int) -> Iterator[Outcome]:
    """Yield (index, outcome, detail, processor seconds) of each input, up to one at which the child ends."""
    with tempfile.TemporaryDirectory(prefix="niah-fuzz-") as name:
        box = Path(name).resolve()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _child(loader, range(first, last), box, writing)
        os.close(writing)
        try:
            yield from _outcomes(reading, child, first, last)
        finally:
            os.close(reading)


def _outcomes(reading: int, child: int, first: int, last: int) -> Iterator[Outcome]:
    pending, at, hangs = b"", first, False
    while True:
        if not select.select([reading], [], [], SILENCE_S)[0]:
            if _wants_processor(child):
                continue  # it waits for its turn on a busy machine, not for an answer: CPU_S ends it
            hangs = True
            os.kill(child, signal.SIGKILL)
        received = os.read(reading, 1 << 16)
        pending += received
        *lines, pending = pending.split(b"\n")
        for line in lines:
            index, kind, detail, cpu_s = json.loads(line)
            yield index, kind, detail, cpu_s
            at = index + 1
        if not received:
            break
    _, status = os.waitpid(child, 0)
    if at < last and hangs:
        yield at, "hang", f"no answer in {SILENCE_S:g} s", SILENCE_S
    elif at < last:
        yield at, "crash", f"the process ended with {os.waitstatus_to_exitcode(status)}", 0.0


def _wants_processor(child: int) -> bool:
    """Return whether a process could go on if a processor were free."""
    with suppress(OSError):
        state = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
        return state in "RD"
    return False


def _child(loader: Loader, indices: range, box: Path, report: int) -> None:
    """Read the inputs in this process, which then ends without returning."""
    errors = os.fdopen(os.dup(2), "w")
    try:
        watch = _Watch(box)
        _limit(box)
        for index in indices:
            line = json.dumps([index, *_outcome(loader, index, box, watch)])
            os.write(report, line.encode() + b"\n")
    except BaseException:  # of a maker: a fault of the fuzzer, not of what it tests
        traceback.print_exc(file=errors)
        errors.flush()
        os._exit(70)
    os._exit(0)


def _limit(box: Path) -> None:
    """Bound this process's memory, give it folders of its own, and have SIGPROF end an input."""
    for name in ("around", "around/home", "cwd", "cache", "tmp"):
        (box / name).mkdir()
    for name in ("around/up.wav", "around/up", "up.wav", "up", "around/home/.bashrc"):
        (box / name).write_text(_VICTIM)
    os.chdir(box / "cwd")
    os.environ.update(HOME=str(box / "around/home"), NIAH_CACHE=str(box / "cache"))
    tempfile.tempdir = str(box / "tmp")
    statm = Path("/proc/self/statm")
    if statm.is_file():
        pages = int(statm.read_text().split()[0])
        most = pages * resource.getpagesize() + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))

    def too_slow(*_: object) -> None:
        raise _TooSlowError(f"took more than {CPU_S:g} s of processor time")

    signal.signal(signal.SIGPROF, too_slow)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)


def _outcome(loader: Loader, index: int, box: Path, watch: "_Watch") -> tuple[str, str, float]:
    folder = box / "around" / "input"
    folder.mkdir()
    try:
        target = make_input(loader, index, folder)
        watch.own = folder if loader.writes else None
        before = _listing(box, watch.own)
        start, kind, detail = time.process_time(), "accepted", ""
        signal.setitimer(signal.ITIMER_PROF, CPU_S)
        watch.on, watch.seen = True, []
        try:
            loader.read(target)
        except (NiahError, OSError) as error:
            kind = "refused"
            detail = _refusal_fault(error)
        except _TooSlowError as error:
            kind, detail = "slow", f"{error}\n{_where(error)}"
        except _ForbiddenError as error:
            detail = _where(error)
        except BaseException as error:
            kind, detail = (
                "traceback",
                f"{type(error).__name__}: {str(error)[:200]}\n{_where(error)}",
            )
        finally:
            watch.on = False
            signal.setitimer(signal.ITIMER_PROF, 0)
        cpu_s = time.process_time() - start
        if kind == "refused" and detail:
            kind = "traceback"
        if changed := sorted(set(before.items()) ^ set(_listing(box, watch.own).items())):
            kind, detail = "wrote", f"{changed[0][0]}\n{detail}"
        if watch.seen:
            kind, detail = watch.seen[0][0], f"{watch.seen[0][1]}\n{detail}"
        if kind in ("accepted", "refused") and cpu_s > CPU_S:
            kind, detail = "slow", f"took {cpu_s:.1f} s of processor time"
        return kind, detail, cpu_s
    finally:
        watch.on = False
        shutil.rmtree(folder, ignore_errors=True)


def _refusal_fault(error: Exception) -> str:
    """Return what is wrong with a refusal as a message, "" for one that says something."""
    return (
        "" if str(error).strip() else f"{type(error).__name__} without a message\n{_where(error)}"
    )


def _where(error: BaseException) -> str:
    """Return the last lines of a traceback that lie in this repository's package, and the very last."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if f"{os.sep}niah{os.sep}" in frame.filename][-3:]
    places = (f"{_short(f.filename)}:{f.lineno} {f.name}: {f.line}" for f in (*own, *frames[-1:]))
    return "\n".join(dict.fromkeys(places))


def _short(file: str) -> str:
    return str(Path(*Path(file).parts[-3:]))


def _listing(box: Path, own: Path | None) -> dict[str, tuple[int, int]]:
    """Return size and time of everything in the box, but for the cache and the folder that may be written to."""
    free = {box / "cache", box / "tmp", own}
    found: dict[str, tuple[int, int]] = {}
    folders = [box]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                path = Path(entry.path)
                if path in free:
                    continue
                state = entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(path)
                    found[entry.path] = (0, 0)
                else:
                    found[entry.path] = (state.st_size, state.st_mtime_ns)
    return found


def _is_heartbeat(arguments: tuple[Any, ...]) -> bool:
    """Return whether a process is the heartbeat that this package starts beside a run held for a second."""
    command = arguments[1] if len(arguments) > 1 else ()
    return list(command)[:4] == [sys.executable, "-I", "-S", heartbeat.__file__]


class _Watch:
    """An audit hook: notes and stops what must not happen while `on`."""

    def __init__(self, box: Path) -> None:
        self.on = False
        self.own: Path | None = None
        self.seen: list[tuple[str, str]] = []
        self._free = (str(box / "cache"), str(box / "tmp"), os.devnull)
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event in _CONNECTING:
            raise OSError(101, "Network is unreachable")
        kind = ""
        if event in _STARTING:
            kind = "" if _is_heartbeat(arguments) else "started"
        elif event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITING and not self._is_free(path):
                kind = "wrote"
        elif event in _MOVING and not self._is_move_free(event, arguments):
            kind = "wrote"
        if kind:
            self.on = False
            self.seen.append((kind, f"{event} {arguments!r:.300}"))
            raise _ForbiddenError(event)

    def _is_move_free(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event in ("os.remove", "os.rmdir") and arguments[-1] != -1:
            return True  # by a folder's descriptor: a part of shutil.rmtree, which was asked before
        return all(self._is_free(each) for each in arguments[:2] if isinstance(each, str | bytes))

    def _is_free(self, path: object) -> bool:
        if isinstance(path, int):
            return True  # of a file that is open already
        name = os.path.realpath(os.fsdecode(path))  # type: ignore[arg-type]
        own = () if self.own is None else (str(self.own),)
        return any(name == each or name.startswith(each + os.sep) for each in (*self._free, *own))
