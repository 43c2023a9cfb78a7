"""A first pass over the clips of a training: those that cannot be read are all named before step 0, and left out.

Silent clips stay: they are sound to train on, as in the official loaders. Clips that are longer than the network's
input are counted, since only their beginning is trained on. The verdicts are cached under the files' names, sizes and
times and the reader's version, so that a second start with the same clips reads none of them, but those that could not
be read.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from niah.audio import AudioError
from niah.audio.reader_version import reader_version
from niah.errors import NiahError
from niah.frontends import Frontend
from niah.needles import Needle, NeedleSet
from niah.needles.needle import Source
from niah.needles.prepared import CUT_S
from niah.needles.readers.events import EventSource
from niah.needles.readers.synthetic import SyntheticSource
from niah.needles.readers.tar_shards import TarSource
from niah.system.atomic import one_line_os_errors, read_json, write_json
from niah.system.numpy_threads import cores
from niah.system.progress import track
from niah.training.data.reading import read_samples

LARGEST_EXCLUDED_SHARE = 0.05
_SHOWN = 20


def usable_clips(
    needles: NeedleSet,
    frontend: Frontend,
    cache: Path,
    *,
    largest_share: float = LARGEST_EXCLUDED_SHARE,
    note: Callable[[str], None],
) -> NeedleSet:
    """Return the set without the clips that cannot be read, each named by `note` with the reason; count those cut.

    Args:
        needles: training or validation clips.
        frontend: front end whose sample rate and shortest clip (one frame) are demanded.
        cache: folder for the verdicts.
        largest_share: share of unreadable clips, 0 to 1, above which the set is refused; 0 refuses any.
        note: called with a line that names the clips left out, and one that names those longer than the input.

    Raises:
        NiahError: too many unreadable clips, or none left.
    """
    verdicts = _verdicts(needles, frontend, cache)
    reasons, cut = verdicts.reasons, verdicts.longer
    if cut:
        heard_s = frontend.samples(frontend.needle_frames) / frontend.sample_rate
        names = _named([needles.needles[index].source.name for index in cut])
        note(
            f"{needles.name}: clips longer than {heard_s:.4g} s, of which the first {heard_s:.4g} s are used: "
            f"{len(cut)} of {len(needles)} ({names})"
        )
    if not reasons:
        return needles
    total = len(needles)
    names = _named(list(reasons.values()), _SHOWN)
    text = f"{needles.name}: {len(reasons)} of {total} clips cannot be used: {names}"
    if len(reasons) == total or len(reasons) > largest_share * total:
        raise NiahError(f"{text}. Mend or remove them, or leave them out with --max-excluded SHARE")
    note(f"{text}. They are left out")
    usable = (needle for index, needle in enumerate(needles.needles) if index not in reasons)
    return dataclasses.replace(needles, needles=tuple(usable))


def _named(names: Sequence[str], most: int = 3) -> str:
    more = f"; and {len(names) - most} more" if len(names) > most else ""
    return "; ".join(names[:most]) + more


def content_checksum(needles: NeedleSet, sounds: str = "") -> str:
    """Return checksums of the clips' ids, of their labels and the sizes of their files, and of their sounds.

    A training is not taken up with other clips; its first checkpoints know only the ids, later ones not the sounds.

    Args:
        needles: training clips.
        sounds: from `sounds_checksum`, or `sizes_checksum` where the clips are not read before they are trained on.
    """
    content = hashlib.sha256()
    for needle in needles.needles:
        size = _size(needle.source) if hasattr(needle.source, "path") else ""  # as ever
        content.update(f"{needle.id}\n{','.join(needle.labels)}\n{size}\n".encode())
    return f"{needles.ids_sha256} {content.hexdigest()} {sounds}".rstrip()


def sizes_checksum(needles: NeedleSet) -> str:
    """Return a checksum of the sizes of the clips, in place of `sounds_checksum` where none is read beforehand."""
    sizes = "\n".join(_size(needle.source) for needle in needles.needles)
    return hashlib.sha256(sizes.encode()).hexdigest()


def sounds_checksum(needles: NeedleSet, frontend: Frontend, cache: Path) -> str:
    """Return a checksum of the clips' sounds; a WAV that was made again has another one, and often the size it had.

    Args:
        needles: as for `usable_clips`, which has read them.
        frontend: the same.
        cache: the same.
    """
    return _verdicts(needles, frontend, cache).sounds


@dataclass(frozen=True)
class _Verdict:
    """Why a clip cannot be used ("" where it can), the kind of reason, whether it is cut, and its sound's digest."""

    reason: str = ""
    kind: str = ""
    is_cut: bool = False
    digest: str = ""


