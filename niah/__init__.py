"""Audio NIAH: how audio taggers scale with duration.

A needle (a labelled 10 s clip) is hidden in a haystack (hours of something else); a tagger must still name it.
The data flow is one line, a module a step:

    needles, synthetic      which clips, with which labels
    haystacks, noise_bank   what they are hidden in
    frontends               audio to normalised log-mel, as each model was trained on it
    placement, scenes       where, and the features of the whole
    cards, adapters         a checkpoint's card, and its network as features -> logits; windows, pooling
    networks, scan          one architecture a file; the selective scan
    presets, plan, sweep    every model x haystack x length x position, one cell at a time
    metrics, statistics     scores to mAP, relative drop and their intervals
    records, summary        what a run directory holds, written whole or not at all
    tables, plots, report   what people read;   leaderboard: of many runs
    check, compare          what continuous integration reads; which of two is better
    controls, overlap,      what a model says without a needle, of labels that the haystack holds,
    calibration             and how well its scores keep their scale
    locate, causes          where it heard the needle; what its drop is made of
    efficiency              latency, memory and the roofline against length
    training                the recipes that make checkpoints

`import niah` and every listing command work without torch: `load_model` and `run` import it when called.
"""

from typing import TYPE_CHECKING, Any

__all__ = ["NiahError", "__version__", "load_model", "run"]

from niah.errors import NiahError
from niah.version import __version__

if TYPE_CHECKING:
    from niah.adapters import load_model
    from niah.api import run


def __getattr__(name: str) -> Any:
    if name == "load_model":
        from niah.adapters import load_model

        return load_model
    if name == "run":
        from niah.api import run

        return run
    raise AttributeError(f"module 'niah' has no attribute {name!r}")
