"""Sound files of every container and subtype that libsndfile writes, and damaged ones."""

import io
import struct
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random

import numpy as np

from tests.fuzz.mutations import INTEGERS, changed_bytes

RATE = 16000
SUFFIXES = {"WAVEX": "wav", "RF64": "wav", "AIFF": "aiff", "MPEG": "mp3"}
_FOUR = ("RIFF", "FORM")  # containers of chunks: name, size, content
_RATES = (0, 1, 2, 7, 999, 1000, 8000, 44100, 192_000, 768_001, 2**31 - 1, 2**31, 2**32 - 1)
_CHANNELS = (0, 1, 2, 3, 6, 255, 1024, 1025, 65535)
_BITS = (0, 1, 7, 8, 12, 16, 24, 32, 64, 65535)
_TAGS = (0, 1, 2, 3, 6, 7, 17, 49, 85, 0xFFFE, 0xFFFF)


@cache
def kinds() -> Sequence[tuple[str, str]]:
    """Return every (container, subtype) that libsndfile can write."""
    import soundfile

    return [
        (container, subtype)
        for container in sorted(soundfile.available_formats())
        for subtype in sorted(soundfile.available_subtypes(container))
        if container != "RAW"
    ]


@cache
def encoded(container: str, subtype: str) -> bytes:
    """Return a short noise in that form; empty where libsndfile cannot after all."""
    import soundfile

    noise = 0.1 * np.random.default_rng(0).standard_normal(3200)
    content = io.BytesIO()
    for rate in (RATE, 8000):
        try:
            soundfile.write(content, noise, rate, format=container, subtype=subtype)
            return content.getvalue()
        except (soundfile.LibsndfileError, TypeError, ValueError):
            content = io.BytesIO()
    return b""


def sound_file(rng: Random, folder: Path) -> Path:
    """Write a damaged sound file."""
    container, subtype = rng.choice(kinds())
    content = encoded(container, subtype) or encoded("WAV", "PCM_16")
    kind = rng.random()
    if kind < 0.15:
        container, content = "WAV", _wav(rng)
    elif kind < 0.25:
        container, content = "FLAC", _flac(rng)
    elif kind < 0.4 and content[:4].decode("latin-1") in _FOUR:
        content = _changed_chunks(rng, content)
    elif kind < 0.5:
        content = content[: rng.randrange(len(content) + 1)]
    elif kind < 0.57:
        other = encoded(*rng.choice(kinds()))
        content = rng.choice(
            (content + other, content[: rng.randrange(len(content))] + other, other[:64] + content)
        )
    elif kind < 0.62:
        content = (
            rng.choice((b"", b"ID3\x03\0\0" + rng.randbytes(4), rng.randbytes(300), b"\0" * 64))
            + content
        )
    else:
        content = changed_bytes(rng, content, rng.choice((0, 48, 48, 160, 600)))
    name = f"sound.{SUFFIXES.get(container, container.lower())}"
    (folder / name).write_bytes(content)
    return folder / name


def wav(data: bytes = b"\1\0\2\3" * 400, rate: int = RATE) -> bytes:
    """Return a sound WAV file of 16 bits."""
    return _riff(struct.pack("<HHIIHH", 1, 1, rate, 2 * rate, 2, 16), data, len(data))


def _riff(fmt: bytes, data: bytes, stated: int) -> bytes:
    size = (20 + len(fmt) + len(data)) % 2**32
    head = b"RIFF" + struct.pack("<I", size) + b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt
    return head + b"data" + struct.pack("<I", stated % 2**32) + data


def _wav(rng: Random) -> bytes:
    """A WAV file whose header says odd things; half of the fields are sound."""

    def odd(sound: int, values: Sequence[int]) -> int:
        return rng.choice(values) if rng.random() < 0.4 else sound

    channels, rate, bits = odd(1, _CHANNELS), odd(RATE, _RATES), odd(16, _BITS)
    align = odd(channels * bits // 8, (0, 1, 3, 65535)) % 65536
    fmt = struct.pack("<HHIIHH", odd(1, _TAGS), channels, rate, rate * align % 2**32, align, bits)
    fmt += rng.choice((b"", b"", b"\0\0", b"\x16\0" + rng.randbytes(22), rng.randbytes(9)))
    data = rng.randbytes(rng.choice((0, 1, 2, 64, 4000)))
    return _riff(fmt, data, odd(len(data), (0, 1, len(data) + 1, 2**31, 2**32 - 1, 2**32 - 8)))


def _flac(rng: Random) -> bytes:
    """A FLAC file whose STREAMINFO says another rate, depth, number of channels or of samples."""
    content = bytearray(encoded("FLAC", rng.choice(("PCM_16", "PCM_24", "PCM_S8"))))
    packed = int.from_bytes(content[18:26], "big")
    widths = ((20, 44), (3, 41), (5, 36), (36, 0))  # rate, channels - 1, bits - 1, samples
    for width, shift in rng.sample(widths, rng.choice((1, 1, 2))):
        value = rng.choice((0, 1, 2**width - 1, rng.getrandbits(width))) << shift
        packed = packed & ~((2**width - 1) << shift) | value
    content[18:26] = packed.to_bytes(8, "big")
    return changed_bytes(rng, bytes(content), 60) if rng.random() < 0.2 else bytes(content)


def _changed_chunks(rng: Random, content: bytes) -> bytes:
    """Remove, double, exchange or resize chunks of a RIFF or AIFF file."""
    order = "<I" if content[:4] == b"RIFF" else ">I"
    chunks, at = [], 12
    while at + 8 <= len(content):
        (size,) = struct.unpack(order, content[at + 4 : at + 8])
        chunks.append([content[at : at + 4], size, content[at + 8 : at + 8 + size]])
        at += 8 + size + size % 2
    if not chunks:
        return content
    for _ in range(rng.choice((1, 1, 2, 3))):
        kind, index = rng.randrange(6), rng.randrange(len(chunks))
        if kind == 0:
            chunks.insert(index, list(chunks[rng.randrange(len(chunks))]))
        elif kind == 1 and len(chunks) > 1:
            chunks.pop(index)
        elif kind == 2:
            rng.shuffle(chunks)
        elif kind == 3:
            chunks[index][1] = rng.choice(INTEGERS) % 2**32
        elif kind == 4:
            chunks[index][2] = changed_bytes(rng, chunks[index][2], 64)
        else:
            chunks.insert(
                index,
                [
                    rng.choice((b"LIST", b"JUNK", b"fact", b"ds64", b"\0\0\0\0")),
                    9,
                    rng.randbytes(9),
                ],
            )
    body = b"".join(
        name + struct.pack(order, size) + data + b"\0" * (len(data) % 2)
        for name, size, data in chunks
    )
    return content[:4] + struct.pack(order, (4 + len(body)) % 2**32) + content[8:12] + body
