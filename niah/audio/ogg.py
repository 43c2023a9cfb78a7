"""Pages of Ogg (RFC 3533): where a stream ends, its links, and the samples that they promise."""

import struct
from itertools import pairwise

PAGE = b"OggS"
LEAST_LEFT_OVER = 4096  # bytes after the sound that are taken for sound if they are no chunks


def vorbis_frames(content: bytes) -> int:
    """Return the samples a channel that an Ogg Vorbis stream should give, by its pages; 0 for any other.

    A page's granule position is the number of samples up to its end (Vorbis I, section A.2). A part of a longer stream,
    as of a radio, begins with a high one, and gives at least the difference.
    """
    if content[:4] != PAGE or content[28:35] != b"\x01vorbis":
        return 0
    ends: list[int] = []
    at = 0
    while content[at : at + 4] == PAGE and at + 27 <= len(content):
        (granule,) = struct.unpack_from("<q", content, at + 6)
        if granule > 0:
            ends.append(granule)
        at = _page_end(content, at)
    if not ends:
        return 0
    longest = max((b - a for a, b in pairwise(ends)), default=ends[0])
    return ends[-1] if ends[0] <= 2 * longest else ends[-1] - ends[0]


def left_over(content: bytes) -> int:
    """Return the bytes after the pages of an Ogg stream that are neither zeros nor a tag; 0 for other containers."""
    if content[:4] != PAGE:
        return 0
    last = end(content)
    left = len(content) - last
    return left if left >= LEAST_LEFT_OVER and any(content[last:]) else 0


def links(content: bytes) -> list[bytes]:
    """Part chained Ogg streams (RFC 3533, section 4): each link begins with its own first page."""
    if content[:4] != PAGE:
        return [content]
    starts = [0]
    was_first, at = True, 0
    while 0 <= at < len(content) - 27:
        if content[at : at + 4] != PAGE:
            break
        is_first = bool(content[at + 5] & 2)
        if is_first and not was_first:
            starts.append(at)
        was_first = is_first
        at = _page_end(content, at)
    return [content[a:b] for a, b in zip(starts, [*starts[1:], len(content)], strict=True)]


def end(content: bytes) -> int:
    """Return the byte after the last page, which may lie beyond a file that was cut short."""
    return _page_end(content, content.rfind(PAGE))


def _page_end(content: bytes, page: int) -> int:
    """Return the byte after an Ogg page, as its lacing values say (RFC 3533, section 6)."""
    if page + 27 > len(content):
        return page + 27
    n_segments = content[page + 26]
    if page + 27 + n_segments > len(content):
        return page + 27 + n_segments
    return page + 27 + n_segments + sum(content[page + 27 : page + 27 + n_segments])
