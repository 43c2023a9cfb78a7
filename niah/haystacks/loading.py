"""Load a haystack by a card's name or file, a recording, or a folder of recordings."""

import importlib
from pathlib import Path

from niah.audio import AUDIO_SUFFIXES
from niah.cards import HaystackCard, find_haystack, haystack_cards, read_haystack_card
from niah.errors import NiahError, one_line
from niah.haystacks.builders import of_recording
from niah.haystacks.haystack import Haystack


def load_haystack(spec: str | Path, *, babble: Path | None = None, seed: int = 0) -> Haystack:
    """Make the haystack of a name, a card, a recording or a folder.

    Args:
        spec: a card's name (zero, silence, gaussian, babble, babble-official), a user's card
            (`*.toml`), a recording (looped), or a folder of recordings (joined in the order of
            their names).
        babble: for `babble`: a file, used as it is, or a folder of voices, of which 30 are mixed; without it,
            synthetic talkers.
        seed: of Gaussian noise, and of the choice and mixing of voices.

    Raises:
        NiahError: unknown name, a missing or bad file, an empty folder, or no way to fetch.
    """
    path = Path(spec)
    if path.suffix == ".toml":
        return _build(read_haystack_card(path), babble, seed)
    is_name = str(spec) in {card.name for card in haystack_cards()}
    if not is_name and path.exists():
        return of_recording(path, path.stem or path.resolve().stem)
    if not is_name and (path.suffix.lower() in AUDIO_SUFFIXES or len(path.parts) > 1):
        raise NiahError(f"haystack {spec}: no such file or folder")
    return _build(find_haystack(str(spec)), babble, seed)


def _build(card: HaystackCard, babble: Path | None, seed: int) -> Haystack:
    module, _, function = card.builder.partition(":")
    try:
        builder = getattr(importlib.import_module(module), function)
    except (Exception, SystemExit) as error:  # the module's own code may raise anything
        raise NiahError(
            f"haystack card {card.path}: builder '{card.builder}' cannot be imported ({one_line(error)});"
            " it must read 'package.module:function'"
        ) from error
    try:
        built = builder(card, babble=babble, seed=seed)
    except (NiahError, OSError, MemoryError):
        raise
    except Exception as error:
        raise NiahError(
            f"haystack card {card.path}: {card.builder}(card, babble=.., seed=..) raised {type(error).__name__}: "
            f"{one_line(error)}"
        ) from error
    if not isinstance(built, Haystack):
        raise NiahError(f"haystack card {card.path}: '{card.builder}' must return a Haystack")
    return built
