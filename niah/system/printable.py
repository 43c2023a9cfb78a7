"""Names and signs that every file, table and terminal takes."""

import codecs
import unicodedata

_TURNS = {code: f"[U+{code:04X}]" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
_PLAIN_SIGNS = {
    **{
        "≥": ">=",
        "≤": "<=",
        "±": "+-",
        "−": "-",
        "–": "-",
        "—": "--",
        "×": "x",
        "·": "*",
        "…": "..",
    },
    **{
        "†": "+",
        "‘": "'",
        "’": "'",
        "“": '"',
        "”": '"',
        "→": "->",
        "µ": "u",
        "°": " deg",
        "²": "^2",
    },
}
PLAIN_SIGNS = "niah-plain-signs"  # name of the handler of errors


def in_plain_signs(text: str, encoding: str) -> str:
    """Return the text with signs that an encoding lacks in plain letters, ">=" for "≥"; "?" for any other letter.

    Args:
        text: to print.
        encoding: of the terminal or pipe.
    """
    return text.encode(encoding, PLAIN_SIGNS).decode(encoding)


def _plain_sign(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_PLAIN_SIGNS.get(sign, "?") for sign in lacking), error.end


codecs.register_error(PLAIN_SIGNS, _plain_sign)


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
