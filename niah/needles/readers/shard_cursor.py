"""Sounds of shards, read in the order in which they stand: a shard is opened once, and read from beginning to end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from niah.audio import AudioError
from niah.errors import NiahError
from niah.needles.needle import FileSource, Source
from niah.needles.readers.parquet import ParquetSource, opened, sound_bytes
from niah.needles.readers.tar_shards import TarSource

_ROWS_AT_ONCE = 8  # of a Parquet shard: a few MB


def place_in_shard(source: Source) -> tuple[str, int, int, str]:
    """Return what sorts sounds as they stand in their shards: the shard, and the place in it.

    Args:
        source: of a tar or Parquet shard; a file's shard is its folder, and all other sounds are of one.
    """
    if isinstance(source, TarSource):
        return source.shard, source.offset, 0, ""
    if isinstance(source, ParquetSource):
        return str(source.path), source.row_group, source.row, ""
    if isinstance(source, FileSource):
        folder, _, name = str(source.file).rpartition("/")
        return folder, 0, 0, name
    return "", 0, 0, ""


class ShardCursor:
    """Reads the encoded sounds of shards one after another; a jump costs no more than opening a shard anew."""

    def __init__(self) -> None:
        self._tar: tuple[str, BinaryIO] | None = None
        self._parquet: _ParquetRows | None = None

    def read(self, source: Source) -> bytes | Source:
        """Return the bytes of a sound in a shard; any other source is returned as it is, to be read when it is used.

        Args:
            source: the sound.

        Raises:
            AudioError: the shard cannot be read there.
        """
        if isinstance(source, TarSource):
            return self._tar_bytes(source)
        if isinstance(source, ParquetSource):
            return self._parquet_bytes(source)
        return source

    def close(self) -> None:
        """Close the shard that is open."""
        if self._tar is not None:
            self._tar[1].close()
        self._tar = self._parquet = None

    def _tar_bytes(self, source: TarSource) -> bytes:
        try:
            if self._tar is None or self._tar[0] != source.shard:
                self.close()
                self._tar = source.shard, Path(source.shard).open("rb")  # noqa: SIM115 - it stays open
            stream = self._tar[1]
            stream.seek(source.offset)
            content = stream.read(source.size)
        except OSError as error:
            raise AudioError(source.name, "missing", f"cannot be read ({error})") from error
        if len(content) < source.size:
            raise AudioError(source.name, "truncated", "its shard ends before it does")
        return content

    def _parquet_bytes(self, source: ParquetSource) -> bytes:
        import pyarrow

        try:
            if self._parquet is None or not self._parquet.is_ahead(source):
                self.close()
                self._parquet = _ParquetRows(source)
            content = self._parquet.read(source)
        except (pyarrow.ArrowException, OSError, NiahError) as error:
            self._parquet = None
            raise AudioError(source.name, "truncated", f"cannot be read ({error})") from error
        if content is None:
            raise AudioError(source.name, "missing", "the row has no audio bytes")
        return content


class _ParquetRows:
    """The rows of a shard from some row group on, a few at a time."""

    def __init__(self, first: ParquetSource) -> None:
        self._path, self._column = first.path, first.column
        self._file = opened(first.path)
        self._enter(first.row_group)

    def _enter(self, row_group: int) -> None:
        self._group, self._begin = row_group, 0
        self._batch: Any = None
        self._batches: Iterator[Any] = self._file.iter_batches(
            batch_size=_ROWS_AT_ONCE, row_groups=[row_group], columns=[self._column]
        )

    def is_ahead(self, source: ParquetSource) -> bool:
        """Return whether a row is in this shard and not yet behind."""
        mine = (source.path, source.column) == (self._path, self._column)
        return mine and (source.row_group, source.row) >= (self._group, self._begin)

    def read(self, source: ParquetSource) -> bytes | None:
        if source.row_group != self._group:
            self._enter(source.row_group)
        while self._batch is None or source.row >= self._begin + self._batch.num_rows:
            self._begin += 0 if self._batch is None else self._batch.num_rows
            self._batch = next(self._batches, None)
            if self._batch is None:
                raise NiahError(f"{self._path}: changed while it was in use")
        return sound_bytes(self._batch, source.row - self._begin)
