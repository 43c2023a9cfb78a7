"""Needles: labelled clips to hide, from the layouts in which people hold them.

`needle` says what one is, `loading` finds the layout (one file each), `selection` fixes the order.
"""

from niah.needles.loading import load_needles
from niah.needles.needle import Needle, waveform
from niah.needles.needle_set import NeedleSet, ids_sha256

__all__ = ["Needle", "NeedleSet", "ids_sha256", "load_needles", "waveform"]
