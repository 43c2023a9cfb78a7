"""Tar shards in the layout of webdataset: a clip's files stand side by side and share their name up to its first dot.

    000017.flac  000017.json        {"labels": ["/m/0bt9lr"], ..}, or label, tags, classes; a text or a list
    000018.wav   000018.cls         one label
    000019.ogg   000019.txt         labels joined by ; or ,

Shards of several splits (`train-000.tar`, `val/000.tar`) are told apart as Parquet's are (`parquet_splits`).
A JSON key `group` (or `video_id`) names the recording; its other keys with a text or number are columns to filter by.
Loading reads headers and labels only. A clip is read at its place in the shard; nothing is unpacked to the disk.
"""

import hashlib
import json
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from niah.audio import AUDIO_SUFFIXES, AudioError, Waveform, load
from niah.errors import NiahError
from niah.needles.needle import LONGEST_CLIP_S
from niah.needles.readers.labels import LabelReader
from niah.needles.readers.rows import (
    NeedleRow,
    NeedleRows,
    Request,
    Row,
    needles_of,
    no_row_passes,
    passing,
)
from niah.needles.readers.splits import NO_SPLIT, of_one_split, split_of, without_split
from niah.system.folder_walk import files_below
from niah.system.lfs_pointer import refuse_lfs_pointer

SUFFIX = ".tar"
LABEL_KEYS = ("labels", "label", "tags", "classes", "class")
GROUP_KEYS = ("group", "video_id")
_LABEL_SUFFIXES = (".json", ".cls", ".txt")
_MOST_LABEL_BYTES = 1 << 20
_MOST_CLIP_BYTES = 1 << 30
_MOST_CLIPS = 8_000_000  # AudioSet has 2 million


@dataclass(frozen=True, slots=True)
class TarSource:
    """The bytes of one sound in a shard."""

    shard: str
    offset: int
    size: int
    member: str

    @property
    def name(self) -> str:
        """Return the shard and the file in it, for messages."""
        return f"{self.shard}, {self.member}"

    def read(self) -> bytes:
        """Read the embedded file's bytes.

        Raises:
            AudioError: the shard has changed, or ends before the file does.
        """
        try:
            with Path(self.shard).open("rb") as stream:
                stream.seek(self.offset)
                content = stream.read(self.size)
        except OSError as error:
            raise AudioError(self.name, "missing", f"cannot be read ({error})") from error
        if len(content) < self.size:
            raise AudioError(self.name, "truncated", "its shard ends before it does")
        return content

    def waveform(self, sample_rate: int) -> Waveform:
        """Decode the sound; see `Source.waveform`."""
        return load(self.read(), sample_rate, name=self.name, longest_s=LONGEST_CLIP_S)

    def digest(self) -> str:
        """Return the SHA-256 of the embedded file."""
        return hashlib.sha256(self.read()).hexdigest()


@dataclass
class _Clip:
    """The files of one name in a shard."""

    source: TarSource | None = None
    labels: list[str] = field(default_factory=list)
    cells: dict[str, str] = field(default_factory=dict)


def read(path: Path, request: Request) -> NeedleRows:
    """Read the clips of a shard, or of the shards of one split below a folder, in path order.

    Args:
        path: the file, or a folder of shards.
        request: vocabulary, filters and strictness.

    Raises:
        NiahError: shards of several splits, one that is malformed or compressed, or no clip with a label.
    """
    shards = files_below(path, (SUFFIX,)) if path.is_dir() else [path]
    if path.is_dir() and any(split_of(shard, path) != NO_SPLIT for shard in shards):
        shards = of_one_split(shards, path, request)
        request = without_split(request)
    stems = Counter(shard.stem for shard in shards)
    labels = LabelReader(request)
    entries: list[NeedleRow] = []
    n_clips = n_passed = 0
    for shard in shards:
        prefix = shard.stem if stems[shard.stem] == 1 else str(shard.relative_to(path))
        clips = {key: clip for key, clip in _clips(shard) if clip.source is not None}
        n_clips += len(clips)
        if n_clips > _MOST_CLIPS:
            raise NiahError(f"{path}: a needle set has at most {_MOST_CLIPS} clips")
        columns = dict.fromkeys((name for clip in clips.values() for name in clip.cells), "")
        rows = [Row(key, {**columns, **clip.cells}) for key, clip in clips.items()]
        for row in passing(rows, request, shard) if rows else []:
            n_passed += 1
            clip = clips[row.where]
            assert clip.source is not None
            ids = labels.ids(
                [part for text in clip.labels for part in labels.split(text)], clip.source.name
            )
            if ids:
                group = next((row.get(name) for name in GROUP_KEYS if row.get(name)), "")
                short = PurePosixPath(row.where).name
                full = f"{prefix}:{row.where}"
                entries.append(NeedleRow(short, full, ids, clip.source, clip.source.name, group))
    if not n_clips:
        raise NiahError(f"{path}: holds no sounds ({', '.join(sorted(AUDIO_SUFFIXES))})")
    if not n_passed:
        raise no_row_passes(request, str(path))
    labels.check_any(entries)
    return NeedleRows(
        needles_of(entries), "not stated by the shards", labels.notes(n_passed, len(entries))
    )


