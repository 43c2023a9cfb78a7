"""Names that every file, table and terminal takes."""

import unicodedata

_TURNS = {code: f"[U+{code:04X}]" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}


def printable(text: str) -> str:
    """Return the text with bytes of a file name that are not UTF-8 spelt out, as in `caf\\udce9`."""
    return text.encode(errors="backslashreplace").decode()


def visible(text: str) -> str:
    """Return a page's text in which letters that turn the direction of what follows are spelt out, as in "[U+202E]"."""
    return printable(text).translate(_TURNS)


def content_of(name: str, text: str) -> bytes:
    """Return the content of a text file: a table for programs keeps its names as they are, a page is `visible`.

    Args:
        name: of the file.
        text: its content.
    """
    return (printable(text) if name.endswith(".csv") else visible(text)).encode()


def one_line(text: str) -> str:
    """Return a printable name of composed letters (NFC, which macOS parts) with one blank between words.

    Two names that look alike in a table are then equal, and a table that is saved again has the same.
    """
    return " ".join(unicodedata.normalize("NFC", printable(text)).split())