@dataclass(frozen=True)
class _Verdicts:
    """Verdicts on a set, by index in it.

    Attributes:
        reasons: why clips cannot be used.
        longer: those that are cut.
        unread: those that could not be opened, as of a server that does not answer: they may be there the next time.
        sounds: SHA-256 over all digests.
    """

    reasons: Mapping[int, str]
    longer: Sequence[int]
    unread: Sequence[int]
    sounds: str


def _verdicts(needles: NeedleSet, frontend: Frontend, cache: Path) -> _Verdicts:
    """Look at every clip, or take what is stored of it."""
    path = cache / f"checked-{_key(needles, frontend)}.json"
    stored = _stored(path)
    if stored is not None and all(
        _verdict(needles.needles[index], frontend).reason for index in stored.unread
    ):
        return stored
    with ThreadPoolExecutor(cores()) as pool:  # decoding releases the interpreter lock
        results = pool.map(lambda each: _verdict(each, frontend), needles.needles)
        each_clip = list(track(results, f"reading {needles.name}", total=len(needles)))
    sounds = hashlib.sha256("\n".join(each.digest for each in each_clip).encode())
    verdicts = _Verdicts(
        {index: each.reason for index, each in enumerate(each_clip) if each.reason},
        [index for index, each in enumerate(each_clip) if each.is_cut],
        [index for index, each in enumerate(each_clip) if each.kind == "missing"],
        sounds.hexdigest(),
    )
    with one_line_os_errors(cache):
        cache.mkdir(parents=True, exist_ok=True)
    unusable = {str(index): reason for index, reason in verdicts.reasons.items()}
    write_json(path, {**vars(verdicts), "reasons": unusable})
    return verdicts


def _stored(path: Path) -> _Verdicts | None:
    """Return the verdicts of a file; None where there is none, or it is damaged or of an earlier version."""
    if not path.is_file():
        return None
    try:
        stored = read_json(path)
        reasons = {int(index): str(reason) for index, reason in stored["reasons"].items()}
        longer, unread = ([int(index) for index in stored[name]] for name in ("longer", "unread"))
        return _Verdicts(reasons, longer, unread, str(stored["sounds"]))
    except (NiahError, ValueError, LookupError, TypeError, AttributeError):
        path.unlink(missing_ok=True)
        return None


def _verdict(needle: Needle, frontend: Frontend) -> _Verdict:
    if isinstance(needle.source, SyntheticSource):
        return _Verdict(digest=needle.source.digest())
    try:
        samples = read_samples(needle.source, frontend.sample_rate)
        digest = needle.source.digest()
    except AudioError as error:
        return _Verdict(str(error), error.reason)
    if frontend.frames(len(samples)) == 0:
        return _Verdict(f"{needle.source.name}: is shorter than one frame", "too-short")
    surplus = len(samples) - frontend.samples(frontend.needle_frames)
    return _Verdict(is_cut=surplus > CUT_S * frontend.sample_rate, digest=digest)


def _key(needles: NeedleSet, frontend: Frontend) -> str:
    parts = hashlib.sha256(f"{reader_version()}\n{frontend.fingerprint}".encode())
    for needle in needles.needles:
        parts.update(
            f"{needle.id}\n{needle.source.name}\n{_state(needle.source)}\n".encode(
                errors="surrogatepass"
            )
        )
    return parts.hexdigest()[:24]


def _state(source: Source) -> str:
    """Return size and time of the file that a clip is in; "" where it is missing or there is none."""
    file = getattr(source, "path", None)
    if isinstance(source, EventSource):
        file = source.recording
    elif isinstance(source, TarSource):
        file = Path(source.shard)
    if not isinstance(file, Path):
        return ""
    try:
        status = file.stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"


def _size(source: Source) -> str:
    """Return the size of a clip's file, or of its entry in a tar shard; "" where it is missing or there is none."""
    return str(source.size) if isinstance(source, TarSource) else _state(source).partition(" ")[0]
