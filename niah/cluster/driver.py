"""The driver of a run on a cluster: it hands out tasks, the longest first, and completes the run directory.

At most two tasks a worker are in flight, so that few are blamed when a worker dies, and a worker that joins late finds
work. An answer is taken when it comes: one error loses nothing else. What the driver knows is in the run directory too,
so a driver that is killed is replaced by the same command.
"""

import heapq
import math
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import Progress

from niah.cluster.spec import ClusterSpec
from niah.cluster.tasks import Answer, Task, leave, score
from niah.cluster.workers import cluster_notes, connected, refused_job
from niah.errors import NiahError
from niah.records.run_directory import RunDirectory
from niah.records.summarise import summarise
from niah.sweep.evaluator import ModelEvaluator
from niah.sweep.loop import Group, SweepResult, open_run, together
from niah.sweep.options import RunOptions
from niah.sweep.planned import announce, settle
from niah.sweep.setup import EvalSetup
from niah.sweep.share import Share
from niah.system.progress import progress_bar
from niah.version import __version__

if TYPE_CHECKING:
    from distributed import Client, Future

Note = Callable[[str], None]
IN_FLIGHT = 2  # tasks a worker
MOST_TRIES = 8  # of a task whose worker died, or that could not write
PAUSE_S = 2.0  # before such a task, or one that another process works on, is tried again; doubled each time
LONGEST_PAUSE_S = 60.0
LOST_S = 120.0  # without a scheduler after which the driver gives up
ALONE_S = 30.0  # without a worker after which the driver says so
_LOOK_S = 0.05
_PUBLISH_S = 10.0


def sweep_on_cluster(
    parts: Iterable[RunOptions], spec: ClusterSpec, share: Share, note: Note = lambda _: None
) -> list[SweepResult]:
    """Run, resume or amend a run directory by the workers of a cluster.

    Args:
        parts: options of each part of the run.
        spec: the cluster.
        share: how long slices are.
        note: called with each note for the user.

    Raises:
        NiahError: anything wrong in the options or with the cluster. A failed cell is a row with the reason instead.
    """
    slice_s = min(share.slice_s, spec.longest_slice_s or share.slice_s)
    results = []
    with connected(spec) as client:
        for text in cluster_notes(client, spec):
            note(text)
        for part in parts:
            setup = EvalSetup(part)
            for text in setup.notes:
                note(text)
            with open_run(setup, note) as directory:
                try:
                    _Driver(client, setup, directory, slice_s, note).run()
                finally:
                    for text in summarise(directory):
                        note(text)
                    _dismiss(client, directory)
                results.append(SweepResult(directory.cells()))
    return results


def _dismiss(client: "Client", directory: RunDirectory) -> None:
    """Have the workers leave the run, so that nothing of them stays in its folder."""
    try:
        client.run(leave, str(directory.path.absolute()), on_error="ignore")
    except Exception as error:  # a cluster that is gone has left
        del error


