"""A sound of a user's own builder, checked where it is read, before it can pass for a fault of the model."""

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError, one_line
from niah.haystacks.sources import Sound


class CheckedSound:
    """Another sound, whose answers are what `Sound` promises or an error that names the haystack."""

    def __init__(self, sound: Sound, name: str) -> None:
        """Take a sound and its haystack's name.

        Raises:
            NiahError: it has no `period`, or one that is neither None nor a number of samples.
        """
        self._sound, self._name = sound, name
        period = getattr(sound, "period", "no such attribute")
        if period is not None and not (isinstance(period, int | np.integer) and period > 0):
            raise NiahError(
                f"haystack '{name}': its sound must have a `period`, the samples after which it repeats or None, "
                f"got {period!r:.60}"
            )
        self.period = None if period is None else int(period)

    def samples(self, start: int, count: int) -> NDArray[np.float32]:
        """Return samples of the sound; see `Sound.samples`.

        Raises:
            NiahError: they are not (count,) finite numbers.
        """
        try:
            samples = np.asarray(self._sound.samples(start, count), dtype=np.float32)
        except (NiahError, OSError, MemoryError):
            raise
        except Exception as error:  # a user's code may raise anything
            raise NiahError(
                f"haystack '{self._name}': samples({start}, {count}): {one_line(error)}"
            ) from error
        if samples.shape != (count,) or not np.isfinite(samples).all():
            raise NiahError(
                f"haystack '{self._name}': samples({start}, {count}) must return ({count},) finite numbers, got "
                f"{samples.shape}{'' if np.isfinite(samples).all() else ' with NaN or infinity'}"
            )
        return samples
