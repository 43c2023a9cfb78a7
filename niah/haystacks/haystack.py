"""A haystack: a constant or a sound, with its name for tables and a fingerprint of its content for cell keys."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from niah.errors import NiahError
from niah.haystacks.sources import Sound


@dataclass(frozen=True)
class Haystack:
    """A constant or a sound to hide needles in.

    `fill` "zero" is 0 after normalisation (the data set's mean log-mel, not silence), "silence" is digital silence
    (log eps, normalised), "noise" takes its frames from `sound`, "own" from the needle's own recording
    (`niah.scenes.own`). `contains` lists the AudioSet MIDs that are audible in it. `longer_name` also has the folder of
    its file, for use where another haystack has the same name; "" if it comes from no file. `tiled` sounds are played
    from their first sample for every clip under `dass-v1`, as the official `dataloader_niah.py` does with its babble
    file. `notes` are sentences for the user, on its files and its level.
    """

    name: str
    fill: Literal["zero", "silence", "noise", "own"]
    fingerprint: str
    contains: tuple[str, ...] = ()
    tiled: bool = False
    make_sound: Callable[[int], Sound] | None = field(default=None, repr=False, compare=False)
    longer_name: str = field(default="", compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def needs_snr(self) -> bool:
        """Return whether scenes need an SNR: true of noise, false of constants."""
        return self.fill == "noise"

    def sound(self, sample_rate: int) -> Sound:
        """Return the noise at a sample rate in Hz.

        Raises:
            NiahError: the haystack is a constant.
        """
        if self.make_sound is None:
            raise NiahError(f"haystack '{self.name}' is a constant and makes no sound")
        return self.make_sound(sample_rate)
