"""The kind of a file that libsndfile cannot read, by its first bytes, and the way to convert it."""

from niah.system.lfs_pointer import POINTER, is_lfs_pointer

_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_CONVERT = "which libsndfile cannot read: convert it, as with `ffmpeg -i {name} out.wav`"


def description(content: bytes, name: str) -> str:
    """Return why a file is no sound file, in words that are equal in every run.

    Args:
        content: the file's first bytes, 512 or more.
        name: the file's name, for the advice.
    """
    begin = content[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if begin.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return "is a web page, not a sound file: fetch it again"
    if is_lfs_pointer(begin):
        return POINTER
    for kind, is_kind in (
        ("MP4 or M4A (AAC)", content[4:8] == b"ftyp"),
        ("AAC", _is_adts(content)),
        ("WMA (ASF)", content.startswith(_ASF)),
        ("WebM or Matroska", content.startswith(b"\x1aE\xdf\xa3")),
        ("AMR", content.startswith(b"#!AMR")),
        ("Monkey's Audio", content.startswith(b"MAC ")),
        ("WavPack", content.startswith(b"wvpk")),
        ("True Audio (TTA)", content.startswith(b"TTA1")),
        ("AC-3", content.startswith(b"\x0bw")),
        ("FLAC in Ogg", content[28:33] == b"\x7fFLAC"),
        ("Speex", content[28:36] == b"Speex   "),
        (
            "ALAC or Opus in CAF",
            content.startswith(b"caff") and content[28:32] in (b"alac", b"opus"),
        ),
    ):
        if is_kind:
            return f"is {kind}, {_CONVERT.format(name=name)}"
    for kind, magic in (
        ("a ZIP archive", b"PK\x03\x04"),
        ("a gzip archive", b"\x1f\x8b"),
        ("a PDF", b"%PDF"),
    ):
        if content.startswith(magic):
            return f"is {kind}, not a sound file"
    return "is not a sound file that libsndfile can read"


def _is_adts(content: bytes) -> bool:
    """Return whether it begins with an ADTS header (ISO 14496-3): sync word, layer 0."""
    return len(content) > 2 and content[0] == 0xFF and content[1] & 0xF6 == 0xF0
