"""Plan of a training that reads its shards from beginning to end: shuffled shards, then a shuffle buffer.

An epoch's clips stand in the order of its shuffled shards, each shard in its own order; under balanced sampling a clip
stands there as often as the epoch draws it. This sequence is cut into streams of equal length, one for each row of a
batch: row j of every batch comes from stream j. So processes and loader workers, which take rows, share the shards
without a repeat.

Within a stream, the clip at place i is used at time i + C u, with u uniform in [0, 1). At any time all clips that are
still to be used are among the last C places that were read: a shuffle buffer of C clips. The clip that is mixed under
another one is drawn from the buffer. As everything is drawn from (seed, epoch) or (seed, step), the content of each
buffer at a step is known, and a run that resumes there reads it again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from niah.needles import NeedleSet
from niah.needles.readers.manifest import PathSources
from niah.needles.readers.shard_cursor import place_in_shard
from niah.needles.table import NeedleTable
from niah.training.data.batch_plan import BatchPlan, BatchPlanner, epoch_order
from niah.training.data.labels import SparseLabels
from niah.training.recipes import Recipe

_EPOCHS, _PARTNERS = (
    1 << 41,
    1 << 42,
)  # parts of the keys of random generators; `BatchPlanner` has 0 and 1 << 40


@dataclass(frozen=True)
class ShardPlan(BatchPlan):
    """A batch of B clips from B streams.

    epochs, streams (B,): place of each row among the streams.
    places (B, 2): of clip and partner in the stream's sequence.
    ends (B,): last place that has been read when the clip is used.
    """

    epochs: NDArray[np.int64]
    streams: NDArray[np.int64]
    places: NDArray[np.int64]
    ends: NDArray[np.int64]


@dataclass(frozen=True)
class EpochStreams:
    """The streams of one epoch, S of them with T clips each.

    Attributes:
        rows: (S, T) clips in the order in which they are read.
        places: (S, T) places in `rows` in the order in which they are used.
        ends: (S, T) last place that has been read by then.
    """

    rows: NDArray[np.int32]
    places: NDArray[np.int32]
    ends: NDArray[np.int32]


@dataclass(frozen=True)
class ShardLayout:
    """Clips in the order in which they stand: `rows[starts[k] : starts[k + 1]]` in shard k."""

    rows: NDArray[np.int32]
    starts: NDArray[np.int64]

    @classmethod
    def of_needles(cls, needles: NeedleSet) -> "ShardLayout":
        """Find the shards of a set's clips; of clips that are files, their folders."""
        table = needles.needles
        if isinstance(table, NeedleTable) and isinstance(table.sources, PathSources):
            by_folder, folders = table.sources.by_folder()
            clip_of_row = np.full(len(by_folder), -1, np.int32)
            clip_of_row[table.order] = np.arange(len(table))
            clips = clip_of_row[by_folder]
            changes = np.flatnonzero(np.diff(folders[clips >= 0])) + 1
            starts = np.concatenate([[0], changes, [len(table)]]).astype(np.int64)
            return cls(clips[clips >= 0], starts)
        places = [place_in_shard(needle.source) for needle in needles.needles]
        rows = sorted(range(len(places)), key=places.__getitem__)
        names = [places[row][0] for row in rows]
        begins = [i for i, name in enumerate(names) if i == 0 or name != names[i - 1]]
        return cls(np.array(rows, np.int32), np.array([*begins, len(rows)], np.int64))

    def shuffled(self, rng: np.random.Generator) -> NDArray[np.int32]:
        """Return all clips, shard after shard in a random order."""
        shards: Sequence[int] = rng.permutation(len(self.starts) - 1).tolist()
        parts = [self.rows[self.starts[k] : self.starts[k + 1]] for k in shards]
        return np.concatenate(parts)


class ShardPlanner(BatchPlanner):
    """All steps of a training on shards: `planner[n]` is the n-th, counted over all epochs."""

    def __init__(
        self, recipe: Recipe, labels: SparseLabels, layout: ShardLayout, *, frames: int, mels: int
    ) -> None:
        super().__init__(recipe, labels, frames=frames, mels=mels)
        self._layout = layout
        self._streams: tuple[int, EpochStreams | None] = (-1, None)
        self.n_streams = min(recipe.batch_size, len(labels))
        self.buffer_clips = max(1, recipe.shuffle_buffer // self.n_streams)  # of one stream

    def __getitem__(self, step: int) -> ShardPlan:
        plan = super().__getitem__(step)
        epoch, batch = divmod(step, self.per_epoch)
        streams = self.epoch_streams(epoch)
        own, ends = streams.places[:, batch], streams.ends[:, batch]
        rng = np.random.Generator(np.random.Philox(key=[self._recipe.seed, _PARTNERS + step]))
        oldest = np.maximum(0, ends - self.buffer_clips + 1)
        drawn = oldest + np.floor(rng.random(len(own)) * (ends - oldest + 1)).astype(np.int64)
        partners = np.where(plan.weights < 1, drawn, own)
        numbers = np.arange(self.n_streams)
        return ShardPlan(
            **{**vars(plan), "partners": streams.rows[numbers, partners].astype(np.int64)},
            epochs=np.full(self.n_streams, epoch),
            streams=numbers,
            places=np.stack([own, partners], axis=1).astype(np.int64),
            ends=ends.astype(np.int64),
        )

    def epoch_streams(self, epoch: int) -> EpochStreams:
        """Return the streams of an epoch, drawn from (seed, epoch) alone."""
        if self._streams[0] != epoch or self._streams[1] is None:
            self._streams = epoch, self._drawn_streams(epoch)
        streams = self._streams[1]
        assert streams is not None
        return streams

    def _rows(self, epoch: int, batch: int) -> NDArray[np.int64]:
        streams = self.epoch_streams(epoch)
        return streams.rows[np.arange(self.n_streams), streams.places[:, batch]].astype(np.int64)

    def _drawn_streams(self, epoch: int) -> EpochStreams:
        rng = np.random.Generator(np.random.Philox(key=[self._recipe.seed, _EPOCHS + epoch]))
        rows = self._layout.shuffled(rng)
        if self._chances is not None:
            drawn = epoch_order(len(rows), self._recipe.seed, epoch, self._chances)
            rows = np.repeat(rows, np.bincount(drawn, minlength=len(rows))[rows])
        rows = rows[: self.n_streams * self.per_epoch].reshape(self.n_streams, self.per_epoch)
        times = np.arange(self.per_epoch) + self.buffer_clips * rng.random(rows.shape)
        places = np.argsort(times, axis=1)
        read = np.floor(np.take_along_axis(times, places, axis=1))
        ends = np.minimum(read, np.minimum(places + self.buffer_clips, self.per_epoch) - 1)
        return EpochStreams(rows, places.astype(np.int32), ends.astype(np.int32))
