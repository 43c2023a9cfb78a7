"""MPEG audio frames, counted: an MP3 has no length of its own.

A decoder takes the length from the Xing or Info header that an encoder may put into the first frame, and else guesses
it from the first frame's bit rate: with a variable bit rate half a file is lost, or more promised than there is. So the
frames are counted here (ISO 11172-3 and 13818-3, section 2.4.2.3): where the header is missing, one that tells the
count is put before them, one that counts fewer frames is corrected, and a file of several streams is parted, since a
decoder ends with the first.
"""

from collections.abc import Iterator
from dataclasses import dataclass

_KBITS = {  # by (version is 1, layer), index 1 to 14
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_TAGS = (b"Xing", b"Info")
_WITHIN = 1 << 16  # bytes in which the first frame is looked for, after the tags
_INFO_INDEX = 9  # bit rate of a header frame of our own: room for the tag at every version and rate


@dataclass(frozen=True)
class Frame:
    """One frame's header: where it lies and what follows from its bits."""

    start: int
    size: int  # bytes
    version: int  # 3: MPEG 1, 2: MPEG 2, 0: MPEG 2.5
    layer: int
    rate: int
    is_mono: bool

    @property
    def samples(self) -> int:
        """Samples per channel of one frame (ISO 11172-3, ISO 13818-3)."""
        if self.layer == 1:
            return 384
        return 576 if self.layer == 3 and self.version != 3 else 1152

    @property
    def tag_start(self) -> int:
        """Byte of a Xing or Info tag: after the side information."""
        side = (17 if self.is_mono else 32) if self.version == 3 else (9 if self.is_mono else 17)
        return self.start + 4 + side

    def is_like(self, other: "Frame") -> bool:
        """Return whether both frames may belong to one stream: equal version, layer and rate."""
        return (self.version, self.layer, self.rate) == (other.version, other.layer, other.rate)


@dataclass(frozen=True)
class Stream:
    """One stream of a file: its bytes, how many frames of sound are in it, and how many its header promises."""

    content: bytes
    first: Frame  # as it lies in the whole file
    frames: int
    promised: int | None  # None where it has no header, or one without a count

    @property
    def is_cut(self) -> bool:
        """True where frames are missing that the header counts."""
        return self.promised is not None and self.frames < self.promised - 1

    @property
    def is_longer(self) -> bool:
        """True where there are more frames than the header counts, as where a stream without one was appended."""
        return self.promised is not None and self.frames > self.promised + 1

    def with_length(self) -> bytes:
        """Return the stream with a first frame that tells how many frames follow."""
        if self.is_longer:
            return self._recounted()
        if self.promised is not None:
            return self.content
        head = bytearray(self.content[:4])
        head[1] |= 1  # no checksum
        head[2] = head[2] & 0x0D | _INFO_INDEX << 4  # no padding
        own = _parsed(bytes(head), 0)
        assert own is not None
        tag = b"Info" + (1).to_bytes(4, "big") + self.frames.to_bytes(4, "big")
        body = bytearray(own.size)
        body[:4] = head
        body[own.tag_start : own.tag_start + len(tag)] = tag
        return bytes(body) + self.content

    def _recounted(self) -> bytes:
        """Return the stream with its header's counts of frames and bytes replaced by what is there."""
        body = bytearray(self.content)
        at = self.first.tag_start - self.first.start + 8
        body[at : at + 4] = self.frames.to_bytes(4, "big")
        if body[at - 1] & 2:
            body[at + 4 : at + 8] = len(body).to_bytes(4, "big")
        return bytes(body)


def streams(content: bytes) -> list[Stream]:
    """Part an MP3 into its streams: each Xing or Info header begins one. Empty where `content` is none."""
    first = _first(content)
    if first is None:
        return []
    begins: list[tuple[Frame, int | None]] = []
    counts: list[int] = []
    for frame in _frames(content, first):
        tag = content[frame.tag_start : frame.tag_start + 12]
        if tag[:4] in _TAGS:
            begins.append((frame, int.from_bytes(tag[8:12], "big") if tag[7] & 1 else None))
            counts.append(0)
            continue
        if not begins:
            begins.append((frame, None))
            counts.append(0)
        counts[-1] += 1
    ends = [frame.start for frame, _ in begins[1:]] + [len(content)]
    return [
        Stream(content[frame.start : end], frame, count, promised)
        for (frame, promised), count, end in zip(begins, counts, ends, strict=True)
    ]


def _first(content: bytes) -> Frame | None:
    """Find the first frame that is followed by one like it, or by the end."""
    start = after_tags(content, 0)
    for at in range(start, min(start + _WITHIN, len(content) - 4)):
        if content[at] != 0xFF:
            continue
        frame = _parsed(content, at)
        if frame is None:
            continue
        after = _parsed(content, at + frame.size)
        if (after is not None and after.is_like(frame)) or at + frame.size == len(content):
            return frame
    return None


def _frames(content: bytes, first: Frame) -> Iterator[Frame]:
    """Walk the frames that are whole, over tags and damage between them."""
    at = first.start
    while at + 4 <= len(content):
        frame = _parsed(content, at)
        if frame is not None and frame.is_like(first):
            if at + frame.size > len(content):
                return
            yield frame
            at += frame.size
            continue
        after = after_tags(content, at)
        at = after if after > at else content.find(b"\xff", at + 1)
        if at < 0:
            return


def after_tags(content: bytes, at: int) -> int:
    """Skip ID3v2 tags: ten bytes and as many as their syncsafe size says."""
    while content[at : at + 3] == b"ID3" and at + 10 <= len(content):
        size = 0
        for byte in content[at + 6 : at + 10]:
            size = size << 7 | byte & 0x7F
        at += 10 + size
    return at


def _parsed(content: bytes, at: int) -> Frame | None:
    head = content[at : at + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    index, rate_index, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 4 or not 1 <= index <= 14 or rate_index == 3:
        return None
    rate = _RATES[version][rate_index]
    bits = 1000 * _KBITS[version == 3, layer][index - 1]
    if layer == 1:
        size = (12 * bits // rate + padding) * 4
    else:
        size = (72 if layer == 3 and version != 3 else 144) * bits // rate + padding
    return Frame(at, size, version, layer, rate, head[3] >> 6 == 3)
