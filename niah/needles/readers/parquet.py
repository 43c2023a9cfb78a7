"""Parquet shards with embedded audio, as on the Hugging Face hub.

AudioSet (`agkphysics/AudioSet`): `video_id`, `labels` (list of MIDs), `audio` {bytes, path}.
ESC-50 (`ashraq/esc50`): `filename, fold, target, category, esc10`, `audio`. Other sets: any column of embedded files
and any of labels (`niah.needles.readers.parquet_columns`). A column `group` names the recording that a clip was cut
from (else `video_id`, `src_file` or ESC-50's file name does). Loading reads the small columns only; a clip's bytes are
read on demand, a few rows at a time.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from niah.audio import AudioError, Waveform, load
from niah.errors import NiahError
from niah.needles.needle import LONGEST_CLIP_S
from niah.needles.readers import esc50, splits
from niah.needles.readers.audioset_csv import LICENCE as AUDIOSET_LICENCE
from niah.needles.readers.labels import LabelReader
from niah.needles.readers.parquet_columns import Columns, find_columns, with_choice
from niah.needles.readers.path_label_csv import (
    LICENCE_COLUMNS,
    NOT_STATED,
    begin_columns,
    times_note,
)
from niah.needles.readers.rows import (
    NeedleRow,
    NeedleRows,
    Request,
    Row,
    counted,
    esc50_recording,
    needles_of,
    no_row_passes,
    passing,
)
from niah.system.folder_walk import files_below
from niah.system.lfs_pointer import refuse_lfs_pointer

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
    column: str = "audio.bytes"

    @property
    def name(self) -> str:
        """Return the shard and the clip's id, for messages."""
        return f"{self.path}, clip {self.id or f'{self.row_group}:{self.row}'}"

    def read(self) -> bytes:
        """Read the embedded file's bytes.

        Raises:
            AudioError: the row has none.
        """
        import pyarrow

        try:
            state = self.path.stat()
            place = self.row_group, self.row, self.column
            content = _audio_bytes(self.path, *place, state.st_mtime_ns, state.st_size)
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
    request = with_choice(request, opened(shards[0]).schema_arrow.names)
    if path.is_dir() and not _has_split_column(shards[0]):
        shards = splits.of_one_split(shards, path, request)
        request = splits.without_split(request)
    prefixes = _prefixes(shards, path)
    reader = ShardReader(request, str(path))
    for shard in shards:
        reader.add(shard, prefixes[shard])
    return reader.rows()


class ShardReader:
    """Reads the clips of one shard after another."""

    def __init__(self, request: Request, name: str) -> None:
        self._request, self._name = request, name
        self._labels = LabelReader(request)
        self._entries: list[NeedleRow] = []
        self._esc_clips: list[esc50.EscClip] = []
        self._n_rows = self._n_passed = 0
        self._stated: Counter[str] = Counter()  # licences in the rows
        self._is_audioset = False
        self._times: dict[str, None] = {}  # columns that are not read

    def add(self, shard: Path, prefix: str) -> int:
        """Read a shard; return the number of clips with a label so far.

        Args:
            shard: the file.
            prefix: the shard's name in the ids of clips that repeat.

        Raises:
            NiahError: a shard that is malformed, or too many rows.
        """
        file = opened(shard)
        self._n_rows += file.metadata.num_rows
        if self._n_rows > _MOST_ROWS:
            raise NiahError(
                f"{self._name}: has {self._n_rows} rows; a needle set has at most {_MOST_ROWS}"
            )
        columns = find_columns(file, shard, self._request)
        self._times |= dict.fromkeys(begin_columns(file.schema_arrow.names))
        read = list(_rows(file, shard, columns))
        rows = [row for row, _, _ in read]
        parts = {row.where: (labels, source) for row, labels, source in read}
        passed = passing(rows, self._request, shard) if rows else []
        self._n_passed += len(passed)
        is_esc50 = any(esc50.is_clip(row) for row in passed)
        for row in passed:
            labels, source = parts[row.where]
            if is_esc50:
                self._add_esc_clip(row, source)
            else:
                self._add_clip(row, labels, source, prefix)
        return len(self._entries) + len(self._esc_clips)

    def rows(self) -> NeedleRows:
        """Return all clips that were read.

        Raises:
            NiahError: no rows, none that passes the filters, or none with a label.
        """
        if not self._n_rows:
            raise NiahError(f"{self._name}: has no rows")
        if not self._n_passed:
            raise no_row_passes(self._request, self._name)
        if self._esc_clips:
            return esc50.labelled(self._esc_clips, self._request, Path(self._name))
        self._labels.check_any(self._entries)
        labels = self._labels.notes(self._n_passed, len(self._entries))
        notes = (*times_note([*self._times]), *labels)
        return NeedleRows(needles_of(self._entries), self._licence(), notes)

    def _licence(self) -> str:
        if self._stated:
            return counted(self._stated.elements())
        return AUDIOSET_LICENCE if self._is_audioset else NOT_STATED

    def _add_esc_clip(self, row: Row, source: "ParquetSource") -> None:
        is_esc10 = row.get("esc10").casefold() == "true"
        recording = row.get("group") or row.get("src_file")
        clip = esc50.EscClip(
            row["filename"], row["category"], is_esc10, source, row.where, recording
        )
        self._esc_clips.append(clip)

    def _add_clip(self, row: Row, labels: list[str], source: "ParquetSource", prefix: str) -> None:
        ids = self._labels.ids(
            [part for label in labels for part in self._labels.split(label)], row.where
        )
        full = f"{prefix}:{source.row_group}:{source.row}"
        recording = row.get("group") or row.get("video_id") or esc50_recording(source.id)
        if ids:
            self._is_audioset = self._is_audioset or "video_id" in row.cells
            stated = [row.get(column) for column in LICENCE_COLUMNS if row.get(column)]
            self._stated.update(stated[:1])
            self._entries.append(
                NeedleRow(source.id or full, full, ids, source, row.where, recording)
            )


