"""The share of one process in a run that several processes make together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

from niah.errors import NiahError

SLICE_S = 600.0  # of work: what a process that is killed loses at most
Item = TypeVar("Item")
MOST_SHARDS = 100_000


@dataclass(frozen=True)
class Share:
    """Shard `number` of `count`, from 1; slices of `slice_s` seconds of work.

    A process alone (1 of 1) takes every cell and waits for those that others work on. A shard takes its own cells, then
    those that nobody has claimed, if other shards are in the same directory, and waits for nobody.
    """

    number: int = 1
    count: int = 1
    slice_s: float = SLICE_S

    def __post_init__(self) -> None:
        if not 0.1 <= self.slice_s <= 1e7:
            raise NiahError(f"--slice must be 0.002 to 166666 minutes, got {self.slice_s / 60:g}")

    @classmethod
    def parse(cls, text: str, slice_s: float = SLICE_S) -> Self:
        """Read "3/8".

        Args:
            text: number and count; "" for a process alone.
            slice_s: seconds of work in a slice.

        Raises:
            NiahError: it is no such pair, or the number is not between 1 and the count.
        """
        if not text:
            return cls(slice_s=slice_s)
        number, slash, count = text.partition("/")
        if not (slash and _is_number(number) and _is_number(count)):
            raise NiahError(f"--shard must be a number and a count such as 3/8, got '{text:.40}'")
        if not 1 <= int(number) <= int(count) <= MOST_SHARDS:
            hint = ": shards are counted from 1" if int(number) == 0 else ""
            if int(count) == 0:
                raise NiahError(f"--shard {text}: a run has one shard at least, as in 1/1")
            raise NiahError(
                f"--shard {text}: give 1/{count} to {count}/{count}, at most {MOST_SHARDS} shards{hint}"
            )
        return cls(int(number), int(count), slice_s)

    @property
    def is_shard(self) -> bool:
        """Return whether the process is one of several shards."""
        return self.count > 1

    def own(self, items: Sequence[Item]) -> list[Item]:
        """Return the shard's own items: every `count`-th, so that each has short and long cells."""
        return list(items[self.number - 1 :: self.count])

    def __str__(self) -> str:
        return f"{self.number}/{self.count}" if self.is_shard else ""


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9
