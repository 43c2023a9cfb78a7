"""A needle set ready for scenes: features from the cache, bad clips named and left out.

A first pass reads every clip, so that the list of clips is fixed before the first cell: all cells of a run have the
same clips, also where its models have several front ends.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from niah.audio import AudioError, Waveform
from niah.errors import NiahError
from niah.frontends import Frontend
from niah.needles import Needle, NeedleSet, waveform
from niah.needles.feature_cache import Arrays, FeatureCache, content_key
from niah.needles.features import NeedleFeatures, needle_features, shortest_ms
from niah.needles.needle_set import MARK_DIGITS
from niah.system.bounded_store import BoundedStore
from niah.system.memory_limit import usable_bytes
from niah.system.progress import track
from niah.system.threads import results_in_order, threads_of_jobs

_SHOWN = 3
_LONGER = "longer than 10 s"
_MEMORY_BYTES = 1 << 28  # of features: 200 clips of AST's with their samples
_LARGEST_BYTES = 1 << 31  # of decoding the longest clip: 10 min in stereo, resampled from 192 kHz
MOST_MARKED = 100_000  # clips: 0.8 MB in run.json
CUT_S = 0.5  # a clip that loses less, or is padded with less, is not worth a note


@dataclass(frozen=True)
class ExcludedClip:
    """A clip that could not be used, and the reason."""

    id: str
    reason: str


@dataclass(frozen=True)
class PreparedNeedles:
    """The usable clips in the set's order, with notes on what was changed or left out."""

    needles: NeedleSet
    excluded: tuple[ExcludedClip, ...]
    notes: tuple[str, ...]
    _keys: tuple[str, ...]
    _cache: FeatureCache
    _frontend: Frontend
    _keep_waveform: bool
    _digests: tuple[str, ...]
    _in_memory: BoundedStore[NeedleFeatures] = field(compare=False, repr=False)

    def __len__(self) -> int:
        return len(self._keys)

    def only(self, ids: frozenset[str]) -> "PreparedNeedles":
        """Return the same without the clips whose id is not among `ids`."""
        chosen = [i for i, needle in enumerate(self.needles.needles) if needle.id in ids]
        clips = tuple(self.needles.needles[i] for i in chosen)
        return dataclasses.replace(
            self,
            needles=dataclasses.replace(self.needles, needles=clips),
            _keys=tuple(self._keys[i] for i in chosen),
            _digests=tuple(self._digests[i] for i in chosen),
        )

    @property
    def content_sha256(self) -> str:
        """Hash of the clips' ids, labels and sounds, in any order (`NeedleSet.content_sha256`)."""
        return self.needles.content_sha256(self._digests)

    def marks(self) -> str:
        """Return the clips' marks (`NeedleSet.marks`), sorted and joined; "" for more than `MOST_MARKED` clips."""
        return "".join(sorted(self._marks())) if len(self) <= MOST_MARKED else ""

    def unmarked(self, marks: str) -> list[str]:
        """Return the ids of the clips that are not among those of `marks`, or have changed since.

        Args:
            marks: of all clips of a run, as `marks` returns them.
        """
        starts = range(0, len(marks), MARK_DIGITS)
        known = {marks[start : start + MARK_DIGITS] for start in starts}
        clips = zip(self.needles.needles, self._marks(), strict=True)
        return [needle.id for needle, mark in clips if mark not in known]

    def _marks(self) -> list[str]:
        return self.needles.marks(self._digests)

    def features(self, index: int) -> NeedleFeatures:
        """Return one clip's features, from memory or the cache (computed again if it was cleared meanwhile)."""
        needle, key = self.needles.needles[index], self._keys[index]

        def read() -> NeedleFeatures:
            stored = self._cache.get_or_make(
                key, lambda: _arrays(needle, self._frontend, self._keep_waveform)
            )
            return _from_arrays(stored)

        return self._in_memory.get_or_make(key, read, _bytes_of)


def prepare_alike(
    needles: NeedleSet,
    frontends: Mapping[str, Frontend],
    cache: FeatureCache,
    *,
    keep_waveform: bool = False,
    strict: bool = False,
) -> dict[str, PreparedNeedles]:
    """Prepare the same clips for each front end; clips that one of them cannot use are left out of all.

    Args:
        needles: the clips, in the order of the results.
        frontends: front ends by model.
        cache: store of features.
        keep_waveform: store the clips' samples too, for level "mix".
        strict: refuse a bad or converted clip.

    Raises:
        NiahError: as `prepare`.
    """
    prepared: dict[str, PreparedNeedles] = {}
    for name, frontend in frontends.items():
        prepared[name] = prepare(
            needles, frontend, cache, keep_waveform=keep_waveform, strict=strict
        )
        needles = prepared[name].needles  # the next front end need not read excluded clips
    ids = frozenset(needle.id for needle in needles.needles)
    return {name: each.only(ids) for name, each in prepared.items()}


