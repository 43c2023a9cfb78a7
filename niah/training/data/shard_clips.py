"""Clips that are read from shards, each shard from beginning to end, through a shuffle buffer a stream.

`niah.training.data.shard_plan` says which clips are in each buffer at each step. Buffers hold the sounds as they are
stored, some hundred kB a clip, and a sound is decoded when it is used.

A first pass over all clips would read terabytes, so there is none: a clip that cannot be read is replaced, when it is
met, by the nearest one before it in the buffer, or after it there, or else of the stream around the buffer, and named.
This too follows from the shards alone, so that a training that resumes, and any number of workers, does the same.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.audio import AudioError
from niah.errors import NiahError
from niah.frontends import Frontend
from niah.needles import NeedleSet
from niah.needles.needle import Source
from niah.needles.readers.shard_cursor import ShardCursor
from niah.training.data.augmentation import Samples, mix_targets, mixup_waveforms, move_waveform
from niah.training.data.batch import Batch, log_mel_of_sounds
from niah.training.data.batch_plan import OWN, PARTNER
from niah.training.data.labels import SparseLabels
from niah.training.data.reading import decode_samples, read_samples
from niah.training.data.shard_plan import ShardPlan, ShardPlanner

_LEAST_USED = 100  # clips, before a share of bad ones is judged
_SHOWN = 20
_MOST_BESIDE = (
    50  # clips on each side of a buffer without a readable one that are tried in its place
)


@dataclass(frozen=True)
class _Stored:
    """A sound as it is stored; `content` is the source itself where it is in no shard, or the reason of a failure."""

    row: int
    content: "bytes | Source | AudioError"


class ShuffleBuffer:
    """The last clips that were read of one stream."""

    def __init__(self, needles: NeedleSet, rows: NDArray[np.int32], size: int) -> None:
        """Begin with an empty buffer.

        Args:
            needles: all clips.
            rows: (clips of the stream,) in the order in which they are read.
            size: clips in it.
        """
        self._needles, self._rows, self._size = needles, rows, size
        self._cursor = ShardCursor()
        self._waiting: deque[_Stored] = deque(maxlen=size)
        self._read = 0  # places below this have been read

    def read_to(self, end: int) -> None:
        """Read so far that the clip at place `end` is the last one in the buffer, or further on than that already.

        Args:
            end: place; after a resumed start, the places before it that belong in the buffer are read too.
        """
        oldest = max(0, end - self._size + 1)
        if oldest > self._read or end < self._read - 1:
            self._waiting.clear()
            self._read = oldest
        while self._read <= end:
            self._waiting.append(self._stored(int(self._rows[self._read])))
            self._read += 1

    def candidates(self, place: int) -> Iterator[_Stored]:
        """Yield the clip at a place, and then those to try in its stead, of a buffer that has read as far.

        Args:
            place: in the buffer.
        """
        first = self._read - len(self._waiting)
        for near in (*range(place, first - 1, -1), *range(place + 1, self._read)):
            yield self._waiting[near - first]
        before = range(first - 1, max(-1, first - 1 - _MOST_BESIDE), -1)
        after = range(self._read, min(self._read + _MOST_BESIDE, len(self._rows)))
        with closing(ShardCursor()) as cursor:  # the buffer's own stays where it reads
            for beside in (*before, *after):
                yield self._read_by(cursor, int(self._rows[beside]))

    def close(self) -> None:
        """Close the shard that is open."""
        self._cursor.close()

    def _stored(self, row: int) -> _Stored:
        if self._waiting and self._waiting[-1].row == row:
            return self._waiting[-1]  # drawn more than once
        return self._read_by(self._cursor, row)

    def _read_by(self, cursor: ShardCursor, row: int) -> _Stored:
        try:
            return _Stored(row, cursor.read(self._needles.needles[row].source))
        except AudioError as error:
            return _Stored(row, error)


@dataclass
class BadClips:
    """Clips of a training that could not be read, counted and named as they are met."""

    largest_share: float
    note: Callable[[str], None]
    _used: int = 0
    _reasons: dict[str, int] = field(default_factory=dict)

    def add(self, batch: Batch) -> None:
        """Count a batch.

        Raises:
            NiahError: too large a share of the clips could not be read.
        """
        self._used += len(batch.targets)
        for reason in batch.problems:
            if reason not in self._reasons and len(self._reasons) < _SHOWN:
                self.note(f"{reason}; another clip is used in its place")
            self._reasons[reason] = self._reasons.get(reason, 0) + 1
        bad = sum(self._reasons.values())
        is_judged = not self.largest_share or self._used >= _LEAST_USED
        if is_judged and bad > self.largest_share * self._used:
            first = next(iter(self._reasons))
            raise NiahError(
                f"{bad} of {self._used} clips could not be used, the first: {first}. Mend or remove them, or allow "
                "more with --max-excluded SHARE"
            )


@dataclass(frozen=True)
class ShardClips:
    """The clips of shards; mixup, shift and level on the waveform, as `SoundClips`.

    Attributes:
        needles: all clips.
        frontend: of the network.
        labels: of all clips.
        planner: plans the steps.
        bad: counts the clips that cannot be read.
        on_device: leave the filter bank to the training process's device.
    """

    needles: NeedleSet
    frontend: Frontend
    labels: SparseLabels
    planner: ShardPlanner
    bad: BadClips
    on_device: bool = False
    _buffers: dict[int, tuple[int, ShuffleBuffer]] = field(default_factory=dict, compare=False)

    def __len__(self) -> int:
        return len(self.needles)

    def batch(self, plan: ShardPlan) -> Batch:
        """Return the clips of a step, mixed and moved as sound.

        Features are computed clip by clip, so that they do not depend on which clips are computed together.
        """
        problems: dict[str, None] = {}
        rows, partners = plan.rows.copy(), plan.partners.copy()
        sounds: list[Samples] = []
        longest = self.frontend.samples(self.frontend.needle_frames)
        for index in range(len(plan)):
            buffer = self._buffer(plan, index)
            buffer.read_to(int(plan.ends[index]))
            rows[index], own = self._moved(buffer, plan, index, OWN, problems)
            partners[index] = rows[index]
            if plan.weights[index] < 1:
                partners[index], partner = self._moved(buffer, plan, index, PARTNER, problems)
                sound = mixup_waveforms(own, partner, float(plan.weights[index]))
            else:
                sound = np.asarray(own - own.mean(), np.float32)
            sounds.append(sound[:longest])
        targets = mix_targets(
            torch.from_numpy(self.labels.targets(rows)),
            torch.from_numpy(self.labels.targets(partners)),
            torch.from_numpy(plan.weights),
        )
        samples = tuple(len(sound) for sound in sounds)
        used = replace(plan, rows=rows, partners=partners)
        batch = Batch(targets, samples=samples, plan=used, problems=tuple(problems))
        if self.on_device:
            return replace(batch, sounds=padded([torch.from_numpy(sound) for sound in sounds]))
        return replace(batch, log_mel=torch.cat([self._log_mel(sound) for sound in sounds]))

    def _log_mel(self, sound: Samples) -> Tensor:
        return log_mel_of_sounds(self.frontend, torch.from_numpy(sound)[None], (len(sound),))

    def _buffer(self, plan: ShardPlan, index: int) -> ShuffleBuffer:
        epoch, stream = int(plan.epochs[index]), int(plan.streams[index])
        begun = self._buffers.get(stream)
        if begun is None or begun[0] != epoch:
            if begun is not None:
                begun[1].close()
            rows = self.planner.epoch_streams(epoch).rows[stream]
            begun = epoch, ShuffleBuffer(self.needles, rows, self.planner.buffer_clips)
            self._buffers[stream] = begun
        return begun[1]

    def _moved(
        self,
        buffer: ShuffleBuffer,
        plan: ShardPlan,
        index: int,
        which: int,
        problems: dict[str, None],
    ) -> tuple[int, Samples]:
        """Return the clip that is used and its samples, shifted and at its level."""
        shift, decibels = float(plan.shifts[index, which]), float(plan.decibels[index, which])
        for stored in buffer.candidates(int(plan.places[index, which])):
            try:
                samples = self._samples(stored)
            except AudioError as error:
                problems[str(error)] = None
                continue
            return stored.row, move_waveform(samples, shift, decibels)
        raise NiahError(f"{self.needles.name}: no clip near by can be read: {next(iter(problems))}")

    def _samples(self, stored: _Stored) -> Samples:
        """Decode a clip.

        Raises:
            AudioError: it cannot be read, or is shorter than a frame.
        """
        content, rate = stored.content, self.frontend.sample_rate
        name = self.needles.needles[stored.row].source.name
        if isinstance(content, AudioError):
            raise content
        samples = (
            decode_samples(content, rate, name)
            if isinstance(content, bytes)
            else read_samples(content, rate)
        )
        if self.frontend.frames(len(samples)) == 0:
            raise AudioError(name, "too-short", "is shorter than one frame")
        return samples


def padded(sounds: list[Tensor]) -> Tensor:
    """Return (clips, longest) of sounds, zeros at their ends."""
    return torch.nn.utils.rnn.pad_sequence(sounds, batch_first=True)


def interleaved(parts: list[Batch]) -> Batch:
    """Join the parts of a batch, of which part k has every n-th clip from the k-th on.

    Args:
        parts: n batches, their clips' plans among them.
    """
    count = sum(len(part.targets) for part in parts)
    order = np.concatenate([np.arange(k, count, len(parts)) for k in range(len(parts))])
    back = torch.from_numpy(np.argsort(order))
    plans = [part.plan for part in parts]
    assert all(isinstance(plan, ShardPlan) for plan in plans)
    columns = {
        name: np.concatenate([vars(plan)[name] for plan in plans])[back.numpy()]
        for name in vars(plans[0])
    }
    samples = [n for part in parts for n in part.samples]
    log_mel = [part.log_mel for part in parts if part.log_mel is not None]
    sounds = [
        sound[:length]
        for part in parts
        if part.sounds is not None
        for sound, length in zip(part.sounds, part.samples, strict=True)
    ]
    return Batch(
        torch.cat([part.targets for part in parts])[back],
        torch.cat(log_mel)[back] if log_mel else None,
        padded(sounds)[back] if sounds else None,
        tuple(samples[int(k)] for k in back),
        ShardPlan(**columns),
        tuple(dict.fromkeys(problem for part in parts for problem in part.problems)),
    )
