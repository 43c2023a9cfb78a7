"""Damaged tensor bundles: entries with other fields, blocks with other lengths, with right checksums and without."""

from functools import cache
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from niah.adapters.checkpoints import read_state
from tests.fuzz.mutations import INTEGERS, changed_bytes
from tests.helpers import tensor_bundle
from tests.helpers.tensor_bundle import block, entry, field, index_of, varint

_SIZES = tuple(abs(each) for each in INTEGERS)
_NAMES = (b"", b"a", b"\xff", b"a\0b", b"../up", b"n" * 5000, "é".encode())


@cache
def _parts() -> tuple[dict[bytes, bytes], bytes]:
    tensors: dict[str, NDArray[np.generic]] = {
        "layer/bias": np.arange(3, dtype=np.float32),
        "layer/kernel": np.arange(12, dtype=np.float32).reshape(3, 4),
        "save_counter": np.array(3, np.int64),
    }
    return tensor_bundle.entries_of(tensors)


def bundle(rng: Random, folder: Path) -> Path:
    """Write an index and its data: half of them with right checksums around what is wrong."""
    entries, data = _parts()
    entries = dict(entries)
    repeated = 1
    blocks = [block(entries)]
    kind = rng.random()
    if kind < 0.35:
        for _ in range(rng.choice((1, 1, 2))):
            entries[rng.choice((*entries, *_NAMES))] = _entry(rng, data)
        blocks = [block(entries)] * rng.choice((1, 1, 1, 2))
    elif kind < 0.55:
        blocks = [changed_bytes(rng, blocks[0])]
    elif kind < 0.6:
        blocks, repeated = [_lengths(rng)], rng.choice((1, 3, 2000))
    index = index_of(blocks, compression=rng.choice((0,) * 30 + (1, 255)), repeated=repeated)
    if kind >= 0.8:
        index = changed_bytes(rng, index, rng.choice((0, len(index) - 48)))
    elif kind >= 0.6:
        data = changed_bytes(rng, data)
    return tensor_bundle.write_files(folder, index, data)


def _entry(rng: Random, data: bytes) -> bytes:
    """Return an entry with sizes, places and types that may be anything, or bytes that are none."""
    if rng.random() < 0.2:
        return changed_bytes(rng, rng.choice(list(_parts()[0].values())))
    sizes = [rng.choice((*_SIZES, 1, 2, 3, 4)) for _ in range(rng.choice((0, 1, 2, 2, 3, 70)))]
    first, size = rng.choice(((0, 12), (12, 48), (0, 0), (rng.choice(_SIZES), rng.choice(_SIZES))))
    made = entry(rng.choice((1,) * 8 + (0, 9, 10**6)), sizes, (first, size), data[first:][:size])
    if rng.random() < 0.2:
        odd = rng.choice((b"", b"x", field(2, rng.choice(_SIZES)), b"\x08" * 300, field(2, made)))
        made += field(rng.randrange(1, 9), rng.choice((odd, rng.choice(_SIZES))))
    return made


def _lengths(rng: Random) -> bytes:
    """Return a block of many entries whose three lengths are drawn."""
    out = b""
    for _ in range(rng.choice((1, 5, 20_000))):
        lengths = (rng.choice((0, 1, 900, *_SIZES)), rng.choice((0, 1, 9)), rng.choice((0, 2, 9)))
        out += b"".join(map(varint, lengths)) + b"k" * (lengths[1] + lengths[2])
    return out + (rng.choice((1, 1, 0, 10**6))).to_bytes(4, "little")


def read_bundle(path: Path) -> None:
    read_state(path)