@dataclass
class _Driver:
    """The state of one run."""

    client: "Client"
    setup: EvalSetup
    directory: RunDirectory
    slice_s: float
    note: Note
    waiting: deque[Task] = field(default_factory=deque)
    later: list[tuple[float, int, Task]] = field(
        default_factory=list
    )  # heap by the time to try again
    flying: dict["Future[Answer]", Task] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    slices_left: dict[Group, int] = field(default_factory=dict)
    failures: int = 0
    clips: int = 0
    alone_since: float = field(default_factory=time.monotonic)
    versions: set[str] = field(default_factory=lambda: {__version__})  # of niah, seen so far
    name: str = field(default_factory=lambda: uuid.uuid4().hex)

    def run(self) -> None:
        """Hand out every cell that is not stored, until all are."""
        from distributed import as_completed

        groups = self._todo()
        # relative paths mean the driver's folder, on every machine that shares it
        options = replace(self.setup.options, out=self.setup.options.out.absolute())
        self.options = replace(options, objects=self.setup.options.objects)
        self.waiting = deque(self._task(group) for group in groups)
        self.completed = as_completed(loop=self.client.loop)
        began, published, lost_since = time.monotonic(), 0.0, 0.0
        with progress_bar() as self.bar:
            total = sum(_audio_s(group) for group in groups)
            self.row = self.bar.add_task("cluster", total=total, detail="")
            while self.waiting or self.later or self.flying:
                self._submit()
                if self.completed.has_ready():
                    for future in self.completed.next_batch(block=False):
                        self._take(future)
                    continue
                lost_since = self._check_connection(lost_since)
                self._check_jobs()
                if time.monotonic() - published > _PUBLISH_S:
                    self.directory.publish()
                    published = time.monotonic()
                    self._show(self.bar, began)
                time.sleep(_LOOK_S)
        settle(self.directory)

    def _todo(self) -> list[Group]:
        """Return the groups with cells that are not stored, the longest first; bases lead among equals."""
        done = self.directory.completed()
        options = self.setup.options
        cells = self.setup.cells()
        todo: list[Group] = []
        for loaded in self.setup.loaded():
            model = ModelEvaluator(options, loaded, self.setup.device)
            mine = [group for group in together(cells) if group[0].model == loaded.name]
            for group in mine:
                left = tuple(cell for cell in group if model.key(cell) not in done)
                if left and not model.leaves_out(left[0]):
                    todo.append(left)
        assert self.directory.me is not None
        announce(self.setup, self.directory, cells)
        self.directory.me.report(cell="hands out work")
        return sorted(todo, key=_audio_s, reverse=True)

    def _task(self, group: Group, part: int | None = None) -> Task:
        return Task(self.options, str(Path.cwd()), self.name, group, self.slice_s, part)

    def _submit(self) -> None:
        """Fill the workers' queues."""
        now = time.monotonic()
        while self.later and self.later[0][0] <= now:
            self.waiting.appendleft(heapq.heappop(self.later)[2])
        if not self.waiting or self.client.status != "running":
            return
        room = IN_FLIGHT * max(1, self._workers()) - len(self.flying)
        for _ in range(min(room, len(self.waiting))):
            if self.client.status != "running":  # lost meanwhile
                return
            task = self.waiting.popleft()
            future = self.client.submit(score, task, pure=False, retries=0)
            self.flying[future] = task
            self.completed.add(future)

    def _workers(self) -> int:
        known = self.client.scheduler_info(n_workers=-1)  # without a scheduler nothing is known
        return len(known.get("workers", {}))

    def _take(self, future: "Future[Answer]") -> None:
        """Take one answer, or the reason why there is none."""
        task = self.flying.pop(future)
        try:
            answer = future.result()
        except Exception as error:
            if future.status == "error":  # the task's own
                self._failed(task, error)
            else:  # the scheduler went before the task was done, or while its answer was on the way
                self._again(task, f"its scheduler was lost ({type(error).__name__})")
        else:
            self._answered(task, answer)
        future.release()

    def _answered(self, task: Task, answer: Answer) -> None:
        self.tries.pop(str(task), None)
        self._note_version(answer)
        self.clips += answer.clips
        if answer.slices:
            self.slices_left[task.cells] = answer.slices
            self.waiting.extendleft(
                self._task(task.cells, part) for part in reversed(range(answer.slices))
            )
            return
        if answer.waits_for:
            self._again(task, f"process {answer.waits_for[0]} has it", is_failure=False)
            return
        for problem in answer.problems:
            self.failures += 1
            self.note(problem)
        share = _audio_s(task.cells)
        if task.part is not None:
            share /= self.slices_left[task.cells]
        self.bar.advance(self.row, share)

    def _failed(self, task: Task, error: Exception) -> None:
        """Try again what a worker died at, or could not write; its claim counts the deaths.

        Raises:
            NiahError: the task has failed too often, or for a reason that does not pass.
        """
        from distributed import KilledWorker

        if isinstance(error, KilledWorker):
            self._again(task, "its workers died")
        elif isinstance(error, NiahError):
            self._again(task, str(error))
        else:
            raise NiahError(f"{task}: {type(error).__name__}: {error}") from error

    def _again(self, task: Task, reason: str, *, is_failure: bool = True) -> None:
        count = self.tries[str(task)] = self.tries.get(str(task), 0) + 1
        if is_failure and count > MOST_TRIES:
            raise NiahError(f"{task}: {reason}")
        pause_s = min(PAUSE_S * 2 ** (count - 1), LONGEST_PAUSE_S)
        heapq.heappush(self.later, (time.monotonic() + pause_s, id(task), task))

    def _check_connection(self, lost_since: float) -> float:
        """Return since when the scheduler has been gone, 0 while it is there.

        Raises:
            NiahError: it has been gone too long.
        """
        if self.client.status == "running":
            return 0.0
        lost_since = lost_since or time.monotonic()
        if self.client.status == "closed" or time.monotonic() - lost_since > LOST_S:
            raise NiahError(
                "the dask scheduler is gone: start it and give the same command again, which goes on from what is "
                "finished"
            )
        return lost_since

    def _check_jobs(self) -> None:
        """Check that there is a worker, or may be one.

        Raises:
            NiahError: there is none, and the batch system takes no job.
        """
        workers = self._workers()
        if (problem := refused_job(self.client)) and not workers:
            raise NiahError(problem)
        now = time.monotonic()
        if workers:
            self.alone_since = now
        elif now - self.alone_since > ALONE_S:
            self.note(
                "the cluster has no worker: waiting for one (the log of a worker, or of its job, says why)"
            )
            self.alone_since = math.inf  # once, until one has been there

    def _note_version(self, answer: Answer) -> None:
        """Note a worker with another niah than this: its rows stand beside others, and their keys may differ."""
        version = getattr(answer, "version", "an earlier version")
        if version not in self.versions:
            self.versions.add(version)
            self.note(
                f"a worker has niah {version}, this is {__version__}: install the same everywhere"
            )

    def _show(self, bar: Progress, began: float) -> None:
        rate = self.clips / max(1e-9, time.monotonic() - began)
        parts = [f"{rate:.3g} clips/s", f"{self._workers()} workers"]
        parts += [f"{self.failures} failed"] if self.failures else []
        bar.update(self.row, detail=", ".join(parts))


def _audio_s(group: Group) -> float:
    return group[0].length_s
