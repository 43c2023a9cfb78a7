"""Builders that haystack cards name by import string, `niah.haystacks:<builder>`.

A user's card may name a user's builder. All have this signature:

    builder(card: HaystackCard, *, babble: Path | None, seed: int) -> Haystack

card      the card, with its name and the labels audible in it
babble    file or folder of voices that the user gives
seed      of the noise
"""

import functools
import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from niah import audio
from niah.audio import AUDIO_SUFFIXES
from niah.audio.mono import CANCELLING, FAINT
from niah.audio.waveform import square_sum
from niah.cards import HaystackCard
from niah.errors import NiahError
from niah.haystacks.haystack import Haystack
from niah.haystacks.sources import GaussianNoise, Sound, Tiled, VoiceMix
from niah.haystacks.synthetic_talkers import talker
from niah.randomness import keyed_generator
from niah.system.download import cache_folder, fetch, sha256_of
from niah.system.folder_walk import files_below
from niah.system.numpy_threads import side_by_side
from niah.system.plain_names import below
from niah.system.printable import one_line

OFFICIAL_BABBLE_SHA256 = "4a3a4fb731c3bb6618af0374afeaeecc6adfb0331e67bd53f5a60fb62e423c85"
N_TALKERS = 30  # as in the babble of MuAViC, from which DASS takes the idea
_SYNTHETIC, _VOICES = "-synthetic", "-voices"
BABBLE_NAMES = (f"babble{_SYNTHETIC}", f"babble{_VOICES}")
_BLOCK = 1 << 20  # samples
_OFFSET_NOTED_DB = 0.5
_OFFSET = (
    "its samples have a mean beside 0 (a DC offset), which nobody hears and which counts in its level: needles lie "
    "{db:.1f} dB higher above what is heard than --snr says; take it out, as with `ffmpeg -i IN -af highpass=f=10 OUT`"
)
_CHECK_RATE = 16000  # Hz; files are decoded once when a haystack is made, so that bad ones are refused at once


def zero(card: HaystackCard, *, babble: Path | None, seed: int) -> Haystack:  # noqa: ARG001
    """Build zeros after normalisation: every bin at the data set's mean log-mel (DASS, `src/run_NIAH.py`)."""
    return Haystack(card.name, "zero", _fingerprint("zero"), card.contains)


def silence(card: HaystackCard, *, babble: Path | None, seed: int) -> Haystack:  # noqa: ARG001
    """Build digital silence: log(eps) in every bin, normalised; not part of `dass-v1`."""
    return Haystack(card.name, "silence", _fingerprint("silence"), card.contains)


def own(card: HaystackCard, *, babble: Path | None, seed: int) -> Haystack:  # noqa: ARG001
    """Build the needles' own recordings: what is around an annotated event is not known before its needle is."""
    return Haystack(card.name, "own", _fingerprint("own-1"), card.contains)


def gaussian(card: HaystackCard, *, babble: Path | None, seed: int) -> Haystack:  # noqa: ARG001
    """Build white Gaussian noise, counter-based."""
    noise = GaussianNoise("niah-gaussian-1", seed, card.name)
    fingerprint = _fingerprint("gaussian-1", seed, card.name)
    return Haystack(card.name, "noise", fingerprint, card.contains, make_sound=lambda _: noise)


def babble(card: HaystackCard, *, babble: Path | None, seed: int) -> Haystack:
    """Build many people talking at once: a file as it is, 30 voices mixed, or 30 synthetic talkers.

    The name is "babble" only with the official file; else "babble-<file>", "babble-voices" or "babble-synthetic", so
    that tables do not mix them.
    """
    if babble is None:
        return _talkers(card.name + _SYNTHETIC, card.contains, seed)
    if babble.is_dir():
        return _voices(babble, card.name + _VOICES, card.contains, seed)
    official = babble.is_file() and sha256_of(babble) == OFFICIAL_BABBLE_SHA256
    return of_recording(
        babble, card.name if official else f"{card.name}-{babble.stem}", card.contains
    )


def official_babble(card: HaystackCard, *, babble: Path | None, seed: int) -> Haystack:  # noqa: ARG001
    """Build the babble of the DASS repository: `babble` if it is that file, else the file fetched into the cache.

    Its rows are called "babble" either way.
    """
    if babble is not None and babble.is_file() and sha256_of(babble) == card.source.get("sha256"):
        return of_recording(babble, "babble", card.contains)
    return of_recording(_source(card), "babble", card.contains)


