"""Split ZIP archives (name.z01, name.z02, .., name.zip) as one archive that `zipfile` opens.

The directory of a split archive states each file's offset within the part where the file begins (APPNOTE.TXT 4.4.11,
4.4.16), which `zipfile` does not support. Here the parts are read as one file with a directory that is written anew:
its offsets are from the beginning of the whole. Nothing is copied, the content stays in the parts.
"""

import io
import struct
import zipfile
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

_END = struct.Struct("<4s4H2LH")  # end of the directory, APPNOTE.TXT 4.3.16
_END64 = struct.Struct("<4sQ2H2L4Q")  # the same with 64 bits, 4.3.14
_LOCATOR64 = struct.Struct("<4sLQL")  # where that is, 4.3.15
_ENTRY = struct.Struct("<4s6H3L5H2L")  # one file of the directory, 4.3.12
_FIELD = struct.Struct("<2H")  # head of an extra field, 4.5.1
_ZIP64_FIELD = 1
_LONG, _SHORT = 2**32 - 1, 2**16 - 1  # "the value is in the ZIP64 field"
_MOST_COMMENT = 2**16
_MOST_DIRECTORY = 2**28  # bytes; the 40,966 names of FSD50K's larger half take 4 MB


@contextmanager
def open_split(parts: Sequence[Path]) -> Iterator[zipfile.ZipFile]:
    """Open the parts of a split archive as one archive.

    Args:
        parts: all of them in order; the last is the `.zip`.

    Yields:
        The archive, to read.

    Raises:
        zipfile.BadZipFile: the directory is damaged, or there are other parts than it states.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(part.open("rb")) for part in parts]
        sizes = [part.stat().st_size for part in parts]
        try:
            directory = _directory(JoinedFile(files, sizes))
            entries = list(_entries(directory))
            if directory.offset > sum(sizes) or any(e.disk >= len(parts) for e in entries):
                raise zipfile.BadZipFile("its directory states parts that are not there")
            tail = _plain_directory(directory, entries)
        except struct.error as error:
            raise zipfile.BadZipFile(f"its directory is cut short: {error}") from error
        yield stack.enter_context(zipfile.ZipFile(_with_directory(files, sizes, directory, tail)))


class JoinedFile(io.RawIOBase):
    """Files one after another, read as one file.

    Args:
        files: they can seek, and are not closed.
        sizes: bytes of each that are read.

    Attributes:
        starts: offset of each file's first byte in the whole, and the size of the whole.
    """

    def __init__(self, files: Sequence[BinaryIO], sizes: Sequence[int]) -> None:
        self.files = list(files)
        self.starts = [0]
        for size in sizes:
            self.starts.append(self.starts[-1] + size)
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position and return it."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.starts[-1]}
        if origin[whence] + offset < 0:
            raise OSError("a position before the beginning")  # as files do; zipfile catches it
        self._position = origin[whence] + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Read at most `size` bytes; all that is left if it is negative."""
        left = max(0, self.starts[-1] - self._position)
        left = left if size is None or size < 0 else min(size, left)
        pieces = []
        while left:
            number = bisect_right(self.starts, self._position) - 1
            file = self.files[number]
            file.seek(self._position - self.starts[number])
            piece = file.read(min(left, self.starts[number + 1] - self._position))
            if not piece:
                raise EOFError("a part became shorter while it was read")
            pieces.append(piece)
            self._position += len(piece)
            left -= len(piece)
        return b"".join(pieces)


class _Directory(NamedTuple):
    """The directory of a split archive: its place in the whole, content, number of files, and the parts' offsets."""

    offset: int
    content: bytes
    n_files: int
    starts: Sequence[int]


class _Entry(NamedTuple):
    """One file of a directory: head, name with what follows it, sizes in bytes, and where it begins."""

    head: tuple[bytes | int, ...]
    name: bytes
    extra: bytes
    comment: bytes
    size: int
    packed_size: int
    disk: int
    offset: int


def _directory(joined: JoinedFile) -> _Directory:
    """Find and read the directory at the end of the parts."""
    whole = joined.starts[-1]
    begin = max(0, whole - _MOST_COMMENT - _END.size)
    joined.seek(begin)
    tail = joined.read()
    place = tail.rfind(b"PK\5\6")
    if place < 0:
        raise zipfile.BadZipFile("it has no directory at its end")
    _, last, disk, _, count, size, offset, _ = _END.unpack_from(tail, place)
    if _SHORT in (last, disk, count) or _LONG in (size, offset):
        last, disk, count, size, offset = _end64(joined, begin + place)
    parts = len(joined.files)
    if last + 1 != parts:
        raise zipfile.BadZipFile(f"it has {last + 1} parts, not {parts}")
    if size > _MOST_DIRECTORY or disk >= parts:
        raise zipfile.BadZipFile("its directory is of no such archive")
    joined.seek(joined.starts[disk] + offset)
    return _Directory(joined.starts[disk] + offset, joined.read(size), count, joined.starts[:-1])


