"""A first pass over the clips of a training: those that cannot be read are all named before step 0, and left out.

Silent clips stay: they are sound to train on, as in the official loaders. Clips that are longer than the network's
input are counted, since only their beginning is trained on. The verdicts are cached under the files' names, sizes and
times, so that a second start with the same clips reads none of them.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from niah.audio import AudioError
from niah.errors import NiahError
from niah.frontends import Frontend
from niah.needles import Needle, NeedleSet
from niah.needles.prepared import CUT_S
from niah.needles.readers.synthetic import SyntheticSource
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
    reasons, cut = _verdicts(needles, frontend, cache)
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


def content_checksum(needles: NeedleSet) -> str:
    """Return a checksum of the clips' ids, a blank, and one of their labels and the sizes of their files.

    A training is not taken up with other clips; its first checkpoints know only the ids.

    Args:
        needles: training clips.
    """
    content = hashlib.sha256()
    for needle in needles.needles:
        size = _state(needle).partition(" ")[0]
        content.update(f"{needle.id}\n{','.join(needle.labels)}\n{size}\n".encode())
    return f"{needles.ids_sha256} {content.hexdigest()}"


def _verdicts(
    needles: NeedleSet, frontend: Frontend, cache: Path
) -> tuple[dict[int, str], list[int]]:
    """Return the reasons why clips cannot be used, by index in the set, and the indices of those that are cut."""
    path = cache / f"checked-{_key(needles, frontend)}.json"
    if path.is_file():
        try:
            stored = read_json(path)
            reasons = {int(index): str(reason) for index, reason in stored["unusable"].items()}
            return reasons, [int(index) for index in stored["longer"]]
        except (NiahError, ValueError, LookupError, TypeError, AttributeError):
            # damaged, or of an earlier version
            path.unlink(missing_ok=True)
    to_read = [
        (index, needle)
        for index, needle in enumerate(needles.needles)
        if not isinstance(needle.source, SyntheticSource)
    ]
    reasons, cut = {}, []
    with ThreadPoolExecutor(cores()) as pool:  # decoding releases the interpreter lock
        verdicts = pool.map(lambda each: _verdict(each[1], frontend), to_read)
        for (index, _), (reason, is_cut) in track(
            zip(to_read, verdicts, strict=True), f"reading {needles.name}", total=len(to_read)
        ):
            if reason:
                reasons[index] = reason
            elif is_cut:
                cut.append(index)
    with one_line_os_errors(cache):
        cache.mkdir(parents=True, exist_ok=True)
    unusable = {str(index): reason for index, reason in reasons.items()}
    write_json(path, {"unusable": unusable, "longer": cut})
    return reasons, cut


def _verdict(needle: Needle, frontend: Frontend) -> tuple[str, bool]:
    """Return the reason why a clip cannot be used, and whether it is longer than the network's input."""
    try:
        samples = read_samples(needle.source, frontend.sample_rate)
    except AudioError as error:
        return str(error), False
    if frontend.frames(len(samples)) == 0:
        return f"{needle.source.name}: is shorter than one frame", False
    surplus = len(samples) - frontend.samples(frontend.needle_frames)
    return "", surplus > CUT_S * frontend.sample_rate


def _key(needles: NeedleSet, frontend: Frontend) -> str:
    parts = hashlib.sha256(frontend.fingerprint.encode())
    for needle in needles.needles:
        parts.update(
            f"{needle.id}\n{needle.source.name}\n{_state(needle)}\n".encode(errors="surrogatepass")
        )
    return parts.hexdigest()[:24]


def _state(needle: Needle) -> str:
    """Return size and time of a clip's file; "" where it is missing or no file."""
    path = getattr(needle.source, "path", None)
    if not isinstance(path, Path):
        return ""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"