def recording(card: HaystackCard, *, babble: Path | None, seed: int) -> Haystack:  # noqa: ARG001
    """Build the recording of a card's `[source]`: a `file` beside the card, or `url` and `sha256`."""
    return of_recording(_source(card), card.name, card.contains)


def _source(card: HaystackCard) -> Path:
    """Return the local file of a card's `[source]`, fetched if it is not there.

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


def of_recording(path: Path, name: str, contains: tuple[str, ...] = ()) -> Haystack:
    """Build a recording, or a folder's recordings joined in the order of their names, looped for ever.

    Args:
        path: a sound file or a folder of them.
        name: name of the haystack in tables.
        contains: labels that are audible in it.

    Raises:
        NiahError: a file that is missing or no sound, or a folder without sound.
    """
    files = _audio_files(path) if path.is_dir() else [path]
    doubts: dict[str, dict[str, None]] = {CANCELLING: {}, FAINT: {}}

    @functools.lru_cache(maxsize=2)
    def make_sound(sample_rate: int) -> Tiled:
        loaded = []
        for file in files:
            sound = audio.load(file, sample_rate)
            loaded.append(sound.samples)
            for note in doubts.keys() & sound.notes:
                doubts[note][one_line(file.name)] = None
        return Tiled(np.concatenate(loaded) if len(loaded) > 1 else loaded[0])

    offset = offset_db(make_sound(_CHECK_RATE))
    notes = [_OFFSET.format(db=offset)] if offset >= _OFFSET_NOTED_DB else []
    for note, names in doubts.items():
        if names:
            first, *others = names
            more = f" and {len(others)} more" if others else ""
            notes.append(f"{first}{more}: {note}")
    fingerprint = _fingerprint("recording-1", *(audio.digest(file) for file in files))
    stem = path.stem or path.resolve().stem
    folder = path.resolve().parent.name
    is_of_file = bool(folder) and name.endswith(stem)
    return Haystack(
        one_line(name) or one_line(path.name),
        "noise",
        fingerprint,
        contains,
        tiled=True,
        make_sound=make_sound,
        longer_name=one_line(f"{name.removesuffix(stem)}{folder}/{stem}") if is_of_file else "",
        notes=tuple(notes),
    )


def offset_db(sound: Tiled) -> float:
    """Return how far a recording's level lies above that of the same without its mean, in dB."""
    count, total, squares = sound.period, 0.0, 0.0
    for start in range(0, count, _BLOCK):  # hours in float64 at once would be gigabytes
        samples = sound.samples(start, min(_BLOCK, count - start))
        total += float(samples.sum(dtype=np.float64))
        squares += square_sum(samples)
    share = total**2 / (count * squares) if squares else 0.0
    return -10 * math.log10(max(1 - share, 1e-12))


def _voices(folder: Path, name: str, contains: tuple[str, ...], seed: int) -> Haystack:
    """`N_TALKERS` voices drawn from a folder (all of them, some twice, if it has fewer), mixed."""
    files = _audio_files(folder)
    order = keyed_generator("niah-voices-1", seed).permutation(len(files))[:N_TALKERS]
    chosen = [files[index] for index in order]

    def load(sample_rate: int) -> list[NDArray[np.float32]]:
        return [audio.load(file, sample_rate).samples for file in chosen]

    fingerprint = _fingerprint(
        "voices-1", seed, N_TALKERS, *(audio.digest(file) for file in chosen)
    )
    mixed = _mixed(load, name, contains, seed, fingerprint)
    return replace(mixed, longer_name=one_line(f"{name}-{folder.resolve().name}"))


def _talkers(name: str, contains: tuple[str, ...], seed: int) -> Haystack:
    def load(sample_rate: int) -> list[NDArray[np.float32]]:
        return list(_synthetic_voices(seed, sample_rate))

    return _mixed(load, name, contains, seed, _fingerprint("talkers-1", seed, N_TALKERS))


@functools.lru_cache(maxsize=2)  # a second to make; haystacks of one seed share them
def _synthetic_voices(seed: int, sample_rate: int) -> tuple[NDArray[np.float32], ...]:
    made = side_by_side(lambda number: talker(number, seed, sample_rate), range(N_TALKERS))
    voices = tuple(made)
    for voice in voices:
        voice.flags.writeable = False
    return voices


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
    files = files_below(folder, AUDIO_SUFFIXES)
    if not files:
        raise NiahError(f"{folder}: no sound file in it ({', '.join(sorted(AUDIO_SUFFIXES))})")
    return files


def _fingerprint(*parts: object) -> str:
    return hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).hexdigest()[:16]
