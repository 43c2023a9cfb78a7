"""One process among those that write to a run: its membership, its claims, and who writes the common files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from niah.errors import NiahError
from niah.records.claims import Claims
from niah.records.workers import Membership, Worker
from niah.system import atomic


class Participant:
    """This process's part in a run.

    Attributes:
        me: its membership.
        claims: on cells, and on the common files.
        is_coordinator: whether it writes the common files now.
    """

    def __init__(self, run: Path) -> None:
        """Join the processes of a run; the first one removes what killed ones have left.

        Args:
            run: the run's folder.

        Raises:
            NiahError: the folder cannot be written to.
        """
        self.run = run
        self.me = Membership(run)
        self.is_coordinator = False
        try:
            self.claims = Claims(run, self.me)
            if not self.me.others():
                with atomic.one_line_os_errors(run):
                    atomic.remove_leftovers(run, before=self.me.joined_s)
                self.claims.clear(at_end=False)
        except BaseException:
            with suppress(OSError):
                self.me.leave()
            raise

    def others(self) -> list[Worker]:
        """Return the other processes that are writing to this run."""
        return self.me.others()

    @contextmanager
    def coordinating(self, *, wait: bool) -> Iterator[bool]:
        """Be the one process that writes the common files, for a while.

        Args:
            wait: wait while another one is; else yield False then.
        """
        if self.is_coordinator:
            yield True
            return
        with self.claims.coordinating(wait=wait) as mine:
            self.is_coordinator = mine
            try:
                yield mine
            finally:
                self.is_coordinator = False

    def leave(self, at_end: Callable[[], None]) -> None:
        """Leave the run to other processes; where there are none, remove what all have left for each other.

        Args:
            at_end: called before that.
        """
        with suppress(OSError, NiahError):
            with self.claims.leaving():
                self._clear_if_last(at_end)
                self.me.leave()
            self.claims.leave()
        with suppress(OSError):
            self.me.leave()

    def _clear_if_last(self, at_end: Callable[[], None]) -> None:
        # listed first: what comes later is of a process that joins meanwhile
        now, files = self.me.clock(), list(self.me.folder.glob("*"))
        if self.me.others():
            return
        at_end()
        atomic.remove_leftovers(self.run, before=now)
        self.claims.clear(at_end=True)
        for file in files:
            file.unlink(missing_ok=True)