def prepare(
    needles: NeedleSet,
    frontend: Frontend,
    cache: FeatureCache,
    *,
    keep_waveform: bool = False,
    strict: bool = False,
) -> PreparedNeedles:
    """Read every clip once and store its features, on all cores.

    Args:
        needles: the clips, in the order that results keep.
        frontend: the model's front end.
        cache: where features are stored.
        keep_waveform: whether noise is to be mixed under the clips, which needs their samples (level "mix").
        strict: refuse a bad or converted clip instead of leaving it out with a note.

    Raises:
        NiahError: a bad clip under `strict`, or no clip that can be used.
    """
    usable: list[Needle] = []
    keys: list[str] = []
    digests: list[str] = []
    excluded: list[ExcludedClip] = []
    ids_by_note: dict[str, list[str]] = {}
    in_memory = BoundedStore[NeedleFeatures](_MEMORY_BYTES)
    kind = frontend.fingerprint, "mix" if keep_waveform else "surround"

    def read(needle: Needle) -> tuple[str, str, Arrays] | AudioError:
        try:
            digest = needle.source.digest()
            key = content_key(digest, *kind)
            stored = cache.get_or_make(key, lambda: _arrays(needle, frontend, keep_waveform))
        except AudioError as error:
            return error
        return digest, key, stored

    threads = max(1, min(threads_of_jobs(), usable_bytes() // _LARGEST_BYTES))
    results = results_in_order(read, needles.needles, threads)
    clips = track(results, "needles", len(needles.needles))
    for needle, result in zip(needles.needles, clips, strict=True):
        if isinstance(result, AudioError):
            if strict:
                raise result
            excluded.append(ExcludedClip(needle.id, str(result)))
            continue
        digest, key, stored = result
        for note in stored["notes"].tolist():
            if strict and not note.startswith(_LONGER):
                raise NiahError(f"clip {needle.id}: {note} (refused under --strict)")
            ids_by_note.setdefault(note, []).append(needle.id)
        if note := length_note(int(stored["samples"][0]), frontend):
            ids_by_note.setdefault(note, []).append(needle.id)
        in_memory.get_or_make(key, partial(_from_arrays, stored), _bytes_of)
        usable.append(needle)
        keys.append(key)
        digests.append(digest)
    if not usable:
        first = f"; the first: {excluded[0].reason}" if excluded else ""
        raise NiahError(
            f"none of the {len(needles.needles)} clips of {needles.name} can be used{first}"
        )
    notes = [
        f"{len(ids)} {'clip' if len(ids) == 1 else 'clips'}: {note} ({_some(ids)})"
        for note, ids in ids_by_note.items()
    ]
    if excluded:
        reasons = _some([clip.reason for clip in excluded])
        notes.insert(0, f"{len(excluded)} of {len(needles.needles)} clips left out: {reasons}")
    return PreparedNeedles(
        dataclasses.replace(needles, needles=tuple(usable)),
        tuple(excluded),
        tuple(notes),
        tuple(keys),
        cache,
        frontend,
        keep_waveform,
        tuple(digests),
        in_memory,
    )


def usable_waveform(needle: Needle, frontend: Frontend) -> Waveform:
    """Read a clip for a front end, mono float32 (samples,).

    Args:
        needle: the clip.
        frontend: the model's front end.

    Raises:
        AudioError: it is unreadable, shorter than a frame, or silent where it is hidden.
    """
    sound = waveform(needle, frontend.sample_rate)
    if frontend.frames(len(sound.samples)) == 0:
        shortest = f"shorter than one frame ({shortest_ms(frontend):g} ms)"
        raise AudioError(needle.source.name, "too-short", shortest)
    if np.ptp(sound.samples[: _hidden_samples(frontend)]) == 0:
        raise AudioError(needle.source.name, "silent", "is silent for the 10 s that are hidden")
    return sound


def length_note(n_samples: int, frontend: Frontend) -> str:
    """Return a note on a clip that is longer or shorter than a needle's 10 s; "" on others.

    Args:
        n_samples: samples of the clip.
        frontend: the model's front end.
    """
    difference = n_samples - _hidden_samples(frontend)
    if difference > CUT_S * frontend.sample_rate:
        return f"{_LONGER}; the first 10 s are hidden"
    if difference < -CUT_S * frontend.sample_rate:
        return "shorter than 10 s; padded to it"
    return ""


def _arrays(
    needle: Needle, frontend: Frontend, keep_waveform: bool
) -> dict[str, NDArray[np.generic]]:
    sound = usable_waveform(needle, frontend)
    made = needle_features(frontend, sound.samples, keep_waveform=keep_waveform)
    arrays: dict[str, NDArray[np.generic]] = {
        "features": made.features.numpy(),
        "rms": np.float64(made.rms).reshape(1),
        "samples": np.array([made.samples, made.frames]),
        "notes": np.array(sound.notes, dtype=np.str_),
    }
    if made.waveform is not None:
        arrays["waveform"] = made.waveform
    return arrays


def _hidden_samples(frontend: Frontend) -> int:
    """Samples of a clip that lie in a needle's frames."""
    return frontend.needle_frames * frontend.frame_shift - frontend.lead


def _from_arrays(stored: dict[str, NDArray[np.generic]]) -> NeedleFeatures:
    samples, frames = (int(n) for n in stored["samples"])
    wave = stored.get("waveform")
    return NeedleFeatures(
        torch.from_numpy(stored["features"]),
        float(stored["rms"][0]),
        samples,
        frames,
        None if wave is None else wave.astype(np.float32),
    )


def _bytes_of(features: NeedleFeatures) -> int:
    wave = features.waveform
    return features.features.nbytes + (0 if wave is None else wave.nbytes)


def _some(things: list[str]) -> str:
    more = f", and {len(things) - _SHOWN} more" if len(things) > _SHOWN else ""
    return "; ".join(things[:_SHOWN]) + more
