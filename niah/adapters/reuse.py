"""Answers of a network to windows or patches, equal ones computed once.

Hours of one haystack are mostly the same windows, in the scenes of all clips, positions and lengths. A window is known
by a key of its content: the haystack's own (`niah.scenes.lazy.Scene.content`), for which nothing is rendered, or else a
hash of its rendered features. The answers of a loaded model stay in a memory of bounded size, where the least recently
used makes room.

The answer to a window must not depend on its company, or a reused one would differ in its last bits. Every forward pass
therefore has the same number of items: what is missing to fill the last one is copies. `is_steady` tries whether
the place in a batch changes an answer; where it does, nothing is reused.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
Score = Callable[[Array], Array]
"""Items (n, ..) to answers (n, classes), in their order."""
Item = tuple[bytes | None, Callable[[], Array]]
"""A key of the content, None where only its bytes say what it is; and the function that makes it."""

MEMORY_BYTES = 1 << 28  # of answers: 110,000 windows of 527 classes
_DIGEST_BYTES = 16
ENTRY_BYTES = 250  # of a key, its place and the table's own


class AnswerMemory:
    """Answers by the key of what was scored, at most `memory_bytes` of them; the least recently used makes room."""

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self.memory_bytes = memory_bytes
        self._place_of: OrderedDict[bytes, int] = OrderedDict()  # the least recently used first
        self._answers: Array | None = None  # (places, classes)

    def __len__(self) -> int:
        return len(self._place_of)

    def get(self, key: bytes) -> Array | None:
        """Return a view of the answer (classes,), None where there is none."""
        place = self._place_of.get(key)
        if place is None or self._answers is None:
            return None
        self._place_of.move_to_end(key)
        row: Array = self._answers[place]
        return row

    def put(self, key: bytes, answer: Array) -> None:
        """Keep a copy of an answer.

        Args:
            key: of the content.
            answer: (classes,), of the same length and dtype each time.
        """
        if self._answers is None:
            room = max(1, self.memory_bytes // (answer.nbytes + ENTRY_BYTES))
            self._answers = np.empty(
                (room, len(answer)), answer.dtype
            )  # untouched pages cost nothing
        place = self._place_of.pop(key, len(self._place_of))
        if place >= len(self._answers):
            _, place = self._place_of.popitem(last=False)
        self._answers[place] = answer
        self._place_of[key] = place


class ReusingScorer:
    """A network on items one after another, equal ones once.

    Args:
        score: the network, on items of equal size.
        at_once: items in a forward pass; every pass has exactly as many.
        memory: where answers stay; None scores every item anew.
    """

    def __init__(self, score: Score, at_once: int, memory: AnswerMemory | None) -> None:
        self.at_once = at_once
        self.memory = memory
        self.scored = 0  # items that went through the network
        self._score = score

    def __call__(self, items: Iterable[Item]) -> Array:
        """Score items; they are made only where their content is new, or unknown.

        Args:
            items: in the order of the answers, at least one.

        Returns:
            (items, classes), in the dtype of the network's answers.
        """
        answers: list[Array | None] = []
        waiting: dict[object, tuple[Array, list[int]]] = {}  # by key: item, its places
        for place, (key, make) in enumerate(items):
            answers.append(None)
            known: object = place
            made: Array | None = None
            if self.memory is not None:
                if key is None:
                    made = make()
                    key = digest(made)
                if (answer := self.memory.get(key)) is not None:
                    answers[place] = answer.copy()
                    continue
                if key in waiting:
                    waiting[key][1].append(place)
                    continue
                known = key
            waiting[known] = (make() if made is None else made), [place]
            if len(waiting) == self.at_once:
                self._flush(waiting, answers)
        if waiting:
            self._flush(waiting, answers)
        return np.stack([answer for answer in answers if answer is not None])

    def _flush(
        self, waiting: dict[object, tuple[Array, list[int]]], answers: list[Array | None]
    ) -> None:
        """Score the items that wait, and empty their table."""
        items = [item for item, _ in waiting.values()]
        items += items[:1] * (self.at_once - len(items))
        self.scored += len(waiting)
        rows = self._score(np.stack(items))
        for (key, (_, places)), answer in zip(waiting.items(), rows, strict=False):
            for place in places:
                answers[place] = answer
            if self.memory is not None:
                assert isinstance(key, bytes)
                self.memory.put(key, answer)
        waiting.clear()


def is_steady(score: Score, item_shape: tuple[int, ...], at_once: int) -> bool:
    """Try whether the place of an item in a batch changes no bit of its answer.

    Args:
        score: the network.
        item_shape: of one item.
        at_once: items in a forward pass.
    """
    if at_once == 1:
        return True
    generator = np.random.default_rng(0)
    batch = generator.standard_normal((at_once, *item_shape), dtype=np.float32)
    answers = score(batch).tobytes()
    turns = sorted({1, at_once // 2})
    return all(
        np.roll(score(np.roll(batch, turn, axis=0)), -turn, axis=0).tobytes() == answers
        for turn in turns
    )


def digest(rows: Array) -> bytes:
    """Return a hash of the bytes of contiguous rows and of their number."""
    content: Any = rows.data.cast("B")
    key = hashlib.blake2b(content, digest_size=_DIGEST_BYTES, salt=len(rows).to_bytes(8, "little"))
    return key.digest()
