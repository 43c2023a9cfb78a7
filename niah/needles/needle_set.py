"""A needle set: clips in a fixed order, with their hashes."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from niah.needles.needle import Needle
from niah.needles.table import NeedleTable
from niah.vocabularies import Vocabulary

MARK_DIGITS = 8


@dataclass(frozen=True)
class NeedleSet:
    """Clips to hide, in their fixed order (`niah.needles.selection`).

    `notes` tells what the loader left out and why; `licence` is to be shown wherever results are. `pinned` is a spec
    that gives the same set again where the user's own may not: a data set of the hub at its commit; else "".
    """

    name: str
    vocabulary: Vocabulary
    needles: Sequence[Needle]
    licence: str
    notes: tuple[str, ...] = ()
    pinned: str = ""

    def __len__(self) -> int:
        return len(self.needles)

    @cached_property
    def ids_sha256(self) -> str:
        """SHA-256 of the newline-joined clip ids in their order."""
        return ids_sha256(self.iterate_ids())

    @cached_property
    def clips_sha256(self) -> str:
        """SHA-256 of the newline-joined sorted clip ids: equal for the same clips in any order."""
        return ids_sha256(sorted(self.iterate_ids()))

    @cached_property
    def groups_sha256(self) -> str:
        """SHA-256 of which clips are of one recording, which intervals resample together, whatever it is called.

        That of the sorted, newline-joined lines `id <tab> first id of its recording`.
        """
        pairs = sorted((needle.id, needle.group) for needle in self.needles)
        first: dict[str, str] = {}
        return ids_sha256(f"{id_}\t{first.setdefault(group, id_)}" for id_, group in pairs)

    def iterate_ids(self) -> Iterator[str]:
        """Iterate over the clips' ids in their order."""
        if isinstance(self.needles, NeedleTable):
            return self.needles.iterate_ids()
        return (needle.id for needle in self.needles)

    def content_sha256(self, digests: Sequence[str]) -> str:
        """Compute the hash of the clips' ids, labels and sounds, in any order.

        SHA-256 of the sorted, newline-joined lines `id <tab> sorted labels joined by commas <tab> digest`.

        Args:
            digests: `source.digest()` of each clip, in the set's order.
        """
        return ids_sha256(sorted(self._lines(digests)))

    def marks(self, digests: Sequence[str]) -> list[str]:
        """Compute a mark of each clip's id, labels and sound: the first 32 bits of its line's SHA-256, hexadecimal.

        Args:
            digests: as for `content_sha256`.
        """
        lines = self._lines(digests)
        return [hashlib.sha256(line.encode()).hexdigest()[:MARK_DIGITS] for line in lines]

    def _lines(self, digests: Sequence[str]) -> Iterator[str]:
        """Yield what is hashed of each clip."""
        pairs = zip(self.needles, digests, strict=True)
        return ("\t".join((n.id, ",".join(sorted(n.labels)), digest)) for n, digest in pairs)

    def targets(self) -> NDArray[np.bool_]:
        """Return (clips, classes) bool, a row a clip in order."""
        return self.vocabulary.targets([needle.labels for needle in self.needles])


def ids_sha256(ids: Iterable[str]) -> str:
    """Compute the SHA-256 (hexadecimal) of the newline-joined ids, UTF-8."""
    digest, between = hashlib.sha256(), b""
    for id_ in ids:  # joined, two million would be a text of tens of megabytes
        digest.update(between + id_.encode())
        between = b"\n"
    return digest.hexdigest()
