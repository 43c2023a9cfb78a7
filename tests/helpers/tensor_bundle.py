"""Tensor bundles as TensorFlow writes them: an index (a table of one block) and the data beside it."""

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DTYPES = {"float32": 1, "int64": 9}


def write(
    folder: Path, tensors: Mapping[str, NDArray[np.generic]], *, compressed: bool = False
) -> Path:
    """Write `variables.index` and `variables.data-00000-of-00001`; return the path of the data."""
    data, entries = b"", {b"": _field(1, 1) + _field(3, _field(1, 1))}  # the header: one file
    for name in sorted(tensors):
        value = np.ascontiguousarray(tensors[name])
        shape = b"".join(_field(2, _field(1, size)) for size in value.shape)
        place = (_field(4, len(data)) if data else b"") + _field(5, value.nbytes)
        checksum = b"\x35" + struct.pack("<I", 0)  # field 6, fixed 32 bits
        entries[name.encode()] = (
            _field(1, DTYPES[str(value.dtype)]) + _field(2, shape) + place + checksum
        )
        data += value.tobytes()
    kind = bytes([int(compressed)])
    block = _block(entries)
    index = block + kind + bytes(4)
    meta_at, meta = len(index), _block({})
    index += meta + b"\0" + bytes(4)
    top_at, top = len(index), _block({b"~": _varint(0) + _varint(len(block))})
    index += top + b"\0" + bytes(4)
    handles = _varint(meta_at) + _varint(len(meta)) + _varint(top_at) + _varint(len(top))
    index += handles.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    (folder / "variables.index").write_bytes(index)
    path = folder / "variables.data-00000-of-00001"
    path.write_bytes(data)
    return path


def _block(entries: Mapping[bytes, bytes]) -> bytes:
    """Lay entries out one after another, each key without what it shares with the key before."""
    out, before = b"", b""
    for key, value in entries.items():
        shared = 0
        while shared < min(len(key), len(before)) and key[shared] == before[shared]:
            shared += 1
        own = key[shared:]
        out += _varint(shared) + _varint(len(own)) + _varint(len(value)) + own + value
        before = key
    return out + struct.pack("<II", 0, 1)  # one restart, at the beginning


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])
