"""The synthetic needles as a needle set: nothing to download."""

import hashlib
from dataclasses import dataclass, replace
from types import MappingProxyType

from niah.audio import Waveform
from niah.errors import NiahError, nearest
from niah.needles import synthetic
from niah.needles.needle import Needle
from niah.needles.readers.rows import NeedleRows, Request
from niah.system.numpy_threads import side_by_side
from niah.vocabularies import vocabulary

LICENCE = "made by Audio NIAH (BSD-3-Clause)"
SIZES = MappingProxyType({"train": 6000, "validation": 400, "evaluation": 400, "comparison": 400})
MOST_CLIPS = 100_000  # their ids have five digits


@dataclass(frozen=True)
class SyntheticSource:
    """A clip of `niah.needles.synthetic`, made on demand."""

    split: str
    index: int

    @property
    def name(self) -> str:
        """Return the clip's id."""
        return synthetic.clip_id(self.split, self.index)

    def waveform(self, sample_rate: int) -> Waveform:
        """Synthesise the sound at `sample_rate` (Hz)."""
        samples, _ = synthetic.clip(self.split, self.index, sample_rate=sample_rate)
        return Waveform(samples, sample_rate)

    def sounds(self) -> tuple[tuple[str, float, float], ...]:
        """Return when each label sounds: (id, onset, offset) in seconds of the clip."""
        return synthetic.sounds(self.split, self.index)

    def digest(self) -> str:
        """Return a hash of the clip's id, which determines its sound."""
        return hashlib.sha256(self.name.encode()).hexdigest()


def read(split: str, request: Request, limit: int | None) -> NeedleRows:
    """Make clips 0, 1, ... of a split.

    Args:
        split: a key of `SIZES`.
        request: its vocabulary must be the synthetic one.
        limit: number of clips where more than `SIZES` says are wanted.

    Raises:
        NiahError: unknown split, a vocabulary of other classes, or a limit beyond what clips are numbered to.
    """
    if split not in SIZES:
        raise NiahError(f"needles 'synthetic:{split}': unknown split.{nearest(split, SIZES)}")
    own = vocabulary("synthetic").ids
    if request.vocabulary.ids != own and not request.stand_in:
        raise NiahError(
            f"the synthetic needles have other labels than '{request.vocabulary.name}': choose a model trained on them "
            "(niah models), or needles of the model's own labels; 'niah data verify' has --labels synthetic"
        )
    if (limit or 0) > MOST_CLIPS:
        raise NiahError(f"--limit {limit}: the synthetic set has at most {MOST_CLIPS} clips")
    numbers = range(max(SIZES[split], limit or 0))
    labels = side_by_side(lambda index: synthetic.labels(split, index), numbers)
    needles = tuple(
        Needle(f"{split}-{index:05d}", of_clip, SyntheticSource(split, index))
        for index, of_clip in zip(numbers, labels, strict=True)
    )
    if request.vocabulary.ids == own:
        return NeedleRows(needles, LICENCE)
    classes = request.vocabulary.ids
    stand_ins = {id_: classes[index % len(classes)] for index, id_ in enumerate(own)}
    return NeedleRows(
        tuple(
            replace(each, labels=tuple(dict.fromkeys(stand_ins[id_] for id_ in each.labels)))
            for each in needles
        ),
        LICENCE,
        ("the embedded clips serve under labels that are not theirs: speed and memory only",),
    )
