"""The length that a file's header promises, and headers of writers that could not seek back to fill in a size.

libsndfile silently shortens what is cut off, in nearly every container, so the promise is read from the header's own
chunks. A size of 0, or from 0x7fff0000 on, is a placeholder (SoX, arecord, GStreamer, ffmpeg to a pipe): no promise,
and it is replaced by what is there. PAF, PVF, IRCAM and libsndfile's XI state no length: half of such a file cannot
be known from a whole one, so the note says that.
"""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from niah.audio import ogg
from niah.audio.ogg import LEAST_LEFT_OVER

PLACEHOLDER = 0x7FFF0000  # and more; also 0 where sound follows
SMALLER = "its header states a smaller size than the file has: read to its end"
WITHOUT_LENGTH = ("PAF", "PVF", "IRCAM", "XI")  # as libsndfile calls them
_MP3_TAG = b"\x55\0"  # of WAVE_FORMAT_MPEGLAYER3
_FLAC_TOTAL = (1 << 36) - 1
_W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0O\x8e\xdb\x8a"
_W64_RIFF = b"riff.\x91\xcf\x11\xa5\xd6(\xdb\x04\xc1\x00\x00"


@dataclass(frozen=True)
class Sound:
    """Where the samples lie, by the header: the first byte, how many, and the field that says so."""

    start: int
    size: int
    field: int  # byte of the size field
    form: str  # of the field, for `struct`


@dataclass(frozen=True)
class Mended:
    """A file's bytes as a decoder should get them, and what was changed, in words."""

    content: bytes
    notes: tuple[str, ...] = ()


def promises_more(content: bytes) -> bool:
    """Return whether the header promises more sound than the file holds."""
    sound = _sound(content)
    if sound is not None:
        return sound.size < _placeholder(sound) and sound.start + sound.size > len(content)
    if content[:4] == ogg.PAGE:
        return ogg.end(content) > len(content)
    return False


def mended(content: bytes) -> Mended:
    """Replace a placeholder of the sound's size, or a size that wrapped, by what is there."""
    sound = _sound(content)
    if sound is None or sound.start > len(content):
        return Mended(content)
    there = len(content) - sound.start
    is_empty = there <= 1 or (sound.size == 0 and not _is_left_over(content, sound))
    is_placeholder = sound.size >= _placeholder(sound) or (sound.size == 0 and not is_empty)
    if is_placeholder:
        note = "its header states no size: read to its end"
    elif sound.size and sound.start + sound.size < len(content) and _wrapped(content, sound):
        note = SMALLER
    elif content.startswith(_W64_RIFF) and sound.size < _placeholder(sound):
        return Mended(content[: sound.start + sound.size])  # libsndfile plays the chunks behind it
    else:
        return Mended(content)
    size = struct.pack(sound.form, min(there, _largest(sound)))
    filled = content[: sound.field] + size + content[sound.field + len(size) :]
    return Mended(filled, (note,))


def mp3_in_wave(content: bytes) -> bytes:
    """Return the MP3 in a WAV's data chunk (format tag 0x0055); b"" of any other file.

    libsndfile guesses how long it is, as of an MP3 without a header.
    """
    sound = _sound(content) if content[:4] in (b"RIFF", b"RF64") else None
    kinds = {kind: start for kind, start, _ in _chunks(content, 12, "<")} if sound else {}
    at = kinds.get(b"fmt ", len(content))
    if sound is None or content[at : at + 2] != _MP3_TAG:
        return b""
    return content[sound.start : sound.start + sound.size if sound.size else None]


