"""Parquet shards with embedded audio, as on the Hugging Face hub.

AudioSet (`agkphysics/AudioSet`): `video_id`, `labels` (list of MIDs), `audio` {bytes, path}.
ESC-50 (`ashraq/esc50`): `filename, fold, target, category, esc10`, `audio`. A column `group` names the recording that
a clip was cut from (else `video_id`, `src_file` or ESC-50's file name does). Loading reads the
small columns only; a clip's bytes are read on demand, a few rows at a time.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from niah.audio import AudioError, Waveform, load
from niah.errors import NiahError
from niah.needles.needle import LONGEST_CLIP_S
from niah.needles.readers import esc50, parquet_splits
from niah.needles.readers.audioset_csv import LICENCE
from niah.needles.readers.labels import LabelReader
from niah.needles.readers.rows import (
    NeedleRow,
    NeedleRows,
    Request,
    Row,
    esc50_recording,
    filtered,
    needles_of,
)
from niah.system.folder_walk import files_below

ID_COLUMNS = ("video_id", "id", "filename", "fname")
_ROWS_AT_ONCE = 8  # about 10 MB of 24-bit FLAC: what one read holds in memory
_MOST_ROWS = 8_000_000  # of a set: AudioSet has 2 million
_TEXT_ROWS_AT_ONCE = 1024  # of the small columns
_MOST_TEXT_BYTES = 1 << 26  # of those rows: a small file may unpack to terabytes


@dataclass(frozen=True)
class ParquetSource:
    """The audio bytes of one row."""

    path: Path
    row_group: int
    row: int
    id: str

    @property
    def name(self) -> str:
        """Return the shard and the clip's id, for messages."""
        return f"{self.path}, clip {self.id}"

    def read(self) -> bytes:
        """Read the embedded file's bytes.

        Raises:
            AudioError: the row has none.
        """
        import pyarrow

        try:
            content = _audio_bytes(self.path, self.row_group, self.row)
        except (pyarrow.ArrowException, OSError, NiahError) as error:
            raise AudioError(self.name, "truncated", f"cannot be read ({error})") from error
        if content is None:
            raise AudioError(self.name, "missing", "the row has no audio bytes")
        return content

    def waveform(self, sample_rate: int) -> Waveform:
        """Decode the sound; see `Source.waveform`."""
        return load(self.read(), sample_rate, name=self.name, longest_s=LONGEST_CLIP_S)

    def digest(self) -> str:
        """Return the SHA-256 of the embedded file."""
        return hashlib.sha256(self.read()).hexdigest()


def read(path: Path, request: Request) -> NeedleRows:
    """Read the clips of a shard, or of the shards of one split below a folder, in path order.

    Args:
        path: the file, or (Parquet) a folder of shards.
        request: vocabulary, audio folder, filters and strictness.

    Raises:
        NiahError: shards of several splits, or one that is malformed.
    """
    shards = files_below(path, (".parquet",)) if path.is_dir() else [path]
    if path.is_dir() and not _has_split_column(shards[0]):
        shards = parquet_splits.of_one_split(shards, path, request)
        filters = {c: v for c, v in request.filters.items() if c != parquet_splits.COLUMN}
        request = replace(request, filters=filters)
    prefixes = _prefixes(shards, path)
    n_rows = sum(_opened(shard).metadata.num_rows for shard in shards)
    if n_rows > _MOST_ROWS:
        raise NiahError(f"{path}: has {n_rows} rows; a needle set has at most {_MOST_ROWS}")
    pairs = [each for shard in shards for each in _rows(shard)]
    if not pairs:
        raise NiahError(f"{path}: has no rows")
    rows = filtered([row for row, _ in pairs], request, path)
    sources = {row.where: source for row, source in pairs}
    if "category" in rows[0].cells:
        clips = [
            esc50.EscClip(
                row["filename"],
                row["category"],
                row.get("esc10").casefold() == "true",
                sources[row.where],
                row.where,
                row.get("group") or row.get("src_file"),
            )
            for row in rows
        ]
        return esc50.labelled(clips, request, path)
    entries = []
    labels = LabelReader(request)
    for row in rows:
        source = sources[row.where]
        ids = labels.ids(labels.split(row["labels"]), row.where)
        full = f"{prefixes[source.path]}:{source.row_group}:{source.row}"
        recording = row.get("group") or row.get("video_id") or esc50_recording(source.id)
        if ids:
            entries.append(NeedleRow(source.id, full, ids, source, row.where, recording))
    labels.check_any(entries)
    return NeedleRows(needles_of(entries), LICENCE, labels.notes(len(rows), len(entries)))


