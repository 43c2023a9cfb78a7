"""Load a haystack by a card's name or file, a recording, or a folder of recordings."""

import hashlib
import sys
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from niah.audio import AUDIO_SUFFIXES
from niah.cards import HaystackCard, find_haystack, haystack_cards, read_haystack_card
from niah.errors import NiahError, one_line
from niah.haystacks.builders import BABBLE_NAMES, of_recording
from niah.haystacks.checked_sound import CheckedSound
from niah.haystacks.haystack import Haystack
from niah.haystacks.sources import Sound
from niah.system.download import sha256_of
from niah.system.user_modules import import_user_module

FILLS = ("zero", "silence", "noise", "own")


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
        return _build_own(_own_card(path), babble, seed)
    names = {card.name for card in haystack_cards()}
    is_name = str(spec) in names
    if not is_name and path.exists():
        return _named_apart(
            {*names, *BABBLE_NAMES}, of_recording(path, path.stem or path.resolve().stem)
        )
    if not is_name and (path.suffix.lower() in AUDIO_SUFFIXES or len(path.parts) > 1):
        raise NiahError(f"haystack {spec}: no such file or folder")
    return _build(find_haystack(str(spec)), babble, seed)


def _build_own(card: HaystackCard, babble: Path | None, seed: int) -> Haystack:
    built = _build(card, babble, seed)
    if built.fill == "own":  # which the sweep, tables and comparisons know by its name
        raise NiahError(
            f"haystack card {card.path}: the needles' own recordings are --haystack own; they need no card"
        )
    if card.builder.startswith("niah."):
        return built
    _check_built(built, card)
    make_sound = built.make_sound
    if make_sound is None:
        return built
    return replace(
        built,
        fingerprint=_with_code(built.fingerprint, make_sound, card),
        make_sound=_checked(make_sound, card),
    )


def _with_code(fingerprint: str, make_sound: Callable[[int], Sound], card: HaystackCard) -> str:
    """Return a user's fingerprint with a hash of the builder's file: an edited sound is another one.

    Those of sounds that this package makes have their content already.
    """
    if str(getattr(make_sound, "__module__", "")).startswith("niah."):
        return fingerprint
    file = getattr(sys.modules[card.builder.partition(":")[0]], "__file__", None)
    code = "" if file is None else sha256_of(Path(file))
    return hashlib.sha256(f"{fingerprint}\n{code}".encode()).hexdigest()[:16]


def _check_built(built: Haystack, card: HaystackCard) -> None:
    """Check a haystack of a user's own builder: a fill of another name would be silence.

    Raises:
        NiahError: a field is not what `Haystack` says, or tables would take it for a haystack of the package.
    """
    names = {each.name for each in haystack_cards()} | {*BABBLE_NAMES}
    are_ids = isinstance(built.contains, tuple) and all(isinstance(i, str) for i in built.contains)
    for field, fits, must in (
        ("name", isinstance(built.name, str) and bool(built.name), "a text"),
        ("name", built.name not in names, "another than the package's haystack's"),
        ("fill", built.fill in FILLS, " or ".join(FILLS)),
        ("fingerprint", isinstance(built.fingerprint, str) and bool(built.fingerprint), "a text"),
        ("contains", are_ids, "a tuple of ids"),
        ("make_sound", callable(built.make_sound) or built.fill != "noise", "a function"),
    ):
        if not fits:
            got = repr(getattr(built, field))[:60]
            raise NiahError(
                f"haystack card {card.path}: {card.builder} returned a Haystack whose {field} must be {must}, got {got}"
            )


def _checked(make_sound: Callable[[int], Sound], card: HaystackCard) -> Callable[[int], Sound]:
    def made(sample_rate: int) -> Sound:
        try:
            return CheckedSound(make_sound(sample_rate), card.name)
        except (NiahError, OSError, MemoryError):
            raise
        except Exception as error:  # a user's code may raise anything
            raise NiahError(
                f"haystack card {card.path}: make_sound({sample_rate}) raised {type(error).__name__}: {one_line(error)}"
            ) from error

    return made


def _own_card(path: Path) -> HaystackCard:
    card = read_haystack_card(path)
    for each in haystack_cards():
        if each.name == card.name and not each.path.samefile(path):
            raise NiahError(
                f"haystack card {path}: '{card.name}' in tables is the package's haystack of that name: "
                "call yours otherwise"
            )
    return card


def _named_apart(names: Collection[str], recording: Haystack) -> Haystack:
    """Return a recording, with its folder in its name if a haystack of the package has the name: tables mean that."""
    if recording.name not in names:
        return recording
    return replace(recording, name=recording.longer_name or f"./{recording.name}", longer_name="")


def _build(card: HaystackCard, babble: Path | None, seed: int) -> Haystack:
    module, _, function = card.builder.partition(":")
    try:
        builder = getattr(import_user_module(module, card.path.parent), function)
    except NiahError as error:
        raise NiahError(f"haystack card {card.path}: builder '{card.builder}': {error}") from None
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