def _rows(
    file: Any, shard: Path, columns: Columns
) -> Iterator[tuple[Row, list[str], ParquetSource]]:
    """Iterate over a shard's rows as text (lists joined by commas), their labels and their unread sounds."""
    names = [name for name in file.schema_arrow.names if name != columns.audio]
    with_path = not columns.id and columns.path_leaf
    leaves = {file.schema.column(i).path for i in range(len(file.schema))}
    extra = [columns.path_leaf] if with_path and columns.path_leaf in leaves else []
    count = 0
    for group in range(file.num_row_groups):
        for row, cells in enumerate(_cells(file, shard, group, [*names, *extra])):
            path = cells.pop(columns.audio, None)
            text = {name: _text(value) for name, value in cells.items()}
            id_ = text[columns.id] if columns.id else _stem(path)
            where = f"{shard}, row {count}"
            labels = _labels(cells[columns.labels], columns, where)
            source = ParquetSource(shard, group, row, id_, columns.audio_leaf)
            yield Row(where, text), labels, source
            count += 1


def _labels(value: object, columns: Columns, where: str) -> list[str]:
    """Return a cell's labels: names of its numbers, or its texts."""
    values = value if isinstance(value, list) else [value]
    if not columns.class_names:
        return [str(each) for each in values if each is not None]
    names = []
    for each in values:
        if isinstance(each, int) and each >= 0:  # -1 stands for no label
            if each >= len(columns.class_names):
                raise NiahError(
                    f"{where}: class {each} of column '{columns.labels}' is one of {len(columns.class_names)}"
                )
            names.append(columns.class_names[each])
    return names


def _stem(audio: object) -> str:
    """Return the name of the file that was embedded, without its suffix; "" if the row does not tell."""
    path = audio.get("path") if isinstance(audio, Mapping) else None
    return PurePosixPath(path).stem if isinstance(path, str) else ""


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
    return splits.COLUMN in opened(shard).schema_arrow.names


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


def opened(shard: Path) -> Any:
    """Open a shard.

    Args:
        shard: Parquet file.

    Raises:
        NiahError: it is none.
    """
    import pyarrow
    import pyarrow.parquet

    if shard.exists() and not shard.is_file():
        raise NiahError(f"{shard}: is not a regular file")
    try:
        return pyarrow.parquet.ParquetFile(shard, memory_map=True)
    except FileNotFoundError as error:
        raise NiahError(f"{shard}: no such file") from error
    except (pyarrow.ArrowException, OSError, ValueError) as error:  # names that are no UTF-8
        refuse_lfs_pointer(shard)
        raise NiahError(f"{shard}: is not a Parquet file ({error})") from error


def sound_bytes(batch: Any, row: int) -> bytes | None:
    """Return the embedded sound of a row; None where it has none.

    Args:
        batch: Arrow rows of the audio column alone.
        row: place in it.
    """
    audio: Mapping[str, bytes | None] | bytes | None = batch.column(0)[row].as_py()
    return audio["bytes"] if isinstance(audio, Mapping) else audio


# a clip is hashed for the cache, then decoded: one read serves both, in each thread
@lru_cache(maxsize=32)
def _audio_bytes(
    shard: Path,
    row_group: int,
    row: int,
    column: str,
    modified_ns: int,  # noqa: ARG001 - another file under the same path, as a notebook writes it
    size: int,  # noqa: ARG001
) -> bytes | None:
    batches = opened(shard).iter_batches(
        batch_size=_ROWS_AT_ONCE, row_groups=[row_group], columns=[column]
    )
    for batch in batches:
        if row < batch.num_rows:
            return sound_bytes(batch, row)
        row -= batch.num_rows
    raise NiahError(f"{shard}: changed while it was in use")