def _end64(joined: JoinedFile, end: int) -> tuple[int, int, int, int, int]:
    """Read a directory's end with 64 bits: last part, then the directory's part, number of files, size, offset."""
    joined.seek(end - _LOCATOR64.size)
    signature, disk, offset, _ = _LOCATOR64.unpack(joined.read(_LOCATOR64.size))
    if signature != b"PK\6\7" or disk >= len(joined.files):
        raise zipfile.BadZipFile("its directory is damaged")
    joined.seek(joined.starts[disk] + offset)
    signature, _, _, _, last, disk, _, count, size, offset = _END64.unpack(joined.read(_END64.size))
    if signature != b"PK\6\6":
        raise zipfile.BadZipFile("its directory is damaged")
    return last, disk, count, size, offset


def _entries(directory: _Directory) -> Iterator[_Entry]:
    """Read the files of a directory, with their values from ZIP64 fields where these have them."""
    place, content = 0, directory.content
    for _ in range(directory.n_files):
        head = _ENTRY.unpack_from(content, place)
        if head[0] != b"PK\1\2":
            raise zipfile.BadZipFile("its directory is damaged")
        texts = []
        place += _ENTRY.size
        for length in head[10:13]:
            texts.append(content[place : place + length])
            place += length
        name, extra, comment = texts
        fields = dict(_fields(extra))
        wide = io.BytesIO(fields.pop(_ZIP64_FIELD, b""))
        size = _wide(head[9], _LONG, wide, "<Q")
        packed_size = _wide(head[8], _LONG, wide, "<Q")
        offset = _wide(head[16], _LONG, wide, "<Q")
        disk = _wide(head[13], _SHORT, wide, "<L")
        others = b"".join(_FIELD.pack(kind, len(v)) + v for kind, v in fields.items())
        yield _Entry(head, name, others, comment, size, packed_size, disk, offset)


def _fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place + _FIELD.size <= len(extra):
        kind, length = _FIELD.unpack_from(extra, place)
        place += _FIELD.size
        yield kind, extra[place : place + length]
        place += length


def _wide(value: int, missing: int, fields: BinaryIO, form: str) -> int:
    """Return a value, or the next one of the ZIP64 field where it is there."""
    if value != missing:
        return value
    (wide,) = struct.unpack(form, fields.read(struct.calcsize(form)))
    return int(wide)


def _plain_directory(directory: _Directory, entries: Sequence[_Entry]) -> bytes:
    """Return a directory of one part, with 64 bits for all sizes and offsets."""
    written = []
    for entry in entries:
        place = directory.starts[entry.disk] + entry.offset
        wide = struct.pack("<3Q", entry.size, entry.packed_size, place)
        extra = _FIELD.pack(_ZIP64_FIELD, len(wide)) + wide + entry.extra
        lengths = (len(entry.name), len(extra), len(entry.comment))
        head = (*entry.head[:8], _LONG, _LONG, *lengths, 0, *entry.head[14:16], _LONG)
        written += [_ENTRY.pack(*head), entry.name, extra, entry.comment]
    content, count = b"".join(written), len(entries)
    end = directory.offset + len(content)
    sizes = (count, count, len(content), directory.offset)
    return b"".join(
        (
            content,
            _END64.pack(b"PK\6\6", _END64.size - 12, 45, 45, 0, 0, *sizes),
            _LOCATOR64.pack(b"PK\6\7", 0, end, 1),
            _END.pack(b"PK\5\6", 0, 0, _SHORT, _SHORT, _LONG, _LONG, 0),
        )
    )


def _with_directory(
    files: Sequence[BinaryIO], sizes: Sequence[int], directory: _Directory, tail: bytes
) -> JoinedFile:
    """Return the parts up to their directory, and another one after them."""
    ends = [
        max(0, min(size, directory.offset - start))
        for size, start in zip(sizes, directory.starts, strict=True)
    ]
    return JoinedFile([*files, io.BytesIO(tail)], [*ends, len(tail)])
