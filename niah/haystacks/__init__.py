"""Haystacks: zero, silence, Gaussian noise, babble, or any recording, to hide needles in.

haystack            a constant or an endless sound, with its name and fingerprint
loading             from a name, kind or file to a haystack
naming              distinct names for the haystacks of a run
builders            targets of the cards' import strings `niah.haystacks:<builder>`
checked_sound       a user's own sound, checked where it is read
sources             endless sounds; synthetic_talkers: voices for babble without recordings
sound_bank          extent, level and samples of a sound, by hops;   energy_bank: its mel energies, computed once
segments            the parts of a bank that one clip's noise consists of
clip_noise          one clip's noise at its level, as features or as samples
"""

from niah.haystacks.builders import (
    babble,
    gaussian,
    official_babble,
    own,
    recording,
    silence,
    zero,
)
from niah.haystacks.haystack import Haystack
from niah.haystacks.loading import load_haystack
from niah.haystacks.naming import distinct_names

__all__ = [
    "Haystack",
    "babble",
    "distinct_names",
    "gaussian",
    "load_haystack",
    "official_babble",
    "own",
    "recording",
    "silence",
    "zero",
]
