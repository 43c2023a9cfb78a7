"""Work that is shared out to processes, where its small steps would keep threads waiting for the interpreter's lock.

Work is a generator function of this package that yields one result an item. Its processes are none of
`multiprocessing`, which would import the user's script again. What a process does not give, because it cannot be
started or ends early, is computed here, where its error is raised.
"""

import importlib
import os
import pickle
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Generic, Protocol, TypeVar

from niah.system.memory_limit import usable_bytes
from niah.system.numpy_threads import cores
from niah.system.parent import end_with
from niah.system.progress import progress_bar
from niah.system.python_command import python_command

PATIENCE_S = 3.0  # of work here, before any is shared out
WORTH_S = 5.0  # of work left: a process takes one to start
MEMORY_SHARE = 8  # all processes take at most this part of the memory
_LOOK_EVERY_S = 0.05
_LENGTH = struct.Struct("<Q")  # of a pickle, before it

Shared_contra = TypeVar("Shared_contra", contravariant=True)
Item_contra = TypeVar("Item_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)
Shared = TypeVar("Shared")
Item = TypeVar("Item")
Result = TypeVar("Result")


class Work(Protocol[Shared_contra, Item_contra, Result_co]):
    """A generator function at the top of a module; its arguments and results can be pickled."""

    def __call__(
        self, shared: Shared_contra, items: Sequence[Item_contra], /
    ) -> Iterator[Result_co]:
        """Yield one result an item, in order."""


def shared_out(
    work: Work[Shared, Item, Result], shared: Shared, items: Sequence[Item], title: str
) -> list[Result]:
    """Compute the result of each item, in order; long work is shared out to processes, by cores and memory.

    Args:
        work: begins in this process; the rest is shared out once a few seconds are spent and more are left.
        shared: first argument of all of them.
        items: the others.
        title: of the progress bar.

    Raises:
        NiahError: what `work` raises.
    """
    results: list[Result] = []
    began = time.monotonic()
    for result in work(shared, items):
        results.append(result)
        spent_s, left = time.monotonic() - began, len(items) - len(results)
        if spent_s > PATIENCE_S and spent_s / len(results) * left > WORTH_S:
            break
    rest = items[len(results) :]
    if not rest:
        return results
    with progress_bar() as bar, beside(work, shared, rest, _processes()) as wait:
        task = bar.add_task(title, total=len(items), completed=len(results), detail="")
        return results + wait(lambda count: bar.advance(task, count))


def _processes() -> int:
    """Return the number of processes, each as large as this one has become; 0 where there is no use in any."""
    scale = 1 if sys.platform == "darwin" else 1024
    own_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
    count = min(cores(), usable_bytes() // MEMORY_SHARE // own_bytes)
    return count if count > 1 else 0


@contextmanager
def beside(
    work: Work[Shared, Item, Result], shared: Shared, items: Sequence[Item], processes: int
) -> Iterator[Callable[[Callable[[int], object]], list[Result]]]:
    """Do work in processes beside the block, each with its part of the items.

    Args:
        work: what to do.
        shared: first argument of all of them.
        items: the others.
        processes: at most as many as there are items; 0 to do it here, when its results are waited for.

    Yields:
        A function that waits for the results and returns them in order. It takes a function, which it calls with the
        number of results that have come.
    """
    count = max(1, min(processes, len(items)))
    bounds = [len(items) * number // count for number in range(count + 1)]
    parts = [items[low:high] for low, high in pairwise(bounds)]
    with ExitStack() as stack:
        started: list[_Process[Shared, Item, Result]] = []
        if processes and items:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            for number, part in enumerate(parts):
                started.append(_Process(work, shared, part, folder / str(number)))
                stack.callback(started[-1].end)

        def wait(advance: Callable[[int], object]) -> list[Result]:
            while any(each.is_running() for each in started):
                advance(sum(each.take() for each in started))
                time.sleep(_LOOK_EVERY_S)
            for each in started:
                advance(each.take())
            results: list[Result] = []
            for number, part in enumerate(parts):
                come = started[number].results if started else []
                results += come
                for result in work(shared, part[len(come) :]):
                    results.append(result)
                    advance(1)
            return results

        yield wait


@dataclass
class _Process(Generic[Shared, Item, Result]):
    """A process with its part of the items, and what it has given so far."""

    work: Work[Shared, Item, Result]
    shared: Shared
    items: Sequence[Item]
    file: Path
    results: list[Result] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        order = self.file.with_suffix(".order")
        order.write_bytes(pickle.dumps((self.shared, self.items)))
        name = str(os.getpid()), self.work.__module__, self.work.__name__  # type: ignore[attr-defined]  # a function
        with (
            order.open("rb") as stdin,
            self.file.open("wb") as stdout,
            suppress(OSError),  # no process can be started
        ):
            self._process = subprocess.Popen(
                python_command(__name__, *name),
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        self._stream: BinaryIO = self.file.open("rb")

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def take(self) -> int:
        """Read the results that have come since the last time, and return their number."""
        count = 0
        while True:
            begin = self._stream.tell()
            length = self._stream.read(_LENGTH.size)
            size = _LENGTH.unpack(length)[0] if len(length) == _LENGTH.size else 0
            content = self._stream.read(size)
            if not size or len(content) < size:
                self._stream.seek(begin)
                return count
            self.results.append(pickle.loads(content))
            count += 1

    def end(self) -> None:
        self._stream.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def main() -> None:
    """Do the work that the arguments name with what standard input has; write the results to standard output."""
    parent, module, name = sys.argv[1:]
    end_with(int(parent))
    work = getattr(importlib.import_module(module), name)
    shared, items = pickle.load(sys.stdin.buffer)
    out, sys.stdout = sys.stdout.buffer, sys.stderr  # what work prints is no result
    for result in work(shared, items):
        content = pickle.dumps(result)
        out.write(_LENGTH.pack(len(content)) + content)
        out.flush()


if __name__ == "__main__":
    main()
