"""Tensor bundles as TensorFlow writes them: an index (a table of one block) and the data beside it."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DTYPES = {"float32": 1, "int64": 9}


def write(
    folder: Path, tensors: Mapping[str, NDArray[np.generic]], *, compressed: bool = False
) -> Path:
    """Write `variables.index` and `variables.data-00000-of-00001`; return the path of the data."""
    entries, data = entries_of(tensors)
    return write_files(folder, index_of([block(entries)], compression=int(compressed)), data)


def write_files(folder: Path, index: bytes, data: bytes) -> Path:
    (folder / "variables.index").write_bytes(index)
    path = folder / "variables.data-00000-of-00001"
    path.write_bytes(data)
    return path


def entries_of(
    tensors: Mapping[str, NDArray[np.generic]],
) -> tuple[dict[bytes, bytes], bytes]:
    """Return the index's entries by name, the header first, and the data."""
    data, entries = b"", {b"": field(1, 1) + field(3, field(1, 1))}  # the header: one file
    for name in sorted(tensors):
        value = np.ascontiguousarray(tensors[name])
        place = (len(data), value.nbytes)
        entries[name.encode()] = entry(
            DTYPES[str(value.dtype)], value.shape, place, value.tobytes()
        )
        data += value.tobytes()
    return entries, data


def entry(dtype: int, shape: Iterable[int], place: tuple[int, int], values: bytes) -> bytes:
    """Lay out the entry of a tensor: type, shape, first byte and size in the data, checksum of its values."""
    sizes = b"".join(field(2, field(1, size)) for size in shape)
    first, size = place
    where = (field(4, first) if first else b"") + field(5, size)
    checksum = b"\x35" + struct.pack("<I", masked_crc(values))  # field 6, fixed 32 bits
    return field(1, dtype) + field(2, sizes) + where + checksum


def index_of(blocks: Sequence[bytes], compression: int = 0, repeated: int = 1) -> bytes:
    """Lay out a table of blocks with right checksums; each is named `repeated` times in the block of blocks."""
    index, handles = b"", {}
    for number, content in enumerate(blocks):
        for again in range(repeated):
            handles[b"~%05d" % (number * repeated + again)] = varint(len(index)) + varint(
                len(content)
            )
        index += _with_trailer(content, compression)
    meta = varint(len(index)) + varint(len(block({})))
    index += _with_trailer(block({}))
    top = block(handles)
    footer = meta + varint(len(index)) + varint(len(top))
    return (
        index + _with_trailer(top) + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    )


def _with_trailer(content: bytes, compression: int = 0) -> bytes:
    kind = bytes([compression])
    return content + kind + struct.pack("<I", masked_crc(content + kind))


def masked_crc(data: bytes) -> int:
    """Compute CRC-32C bit by bit, then rotate and shift it as LevelDB does."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def block(entries: Mapping[bytes, bytes]) -> bytes:
    """Lay entries out one after another, each key without what it shares with the key before."""
    out, before = b"", b""
    for key, value in entries.items():
        shared = 0
        while shared < min(len(key), len(before)) and key[shared] == before[shared]:
            shared += 1
        own = key[shared:]
        out += varint(shared) + varint(len(own)) + varint(len(value)) + own + value
        before = key
    return out + struct.pack("<II", 0, 1)  # one restart, at the beginning


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])
