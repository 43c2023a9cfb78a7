"""Claims on units of work in a run directory, so that processes on many machines share a run without double work.

    claims/<unit>.<attempt>.json   one an attempt: who, and whether it is working, done, released or given up

An attempt's file is created by exactly one process (`niah.system.atomic.create_json`), and only its creator changes it.
A unit is free when its last attempt was released, or when its worker is dead: the next process creates the next number.
A unit whose workers died `MOST_DEATHS` times is not tried again.

A claim only saves work: results are written whole, under a name that is the hash of all that determines them, so two
processes that score the same unit (after a network was split in two, say) write the same thing twice.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from niah.errors import NiahError
from niah.records.workers import Membership, stale_s
from niah.system import atomic

FOLDER = "claims"
MOST_DEATHS = 3
WORKING, DONE, RELEASED, GIVEN_UP = "working", "done", "released", "given up"
COORDINATOR, LEAVING = "coordinator", "leaving"
_TRIES = 5


@dataclass(frozen=True)
class Attempt:
    """One attempt at a unit: by which worker, and how far it is."""

    unit: str
    number: int
    worker: str
    where: str  # host:pid
    state: str = WORKING
    title: str = ""


@dataclass(frozen=True)
class Refusal:
    """The reason why a unit cannot be claimed: another worker has it (`by`), or it is done."""

    is_done: bool
    by: str = ""

    def __enter__(self) -> "Refusal":
        return self

    def __exit__(self, *error: object) -> None:
        pass


@dataclass
class Claim:
    """A unit that this process works on; `deaths` are the earlier workers that died at it, host:pid each."""

    claims: "Claims"
    attempt: Attempt
    deaths: tuple[str, ...]
    state: str = WORKING

    @property
    def is_hopeless(self) -> bool:
        """Return whether the unit killed its worker so often that it is not tried again."""
        return len(self.deaths) >= MOST_DEATHS

    def done(self) -> None:
        """Mark the unit as done, or as given up: its results, or the reason why there are none, are stored."""
        self._mark(GIVEN_UP if self.is_hopeless else DONE)

    def release(self) -> None:
        """Give the unit back unless it is done: another process, or the next run, takes it."""
        if self.state == WORKING:
            with suppress(NiahError):
                self._mark(RELEASED)

    def __enter__(self) -> "Claim":
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

    def _mark(self, state: str) -> None:
        self.state = state
        attempt = self.attempt
        content = {**vars(attempt), "state": state}
        atomic.replace_json(self.claims.file(attempt.unit, attempt.number), content)


class Claims:
    """The claims of one run directory, as one of its workers sees and makes them."""

    def __init__(self, run: Path, me: Membership) -> None:
        self.folder = run / FOLDER
        self.me = me
        with atomic.one_line_os_errors(run):
            self.folder.mkdir(exist_ok=True)

    def file(self, unit: str, number: int) -> Path:
        """Return the file of an attempt."""
        return self.folder / f"{unit}.{number}.json"

    def claim(
        self, unit: str, title: str = "", is_stored: Callable[[], bool] = lambda: True
    ) -> Claim | Refusal:
        """Claim a unit of work.

        Args:
            unit: name of the unit, fit for a file name.
            title: of the unit, for people.
            is_stored: whether the results of a unit that was done are there; else it is free again.

        Returns:
            The claim, or the reason why another worker has the unit.

        Raises:
            NiahError: the folder cannot be written to.
        """
        deaths: list[str] = []
        number = 1
        while True:
            last = read_attempt(self.file(unit, number))
            if last is None:
                mine = Attempt(unit, number, self.me.name, self.me.where, WORKING, title)
                if self._create(self.file(unit, number), mine):
                    return Claim(self, mine, tuple(deaths))
                last = read_attempt(self.file(unit, number))
                if last is None:  # removed meanwhile, by the last of the other workers
                    continue
            if last.state in (DONE, GIVEN_UP) and is_stored():
                return Refusal(is_done=True, by=last.where)
            if last.state == WORKING:
                if self._is_alive(last):
                    return Refusal(is_done=False, by=last.where)
                deaths.append(last.where)
            number += 1

    def is_done(self, unit: str) -> bool:
        """Return whether the unit was done while there have been workers without a break."""
        last = self._last(unit)
        return last is not None and last.state in (DONE, GIVEN_UP)

    def is_busy(self, unit: str) -> bool:
        """Return whether a worker that is alive has claimed the unit."""
        last = self._last(unit)
        return last is not None and last.state == WORKING and self._is_alive(last)

    def _last(self, unit: str) -> Attempt | None:
        number, last = 1, None
        while (attempt := read_attempt(self.file(unit, number))) is not None:
            number, last = number + 1, attempt
        return last

    def _is_alive(self, attempt: Attempt) -> bool:
        if attempt.worker:
            return self.me.is_alive(attempt.worker)
        with suppress(OSError):  # unreadable: a server that does not answer, or torn by a power cut
            changed = self.file(attempt.unit, attempt.number).stat().st_mtime
            return abs(self.me.clock() - changed) <= stale_s()
        return True

    def _create(self, file: Path, attempt: Attempt) -> bool:
        for tries in range(_TRIES):
            with atomic.one_line_os_errors(self.folder.parent):
                self.folder.mkdir(exist_ok=True)
            try:
                return atomic.create_json(file, vars(attempt))
            except NiahError as error:  # the last of the others has removed the empty folder
                if tries == _TRIES - 1 or not isinstance(error.__cause__, FileNotFoundError):
                    raise
        raise AssertionError("unreachable")

    @contextmanager
    def coordinating(self, *, wait: bool) -> Iterator[bool]:
        """Be the one worker that writes cells.csv and run.json, for a while.

        Args:
            wait: wait while another worker is; else yield False.
        """
        with self._alone(COORDINATOR, wait=wait) as mine:
            yield mine

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """Leave as the only worker: of two that do so at once, each would see the other, and neither be the last.

        It is not `coordinating`, which lasts as long as the metrics of a whole run are computed.
        """
        with self._alone(LEAVING, wait=True):
            yield

    @contextmanager
    def _alone(self, what: str, *, wait: bool) -> Iterator[bool]:
        file = self.folder / f"{what}.json"
        while not (mine := self._begin(what, file)) and wait:
            time.sleep(0.05)
        try:
            yield mine
        finally:
            if mine:
                with suppress(OSError):
                    file.unlink(missing_ok=True)

    def _begin(self, what: str, file: Path) -> bool:
        mine = Attempt(what, 0, self.me.name, self.me.where)
        if self._create(file, mine):
            return True
        last = read_attempt(file)
        if last is None or self._is_alive(last):
            return False
        # it is dead: set its file aside, unless another worker has done so and begun meanwhile
        aside = self.folder / f".{what}.{self.me.name}{atomic.SUFFIX}"
        try:
            file.rename(aside)
            if (moved := read_attempt(aside)) is not None and moved.worker != last.worker:
                aside.rename(file)
                return False
            aside.unlink(missing_ok=True)
        except OSError:
            return False
        return self._create(file, mine)

    def attempts(self) -> dict[str, list[Attempt]]:
        """Return every unit's attempts, the first one first."""
        return read_attempts(self.folder.parent)

    def clear(self, *, at_end: bool) -> None:
        """Remove the claims of units that are done or free, where no other worker is alive.

        Those of dead workers stay, so that their number is known when the unit is tried again.

        Args:
            at_end: of an orderly run, after which units that were given up are tried again.
        """
        stays = (WORKING,) if at_end else (WORKING, GIVEN_UP)
        for attempts in self.attempts().values():
            if attempts[-1].state not in stays:
                for each in attempts:
                    with suppress(OSError):
                        self.file(each.unit, each.number).unlink(missing_ok=True)

    def leave(self) -> None:
        """Remove the folder if it is empty."""
        with suppress(OSError):
            self.folder.rmdir()


def read_attempts(run: Path) -> dict[str, list[Attempt]]:
    """Return the attempts at every unit of a run, the first one first.

    Args:
        run: run directory.
    """
    by_unit: dict[str, list[Attempt]] = {}
    for file in sorted((run / FOLDER).glob("[!.]*.*[0-9].json")):
        if (attempt := read_attempt(file)) is not None:
            by_unit.setdefault(attempt.unit, []).append(attempt)
    return {unit: sorted(each, key=lambda a: a.number) for unit, each in by_unit.items()}


def read_attempt(file: Path) -> Attempt | None:
    """Return the attempt of a file; None where there is none. One that cannot be read is nobody's, and working."""
    try:
        content = json.loads(file.read_bytes())
        return Attempt(
            str(content["unit"]),
            int(content["number"]),
            str(content["worker"]),
            str(content["where"]),
            str(content["state"]),
            str(content["title"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError):
        unit, _, number = file.stem.rpartition(".")
        return Attempt(unit or file.stem, int(number) if number.isdigit() else 0, "", "?")