def _clips(shard: Path) -> Iterator[tuple[str, _Clip]]:
    """Yield the clips of a shard, each when its last file is behind, so that only one is in memory."""
    key, clip = "", _Clip()
    seen: set[str] = set()
    for member, stream in _members(shard):
        path = PurePosixPath(member.name)
        stem, _, ending = path.name.partition(".")
        own = str(path.with_name(stem)) if stem else ""
        if not own:  # a hidden file
            continue
        if own != key:
            if key:
                yield key, clip
            if own in seen:
                raise NiahError(f"{shard}: the files of '{own}' do not stand side by side")
            seen.add(own)
            key, clip = own, _Clip()
        suffix = f".{ending.lower()}"
        if suffix in AUDIO_SUFFIXES:
            if clip.source is not None:
                raise NiahError(f"{shard}: '{own}' has two sounds")
            if member.size > _MOST_CLIP_BYTES:
                raise NiahError(f"{shard}, {member.name}: is larger than a clip can be")
            clip.source = TarSource(str(shard), member.offset_data, member.size, member.name)
        elif suffix in _LABEL_SUFFIXES:
            if member.size > _MOST_LABEL_BYTES:
                raise NiahError(f"{shard}, {member.name}: is too large for labels")
            content = stream.extractfile(member)
            _add_labels(clip, suffix, content.read() if content else b"", f"{shard}, {member.name}")
    if key:
        yield key, clip


def _members(shard: Path) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    """Yield the regular files of a shard in order; links and devices are passed over."""
    if not shard.is_file():
        raise NiahError(f"{shard}: is not a regular file")
    try:
        with tarfile.open(shard, "r:") as stream:
            for member in stream:
                if member.isreg() and not member.issparse():
                    yield member, stream
                stream.members = []  # type: ignore[attr-defined]  # else every header stays in memory
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        refuse_lfs_pointer(shard)
        hint = ": unpack it" if _is_compressed(shard) else ""
        raise NiahError(f"{shard}: is not a plain tar file ({error}){hint}") from error


def _is_compressed(shard: Path) -> bool:
    with shard.open("rb") as stream:
        return stream.read(6).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"))


def _add_labels(clip: _Clip, suffix: str, content: bytes, where: str) -> None:
    try:
        text = content.decode()
        stored: Any = json.loads(text) if suffix == ".json" else text.strip()
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise NiahError(f"{where}: cannot be read ({error})") from error
    if suffix != ".json":
        clip.labels += [stored] if stored else []
        return
    if not isinstance(stored, Mapping):
        raise NiahError(f"{where}: must hold an object with {', '.join(LABEL_KEYS)}")
    for name in LABEL_KEYS:
        if name in stored:
            values = stored[name] if isinstance(stored[name], list) else [stored[name]]
            if not all(isinstance(value, str) for value in values):
                raise NiahError(f"{where}: '{name}' must be a text or a list of texts")
            clip.labels += values
            break
    plain = {k: v for k, v in stored.items() if isinstance(v, str | int | float)}
    clip.cells |= {str(name): str(value) for name, value in plain.items()}