def _rows(shard: Path) -> Iterator[tuple[Row, ParquetSource]]:
    """A shard's rows as text (lists joined by commas), without the audio."""
    file = _opened(shard)
    names = [name for name in file.schema_arrow.names if name != "audio"]
    # a struct's fields are leaves of the Parquet schema, with dotted paths
    leaves = {file.schema.column(i).path for i in range(len(file.schema))}
    if "audio.bytes" not in leaves:
        raise NiahError(f"{shard}: lacks the column 'audio' with embedded 'bytes'")
    if "labels" not in names and "category" not in names:
        raise NiahError(f"{shard}: lacks a column 'labels' (or ESC-50's 'category')")
    id_column = next((name for name in ID_COLUMNS if name in names), None)
    if id_column is None:
        raise NiahError(f"{shard}: lacks a column of clip ids ({', '.join(ID_COLUMNS)})")
    if "category" in names and "filename" not in names:
        raise NiahError(f"{shard}: has a column 'category' but none 'filename', as ESC-50 has")
    count = 0
    for group in range(file.num_row_groups):
        for row, cells in enumerate(_cells(file, shard, group, names)):
            text = {name: _text(value) for name, value in cells.items()}
            where = f"{shard}, row {count}"
            yield Row(where, text), ParquetSource(shard, group, row, text[id_column])
            count += 1


def _cells(file: Any, shard: Path, group: int, names: list[str]) -> Iterator[dict[str, object]]:
    """Read the small columns of a row group, a bounded number of rows at a time."""
    import pyarrow

    batches = file.iter_batches(batch_size=_TEXT_ROWS_AT_ONCE, row_groups=[group], columns=names)
    try:
        for batch in batches:
            if batch.nbytes > _MOST_TEXT_BYTES:
                raise NiahError(
                    f"{shard}, row group {group}: {batch.num_rows} rows have {batch.nbytes >> 20} MiB beside their "
                    "audio: drop the columns that are not needed"
                )
            yield from batch.to_pylist()
    except (
        pyarrow.ArrowException,
        OSError,
        ValueError,
        OverflowError,
    ) as error:  # a date of the year 10^5
        reason = " ".join(str(error).split())
        raise NiahError(f"{shard}, row group {group}: is damaged ({reason})") from error


def _has_split_column(shard: Path) -> bool:
    return parquet_splits.COLUMN in _opened(shard).schema_arrow.names


def _prefixes(shards: list[Path], path: Path) -> dict[Path, str]:
    """Return each shard's name in the ids of clips that repeat: its stem, or its path where stems repeat."""
    stems = Counter(shard.stem for shard in shards)
    return {
        shard: shard.stem
        if stems[shard.stem] == 1
        else shard.relative_to(path).with_suffix("").as_posix()
        for shard in shards
    }


def _text(value: object) -> str:
    if isinstance(value, list):
        return ",".join(str(each) for each in value)
    return "" if value is None else str(value)


def _opened(shard: Path) -> Any:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(shard, memory_map=True)
    except FileNotFoundError as error:
        raise NiahError(f"{shard}: no such file") from error
    except (pyarrow.ArrowException, OSError) as error:
        raise NiahError(f"{shard}: is not a Parquet file ({error})") from error


@lru_cache(maxsize=1)  # a clip is hashed for the cache, then decoded: one read serves both
def _audio_bytes(shard: Path, row_group: int, row: int) -> bytes | None:
    batches = _opened(shard).iter_batches(
        batch_size=_ROWS_AT_ONCE, row_groups=[row_group], columns=["audio.bytes"]
    )
    for batch in batches:
        if row < batch.num_rows:
            audio: Mapping[str, bytes | None] | None = batch.column(0)[row].as_py()
            return audio["bytes"] if audio else None
        row -= batch.num_rows
    raise NiahError(f"{shard}: changed while it was in use")
