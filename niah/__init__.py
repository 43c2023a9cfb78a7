"""Audio NIAH: how audio taggers scale with duration.

A needle (a labelled 10 s clip) is hidden in a haystack (hours of something else); a tagger must still name it.
The data flows down the folders in this order:

    needles           labelled clips: readers, selection, features; synthetic clips
    frontends         audio to normalised log-mel, as each model was trained on it
    haystacks         what clips are hidden in: constants, noise, talkers, recordings
    placement         where a needle lies in a scene, by protocol
    scenes            the features of a whole scene, or of long ones block by block
    scan, networks    the selective scan and its kernels; one architecture a file
    adapters          a card's checkpoint in its network: features to logits; windows, pooling
    sweep             every model x haystack x SNR x length x position, one cell at a time
    metrics           logits to mAP, relative drop, chance, intervals, effective lengths
    records           what a run directory holds, written whole or not at all
    tables, plots     rows as curves and tables; figures
    pages, compare    a run's report and the leaderboard; `niah check` and `niah compare`
    diagnosis         controls, where a model heard the needle, what its drop is made of

Beside the flow are bench (latency, memory and the roofline against length), preview (one scene to see and hear),
exchange (scenes as files, predictions for them as cells), publish (results as others read them) and training (the
recipes that make checkpoints); cli and api are on top. What every step uses: cards (one TOML a model or
haystack), vocabularies, audio, randomness, system, errors. CONTRIBUTING.md has the picture.

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
    if name == "synthetic":  # where it was until 0.1
        from niah.needles import synthetic

        return synthetic
    raise AttributeError(f"module 'niah' has no attribute {name!r}")
