"""Archives in parts are read as the archive that they were split from."""

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from niah.needles.split_zip import JoinedFile, open_split

FILES = {f"{n}.wav": np.random.default_rng(n).bytes(3000 + n) for n in range(5)} | {
    "t/é.txt": b"text " * 400
}
_LONG, _SHORT = 2**32 - 1, 2**16 - 1


def split(files: dict[str, bytes], part_bytes: int, zip64: bool = False) -> list[bytes]:
    """Return the parts of a split archive: the marker, then headers that never cross a part, as Info-ZIP writes them.

    Args:
        files: content by name.
        part_bytes: size of each part but the last.
        zip64: write the places of files and directory into ZIP64 fields.
    """
    whole, places = bytearray(b"PK\7\x08"), {}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        members = archive.infolist()
    plain = packed.getvalue()
    ends = [*(m.header_offset for m in members[1:]), archive.start_dir]
    for member, end in zip(members, ends, strict=True):
        if part_bytes - len(whole) % part_bytes < 60:  # the header goes to the next part
            whole += bytes(part_bytes - len(whole) % part_bytes)
        places[member.filename] = len(whole)
        whole += plain[member.header_offset : end]
    begin, directory = len(whole), bytearray()
    place = archive.start_dir
    for member in members:
        head = list(struct.unpack_from("<4s6H3L5H2L", plain, place))
        place += 46 + sum(head[10:13])
        disk, offset = divmod(places[member.filename], part_bytes)
        stored = plain[place - sum(head[10:13]) :][: head[10]]
        extra = struct.pack("<2HQL", 1, 12, offset, disk) if zip64 else b""
        head[11:14] = [len(extra), 0, _SHORT if zip64 else disk]
        head[16] = _LONG if zip64 else offset
        directory += struct.pack("<4s6H3L5H2L", *head) + stored + extra
    whole += directory
    disk, offset = divmod(begin, part_bytes)
    last, end = divmod(len(whole), part_bytes)
    count, size = len(members), len(directory)
    if zip64:
        sizes = (count, count, size, offset)
        whole += struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, last, disk, *sizes)
        whole += struct.pack("<4sLQL", b"PK\6\7", last, end, last + 1)
        disk, last, count, size, offset = _SHORT, _SHORT, _SHORT, _LONG, _LONG
    whole += struct.pack("<4s4H2LH", b"PK\5\6", last, disk, count, count, size, offset, 0)
    return [bytes(whole[n : n + part_bytes]) for n in range(0, len(whole), part_bytes)]


def written(folder: Path, parts: list[bytes]) -> list[Path]:
    names = [*(f"a.z{n:02}" for n in range(1, len(parts))), "a.zip"]
    for name, content in zip(names, parts, strict=True):
        (folder / name).write_bytes(content)
    return [folder / name for name in names]


@pytest.mark.parametrize("zip64", [False, True])
@pytest.mark.parametrize("part_bytes", [1500, 4096, 2**20])
def test_every_file_of_a_split_archive_is_read(
    tmp_path: Path, part_bytes: int, zip64: bool
) -> None:
    parts = written(tmp_path, split(FILES, part_bytes, zip64))
    assert len(parts) == (11 if part_bytes == 1500 else 4 if part_bytes == 4096 else 1)
    with open_split(parts) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == FILES


def test_missing_and_damaged_parts_are_named(tmp_path: Path) -> None:
    contents = split(FILES, 4096)
    parts = written(tmp_path, contents)
    with pytest.raises(zipfile.BadZipFile, match="it has 4 parts, not 3"), open_split(parts[1:]):
        pass
    for damaged, reason in (
        (contents[-1][:-22], "no directory at its end"),
        (contents[-1].replace(b"PK\1\2", b"PK\1\3"), "directory is damaged"),
        (contents[-1][:-10] + b"\xff\xff\xff\x7f" + contents[-1][-6:], "of no such archive"),
        (contents[-1][:-10] + b"\x40\x00\x00\x00" + contents[-1][-6:], "is cut short"),
    ):
        parts[-1].write_bytes(damaged)
        with pytest.raises(zipfile.BadZipFile, match=reason), open_split(parts):
            pass
    written(tmp_path, [contents[0], contents[2], contents[1], contents[3]])  # two parts swapped
    with open_split(parts) as archive:
        assert archive.testzip() is not None


def test_a_joined_file_reads_across_its_parts() -> None:
    joined = JoinedFile([io.BytesIO(b"abcXX"), io.BytesIO(b""), io.BytesIO(b"def")], [3, 0, 3])
    assert (joined.read(2), joined.read(3), joined.tell(), joined.read(9)) == (
        b"ab",
        b"cde",
        5,
        b"f",
    )
    assert (joined.seek(-2, io.SEEK_END), joined.read()) == (4, b"ef")
    with pytest.raises(OSError, match="before the beginning"):
        joined.seek(-7, io.SEEK_END)
    shorter = JoinedFile([io.BytesIO(b"ab")], [3])
    with pytest.raises(EOFError):
        shorter.read()