def states_length(head: bytes, file_bytes: int) -> bool:
    """Return whether a header states how much sound there is: no placeholder, and no size that wrapped.

    Args:
        head: the file's beginning, up to its samples.
        file_bytes: size of the whole file, which may have been cut short.
    """
    sound = _sound(head)
    if sound is None or not 0 < sound.size < _placeholder(sound):
        return False
    left = file_bytes - sound.start - sound.size
    return left < max(LEAST_LEFT_OVER, sound.size // 10)


def is_w64(head: bytes) -> bool:
    """Return whether a file begins as Sony's Wave64."""
    return head.startswith(_W64_RIFF)


def states_flac_frames(head: bytes) -> bool:
    """Return whether a file begins as a FLAC whose STREAMINFO states its length."""
    return head[:4] == b"fLaC" and len(head) >= 26 and flac_frames(head) > 0


def flac_frames(content: bytes) -> int:
    """Return the samples a channel that a FLAC's STREAMINFO states (RFC 9639, section 8.2): 36 bits, 0 if unknown."""
    (field,) = struct.unpack_from(">Q", content, 18)
    return int(field) & _FLAC_TOTAL


def without_flac_frames(content: bytes) -> bytes:
    """Return the FLAC with an unknown length, which is decoded to its end."""
    (field,) = struct.unpack_from(">Q", content, 18)
    return content[:18] + struct.pack(">Q", field & ~_FLAC_TOTAL) + content[26:]


def flac_links(content: bytes) -> list[bytes]:
    """Part FLAC streams that were joined: each begins with its marker and a STREAMINFO block (RFC 9639, section 8)."""
    starts = [match.start() for match in re.finditer(rb"fLaC[\0\x80]\0\0\x22", content)] or [0]
    return [content[a:b] for a, b in zip(starts, [*starts[1:], len(content)], strict=True)]


def _placeholder(sound: Sound) -> int:
    return PLACEHOLDER if struct.calcsize(sound.form) == 4 else 1 << 50


def _largest(sound: Sound) -> int:
    return (1 << 8 * struct.calcsize(sound.form) - 1) - 1


def _is_left_over(content: bytes, sound: Sound) -> bool:
    """Return whether what follows a size of 0 is sound: more bytes than one chunk header, and no chunk."""
    return len(content) - sound.start > 8 and not _are_chunks(content, sound.start)


def _wrapped(content: bytes, sound: Sound) -> bool:
    """Return whether a good part of the file lies after the sound and is no chunk of the container."""
    end = sound.start + sound.size + sound.size % 2
    left = len(content) - end
    return left >= max(LEAST_LEFT_OVER, sound.size // 10) and not _are_chunks(content, end)


def _are_chunks(content: bytes, at: int) -> bool:
    """Return whether printable chunk names follow, or nothing but zeros."""
    name = content[at : at + 4]
    return not any(content[at:]) or (len(name) == 4 and bool(re.fullmatch(rb"[ -~]{4}", name)))


def _sound(content: bytes) -> Sound | None:
    """Find the samples by the container's own header; None where it states no length, or is not known here."""
    for magic, find in _FINDERS.items():
        if content.startswith(magic):
            try:
                return find(content)
            except (struct.error, ValueError, LookupError):
                return None
    return None


def _riff(content: bytes) -> Sound | None:
    if content[8:12] != b"WAVE":
        return None
    order = ">" if content[:4] == b"RIFX" else "<"
    wide = None
    for kind, start, size in _chunks(content, 12, order):
        if kind == b"ds64":
            (wide,) = struct.unpack_from("<Q", content, start + 8)
            field = start + 8
        if kind == b"data" and wide is not None and content[:4] != b"RIFF":
            return Sound(start, wide, field, "<Q")
        if kind == b"data":
            return Sound(start, size, start - 4, order + "I")
    return None


def _form(content: bytes) -> Sound | None:
    """Find the samples of AIFF, AIFC (SSND) and 8SVX, 16SV (BODY)."""
    for kind, start, size in _chunks(content, 12, ">"):
        if kind in (b"SSND", b"BODY"):
            return Sound(start, size, start - 4, ">I")
    return None


def _chunks(content: bytes, at: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Walk (name, first byte, size) of IFF chunks, padded to even lengths."""
    while at + 8 <= len(content):
        kind, size = struct.unpack_from(order + "4sI", content, at)
        yield kind, at + 8, size
        at += 8 + size + size % 2


def _w64(content: bytes) -> Sound | None:
    at = 40
    while at + 24 <= len(content):
        (size,) = struct.unpack_from("<Q", content, at + 16)
        if content[at : at + 16] == _W64_DATA:
            wide = size - 24 if 24 <= size < 1 << 50 else (0 if size < 24 else size)
            return Sound(at + 24, wide, at + 16, "<Q")
        if size < 24:
            return None
        at += size + -size % 8
    return None


def _au(content: bytes) -> Sound | None:
    order = "<" if content[:4] == b"dns." else ">"
    start, size = struct.unpack_from(order + "II", content, 4)
    return Sound(start, size, 8, order + "I")


def _caf(content: bytes) -> Sound | None:
    at = 8
    while at + 12 <= len(content):
        kind, size = struct.unpack_from(">4sQ", content, at)
        if kind == b"data":
            return Sound(at + 12, size, at + 4, ">Q")
        at += 12 + size
    return None


def _nist(content: bytes) -> Sound | None:
    header = int(content[8:16])
    fields = dict(re.findall(rb"^(\w+) -[irs]\d* (\S+)", content[:header], re.MULTILINE))
    samples, channels = int(fields[b"sample_count"]), int(fields.get(b"channel_count", b"1"))
    if b"shorten" in fields.get(b"sample_coding", b""):
        return None
    return Sound(header, samples * channels * int(fields.get(b"sample_n_bytes", b"1")), 0, "<I")


def _voc(content: bytes) -> Sound | None:
    (at,) = struct.unpack_from("<H", content, 20)
    while at + 4 <= len(content) and content[at]:
        size = int.from_bytes(content[at + 1 : at + 4], "little")
        if at + 4 + size > len(content):
            return Sound(at + 4, size, 0, "<I")
        at += 4 + size
    return None


def _avr(content: bytes) -> Sound | None:
    stereo, bits = struct.unpack_from(">hh", content, 12)
    (frames,) = struct.unpack_from(">I", content, 26)
    return Sound(128, frames * (2 if stereo else 1) * bits // 8, 0, "<I")


def _mpc(content: bytes) -> Sound | None:
    channels, (frames,) = 1 + content[21], struct.unpack_from("<I", content, 30)
    return Sound(42, 2 * channels * frames, 0, "<I")


def _wve(content: bytes) -> Sound | None:
    (size,) = struct.unpack_from(">I", content, 18)
    return Sound(32, size, 0, "<I")


def _mat4(content: bytes) -> Sound | None:
    """Walk MATLAB 4 matrices: type, rows, columns, imaginary, length of the name, then name and values."""
    order = "<" if content[0] or content[1:4] == b"\0\0\0" else ">"
    at, last = 0, None
    while at + 20 <= len(content):
        kind, rows, columns, _, name = struct.unpack_from(order + "5I", content, at)
        size = rows * columns * {0: 8, 1: 4, 2: 4, 3: 2, 4: 2, 5: 1}[kind // 10 % 10]
        last = Sound(at + 20 + name, size, 0, "<I")
        at = last.start + size
    return last


def _mat5(content: bytes) -> Sound | None:
    """Walk MATLAB 5 elements: type and size, then the element."""
    order = "<" if content[126:128] == b"IM" else ">"
    at, last = 128, None
    while at + 8 <= len(content):
        kind, size = struct.unpack_from(order + "II", content, at)
        if kind != 14:  # no matrix: padding at the end
            break
        last = Sound(at + 8, max(0, size - 8), 0, "<I")  # libsndfile's own files end 8 bytes early
        at += 8 + size
    return last


def _sds(content: bytes) -> Sound | None:
    """MIDI sample dumps: 7-bit numbers; packets of 127 bytes hold 120 of samples, 2 to 4 bytes each."""
    bits = content[6]
    samples = content[10] | content[11] << 7 | content[12] << 14
    each = 2 if bits < 15 else 3 if bits < 22 else 4
    return Sound(21, -(-samples * each // 120) * 127, 0, "<I")


_FINDERS: dict[bytes, Callable[[bytes], Sound | None]] = {
    b"RIFF": _riff,
    b"RIFX": _riff,
    b"RF64": _riff,
    b"BW64": _riff,
    b"FORM": _form,
    _W64_RIFF: _w64,
    b".snd": _au,
    b"dns.": _au,
    b"caff": _caf,
    b"NIST_1A": _nist,
    b"Creative Voice File": _voc,
    b"2BIT": _avr,
    b"\x01\x04": _mpc,
    b"ALawSoundFile**": _wve,
    b"MATLAB 5.0": _mat5,
    b"\xf0\x7e": _sds,
    b"\0\0\0\0\x01\0\0\0": _mat4,
    b"\0\0\x03\xe8\0\0\0\x01": _mat4,
}
