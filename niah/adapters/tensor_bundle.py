"""TensorFlow's checkpoints and saved models, read without TensorFlow: the float32 tensors of a tensor bundle.

    variables.index                  a LevelDB table: name -> type, shape, place in the data (protocol buffers)
    variables.data-00000-of-00001    the values one after another, little endian

A table ends with a footer of 48 bytes, which says where the block of blocks is. In a block names share the beginning
of the name before; a byte after it says whether it is compressed, which TensorFlow's are not, and four more are its
checksum. Each tensor has one too. Nothing is run, and no byte of either file is read for more than one thing, so that
small files stay small in memory.
"""

import math
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from niah.adapters.crc32c import masked_crc32c
from niah.errors import NiahError

DATA = ".data-00000-of-00001"
_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
_FLOAT32 = 1  # DT_FLOAT
_TRAILER = 5  # after a block: its compression and its checksum
_LONGEST_NAME = 1024

Fields = dict[int, list[int | bytes]]


def is_bundle(path: Path) -> bool:
    """Return whether a file is the data of a tensor bundle, by its name and the index beside it."""
    return path.name.endswith(DATA) and _index_of(path).is_file()


def read_bundle(path: Path) -> dict[str, Tensor]:
    """Read the float32 tensors of a bundle; counters and texts beside them are passed over.

    Args:
        path: of the data, `NAME.data-00000-of-00001`; `NAME.index` lies beside it.

    Returns:
        Tensors by their names in the index.

    Raises:
        NiahError: a damaged or compressed index, several files of data, or a tensor that the data does not have or that
            its checksum does not fit.
    """
    index = _index_of(path)
    data = np.memmap(path, dtype=np.uint8, mode="r") if path.stat().st_size else b""
    try:
        return dict(_tensors(index.read_bytes(), data))
    except (IndexError, ValueError, OverflowError, struct.error) as error:
        raise NiahError(
            f"{index} cannot be read as the index of a tensor bundle: {error}"
        ) from None


def _index_of(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(DATA) + ".index")


def _tensors(table: bytes, data: "np.ndarray | bytes") -> Iterator[tuple[str, Tensor]]:
    names: set[bytes] = set()
    used = 0
    for name, value in _table(table):
        entry = _fields(value)
        if not name:  # the header
            if _number(entry, 1) > 1:
                raise ValueError("its values lie in several files")
            continue
        if name in names:
            raise ValueError(f"{name.decode()} occurs twice")
        names.add(name)
        if _number(entry, 1) != _FLOAT32:
            continue
        shape = tuple(
            _number(_fields(_bytes(dim)), 1) for dim in _fields(_text(entry, 2)).get(2, [])
        )
        first, size = _number(entry, 4), _number(entry, 5)
        used += size
        if size != 4 * math.prod(shape) or first + size > len(data) or used > len(data):
            raise ValueError(f"{name.decode()} does not fit its data")
        part = data[first : first + size]
        if masked_crc32c(part) != int.from_bytes(_text(entry, 6), "little"):
            raise ValueError(
                f"the values of {name.decode()} are damaged: their checksum is another"
            )
        values = np.frombuffer(part, dtype="<f4").reshape(shape)
        yield name.decode(), torch.from_numpy(values.astype(np.float32))


def _table(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (name, entry) of all blocks."""
    footer = table[-_FOOTER:]
    if len(footer) < _FOOTER or struct.unpack("<Q", footer[-8:])[0] != _MAGIC:
        raise ValueError("the end of a table is missing")
    at = 0
    for _ in range(2):  # the block of metadata comes first
        _, at = _varint(footer, at)
    used = 0
    for _, handle in _block(table, footer[at:]):
        _, after = _varint(handle, 0)
        used += _varint(handle, after)[0]
        if used > len(table):
            raise ValueError("blocks overlap")
        yield from _block(table, handle)


def _block(table: bytes, handle: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, value) of the block at a handle: its offset and size."""
    offset, at = _varint(handle, 0)
    size, _ = _varint(handle, at)
    block, trailer = table[offset : offset + size], table[offset + size :][:_TRAILER]
    if len(block) < size or size < 4 or len(trailer) < _TRAILER:
        raise ValueError("a block reaches past the end")
    if masked_crc32c(block + trailer[:1]) != int.from_bytes(trailer[1:], "little"):
        raise ValueError("a block is damaged: its checksum is another")
    if trailer[0] != 0:
        raise ValueError("its blocks are compressed")
    (restarts,) = struct.unpack("<I", block[-4:])
    end, at, key = size - 4 - 4 * restarts, 0, b""
    while at < end:
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        length, at = _varint(block, at)
        if at + own + length > end or shared > len(key) or shared + own > _LONGEST_NAME:
            raise ValueError("an entry reaches past its block")
        key = key[:shared] + block[at : at + own]
        at += own
        yield key, block[at : at + length]
        at += length


def _fields(message: bytes) -> Fields:
    """Split a protocol buffer into its fields, by number."""
    fields: Fields = {}
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        value: int | bytes
        if tag & 7 == 0:
            value, at = _varint(message, at)
        elif tag & 7 == 2:
            size, at = _varint(message, at)
            value, at = message[at : at + size], at + size
        elif tag & 7 in (1, 5):
            size = 8 if tag & 7 == 1 else 4
            value, at = message[at : at + size], at + size
        else:
            raise ValueError(f"a field of kind {tag & 7}")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _number(fields: Fields, number: int) -> int:
    value = fields.get(number, [0])[-1]
    if not isinstance(value, int):
        raise ValueError("text in place of a number")
    return value


def _text(fields: Fields, number: int) -> bytes:
    return _bytes(fields.get(number, [b""])[-1])


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a number in place of text")
    return value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Read a number of seven bits a byte; return it and the place after it."""
    value = 0
    for shift in range(0, 64, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than 64 bits")
