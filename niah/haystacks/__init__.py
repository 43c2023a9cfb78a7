"""What needles are hidden in: nothing, silence, Gaussian noise, babble, or any recording.

A haystack is a constant, or a `Sound` without an end. It knows its name for tables, what AudioSet
labels are truly in it, and a fingerprint of its content for cell keys. Cards (`haystacks/*.toml`)
name one of the builders below by import string; a user's own card may name a builder of theirs,
with this signature:

    builder(card: HaystackCard, *, babble: Path | None, seed: int) -> Haystack
"""

import functools
import hashlib
import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from niah import audio
from niah.cards import HaystackCard, find_haystack, haystack_cards, read_haystack_card
from niah.errors import NiahError
from niah.haystacks.sources import GaussianNoise, Sound, Tiled, VoiceMix
from niah.haystacks.synthetic_talkers import talker
from niah.randomness import keyed_generator
from niah.system.download import cache_folder, fetch, sha256_of
from niah.system.plain_names import below

OFFICIAL_BABBLE_SHA256 = "4a3a4fb731c3bb6618af0374afeaeecc6adfb0331e67bd53f5a60fb62e423c85"
N_TALKERS = 30  # as in the babble of MuAViC, from which DASS takes the idea
AUDIO_SUFFIXES = frozenset(
    {
        ".wav",
        ".flac",
        ".ogg",
        ".oga",
        ".opus",
        ".mp3",
        ".aif",
        ".aiff",
        ".aifc",
        ".au",
        ".w64",
        ".caf",
    }
)
_CHECK_RATE = 16000  # files are decoded once when named, so that bad ones are told at once


@dataclass(frozen=True)
class Haystack:
    """One thing to hide needles in.

    `fill` "zero" is 0 after normalisation (the data set's mean log-mel), "silence" is digital
    silence (log eps, normalised), "noise" takes its frames from `sound`. `tiled` sounds are played
    from their first sample for every clip under `dass-v1`, as the released loader does with its
    babble file.
    """

    name: str
    fill: Literal["zero", "silence", "noise"]
    fingerprint: str
    contains: tuple[str, ...] = ()  # AudioSet MIDs truly in it
    tiled: bool = False
    make_sound: Callable[[int], Sound] | None = field(default=None, repr=False, compare=False)

    @property
    def needs_snr(self) -> bool:
        """Whether its level is set from the needle's by an SNR."""
        return self.fill == "noise"

    def sound(self, sample_rate: int) -> Sound:
        """The noise itself at that rate; constants have none."""
        if self.make_sound is None:
            raise NiahError(f"haystack '{self.name}' is a constant and makes no sound")
        return self.make_sound(sample_rate)


def load_haystack(spec: str | Path, *, babble: Path | None = None, seed: int = 0) -> Haystack:
    """The haystack that a name, a card, a recording or a folder stands for.

    Args:
        spec: a card's name (zero, silence, gaussian, babble, babble-official), a card of one's own
            (`*.toml`), a recording (looped), or a folder of recordings (joined in the order of
            their names).
        babble: for `babble`: a file, used as it is, or a folder of voices, of which 30 are mixed;
        without
            it, synthetic talkers.
        seed: of Gaussian noise, and of the choice and mixing of voices.

    Raises:
        NiahError: unknown name, a missing or bad file, an empty folder, or no way to fetch.
    """
    path = Path(spec)
    if path.suffix == ".toml":
        return _build(read_haystack_card(path), babble, seed)
    is_name = str(spec) in {card.name for card in haystack_cards()}
    if not is_name and path.exists():
        return _recording(path, path.stem or path.resolve().stem, ())
    if not is_name and (path.suffix.lower() in AUDIO_SUFFIXES or len(path.parts) > 1):
        raise NiahError(f"haystack {spec}: no such file or folder")
    return _build(find_haystack(str(spec)), babble, seed)


def _build(card: HaystackCard, babble: Path | None, seed: int) -> Haystack:
    module, _, function = card.builder.partition(":")
    try:
        builder = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise NiahError(
            f"haystack card {card.path}: builder '{card.builder}' cannot be imported ({error});"
            " it must read 'package.module:function'"
        ) from error
    built = builder(card, babble=babble, seed=seed)
    if not isinstance(built, Haystack):
        raise NiahError(f"haystack card {card.path}: '{card.builder}' must return a Haystack")
    return built


def zero(card: HaystackCard, *, babble: Path | None, seed: int) -> Haystack:  # noqa: ARG001
    """Zeros after normalisation: every bin at the data set's mean log-mel (DASS, `run_NIAH.py`)."""
    return Haystack(card.name, "zero", _fingerprint("zero"), card.contains)


def silence(card: HaystackCard, *, babble: Path | None, seed: int) -> Haystack:  # noqa: ARG001
    """Digital silence: log(eps) in every bin, normalised (`niah-v2`)."""
    return Haystack(card.name, "silence", _fingerprint("silence"), card.contains)


def gaussian(card: HaystackCard, *, babble: Path | None, seed: int) -> Haystack:  # noqa: ARG001
    """White Gaussian noise, counter-based."""
    noise = GaussianNoise("niah-gaussian-1", seed, card.name)
    fingerprint = _fingerprint("gaussian-1", seed, card.name)
    return Haystack(card.name, "noise", fingerprint, card.contains, make_sound=lambda _: noise)


