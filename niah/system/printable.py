"""Names that every file, table and terminal takes."""

import unicodedata


def printable(text: str) -> str:
    """Return the text with bytes of a file name that are not UTF-8 spelt out, as in `caf\\udce9`."""
    return text.encode(errors="backslashreplace").decode()


def one_line(text: str) -> str:
    """Return a printable name of composed letters (NFC, which macOS parts) with one blank between words.

    Two names that look alike in a table are then equal, and a table that is saved again has the same.
    """
    return " ".join(unicodedata.normalize("NFC", printable(text)).split())