def babble(card: HaystackCard, *, babble: Path | None, seed: int) -> Haystack:
    """Many people talking at once: a file as it is, 30 voices mixed, or 30 synthetic talkers.

    Named "babble" only with the official file; else "babble-<file>", "babble-voices" or
    "babble-synthetic", for tables must not mix them.
    """
    if babble is None:
        return _talkers(f"{card.name}-synthetic", card.contains, seed)
    if babble.is_dir():
        return _voices(babble, f"{card.name}-voices", card.contains, seed)
    official = babble.is_file() and sha256_of(babble) == OFFICIAL_BABBLE_SHA256
    return _recording(
        babble, card.name if official else f"{card.name}-{babble.stem}", card.contains
    )


def official_babble(card: HaystackCard, *, babble: Path | None, seed: int) -> Haystack:  # noqa: ARG001
    """The file of the DASS repository: the one given, if it is that, else fetched into the cache.

    Its rows are called "babble", whichever way the file came.
    """
    if babble is not None and babble.is_file() and sha256_of(babble) == card.source.get("sha256"):
        return _recording(babble, "babble", card.contains)
    return _recording(_source(card), "babble", card.contains)


def recording(card: HaystackCard, *, babble: Path | None, seed: int) -> Haystack:  # noqa: ARG001
    """Any recording on a card: `[source]` with a `file` beside the card, or `url` and `sha256`."""
    return _recording(_source(card), card.name, card.contains)


def _source(card: HaystackCard) -> Path:
    """The local file of a card's `[source]`, fetched if it must be.

    Raises:
        NiahError: a link that leads out of the card's folder, another checksum, or no way to fetch.
    """
    name, url = card.source.get("file", ""), card.source.get("url", "")
    sha256 = card.source.get("sha256", "")
    beside = card.path.parent / name
    if name and beside.exists():
        fix = "put the recording itself beside the card, or give it with --haystack FILE"
        below(card.path.parent, beside, f"haystack card {card.path}: key 'source.file'", fix)
        if sha256 and beside.is_file() and sha256_of(beside) != sha256:
            raise NiahError(f"{beside}: checksum differs from its card's; remove the file")
        return beside
    if not url:
        raise NiahError(f"haystack card {card.path}: no url, and {beside} is not there")
    if not sha256:
        raise NiahError(f"haystack card {card.path}: [source] has a url but no sha256")
    last = (name or urlsplit(url).path).rsplit("/", 1)[-1] or "recording"
    target = cache_folder() / "haystacks" / f"{sha256[:12]}-{last}"
    return fetch(
        url,
        sha256,
        target,
        instead="Download it elsewhere and give it with --haystack babble --babble FILE",
    )


def _recording(path: Path, name: str, contains: tuple[str, ...]) -> Haystack:
    """A file or a folder's files, joined, looped for ever."""
    files = _audio_files(path) if path.is_dir() else [path]

    @functools.lru_cache(maxsize=2)
    def make_sound(sample_rate: int) -> Sound:
        loaded = [audio.load(file, sample_rate).samples for file in files]
        return Tiled(np.concatenate(loaded) if len(loaded) > 1 else loaded[0])

    make_sound(_CHECK_RATE)
    fingerprint = _fingerprint("recording-1", *(sha256_of(file) for file in files))
    return Haystack(name, "noise", fingerprint, contains, tiled=True, make_sound=make_sound)


def _voices(folder: Path, name: str, contains: tuple[str, ...], seed: int) -> Haystack:
    """`N_TALKERS` voices drawn from a folder (all of them, some twice, if it has fewer), mixed."""
    files = _audio_files(folder)
    order = keyed_generator("niah-voices-1", seed).permutation(len(files))[:N_TALKERS]
    chosen = [files[index] for index in order]

    def load(sample_rate: int) -> list[NDArray[np.float32]]:
        return [audio.load(file, sample_rate).samples for file in chosen]

    fingerprint = _fingerprint("voices-1", seed, N_TALKERS, *(sha256_of(file) for file in chosen))
    return _mixed(load, name, contains, seed, fingerprint)


def _talkers(name: str, contains: tuple[str, ...], seed: int) -> Haystack:
    def load(sample_rate: int) -> list[NDArray[np.float32]]:
        return [talker(number, seed, sample_rate) for number in range(N_TALKERS)]

    return _mixed(load, name, contains, seed, _fingerprint("talkers-1", seed, N_TALKERS))


def _mixed(
    load: Callable[[int], list[NDArray[np.float32]]],
    name: str,
    contains: tuple[str, ...],
    seed: int,
    fingerprint: str,
) -> Haystack:
    @functools.lru_cache(maxsize=2)
    def make_sound(sample_rate: int) -> Sound:
        return VoiceMix(
            load(sample_rate), sample_rate, keyed_generator("niah-mix-1", seed), N_TALKERS
        )

    make_sound(_CHECK_RATE)
    return Haystack(name, "noise", fingerprint, contains, make_sound=make_sound)


def _audio_files(folder: Path) -> list[Path]:
    """Sound files at any depth, in the order of their relative paths."""
    found = (p for p in folder.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES and p.is_file())
    files = sorted(found, key=lambda path: path.relative_to(folder).as_posix())
    if not files:
        raise NiahError(f"{folder}: no sound file in it ({', '.join(sorted(AUDIO_SUFFIXES))})")
    return files


def _fingerprint(*parts: object) -> str:
    return hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).hexdigest()[:16]
