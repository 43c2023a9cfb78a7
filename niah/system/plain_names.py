"""The names that a card may have: a card is data from strangers, and becomes file names and addresses on this machine.

Each check returns the value or raises a `NiahError` of one line. `component` is for values that become one name in a
folder, `relative` for a file below a known folder. `below` follows
links, so it is called where a file is read or written, after the names were checked.
"""

import re
from pathlib import Path
from urllib.parse import urlsplit

from niah.errors import NiahError

MOST_BYTES = 200  # file systems take 255, and caches put a checksum before and an ending after
_SHOWN = 60
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HUB = re.compile(r"[0-9A-Za-z_][0-9A-Za-z._-]{0,95}/[0-9A-Za-z_][0-9A-Za-z._-]{0,95}")
_REVISION = re.compile(r"[0-9A-Za-z_][0-9A-Za-z._-]*(/[0-9A-Za-z_][0-9A-Za-z._-]*)*")


def component(value: str, where: str) -> str:
    """Check one plain name: no folder, not hidden, of letters that print, at most `MOST_BYTES` long.

    Args:
        value: text from a card.
        where: its place, for the message.

    Raises:
        NiahError: the value is no such name.
    """
    if reason := _not_plain(value):
        raise NiahError(f"{where} is {_shown(value)}, {reason}: write one plain name, as in 'mine'")
    return value


def relative(value: str, where: str) -> str:
    """Check the path of a file below a known folder: plain names with `/` between them.

    Args:
        value: text from a card.
        where: its place, for the message.

    Raises:
        NiahError: it is absolute, climbs out with `..`, or has a name that is not plain.
    """
    reasons = ["is absolute"] if value.startswith("/") else map(_not_plain, value.split("/"))
    if reason := next(filter(None, reasons), ""):
        raise NiahError(
            f"{where} is {_shown(value)}, which {reason.removeprefix('which ')}: "
            "write a path below the folder, as in 'mine.pth' or 'folder/mine.pth'"
        )
    return value


def address(value: str, where: str) -> str:
    """Check an http or https address with a host; "" stands for none.

    Args:
        value: text from a card.
        where: its place, for the message.

    Raises:
        NiahError: another scheme, no host, a bad port, or letters that do not print.
    """
    if not value:
        return value
    try:
        split = urlsplit(value)
        good = split.scheme in ("http", "https") and bool(split.hostname) and split.port != 0
    except ValueError:  # a bracket without its pair, a port that is no number
        good = False
    if not good or not value.isprintable() or "\\" in value:
        raise NiahError(f"{where} is {_shown(value)}: it must be an http:// or https:// address")
    return value


def checksum(value: str, where: str) -> str:
    """Check a SHA-256 of 64 hexadecimal digits and return it in small letters; "" stands for none.

    Args:
        value: text from a card.
        where: its place, for the message.

    Raises:
        NiahError: the value is something else.
    """
    if value and not _SHA256.fullmatch(value.lower()):
        raise NiahError(f"{where} is {_shown(value)}: a sha256 has 64 hexadecimal digits")
    return value.lower()


def hub(value: str, where: str) -> str:
    """Check the name of a Hugging Face repository, `OWNER/NAME`; "" stands for none.

    Args:
        value: text from a card.
        where: its place, for the message.

    Raises:
        NiahError: the value is something else.
    """
    if value and not is_hub(value):
        raise NiahError(f"{where} is {_shown(value)}: a hub repository reads OWNER/NAME")
    return value


def is_hub(value: str) -> bool:
    """Return whether a text has the form of a Hugging Face repository's name."""
    return bool(_HUB.fullmatch(value)) and ".." not in value and "--" not in value


def revision(value: str, where: str) -> str:
    """Check the name of a commit, branch or tag; "" stands for none.

    Args:
        value: text from a card.
        where: its place, for the message.

    Raises:
        NiahError: the value is something else.
    """
    if value and not _REVISION.fullmatch(value):
        raise NiahError(f"{where} is {_shown(value)}: a revision is a commit, a branch or a tag")
    return value


def package(value: str, where: str) -> str:
    """The name of a top-level Python package; "" is none.

    Raises:
        NiahError: it is something else.
    """
    if value and not (value.isidentifier() and value.isascii()):
        raise NiahError(f"{where} is {_shown(value)}: write a Python package's name, without dots")
    return value


def text(value: str, where: str) -> str:
    """Check text that is shown to a person: letters that print.

    Args:
        value: text from a card.
        where: its place, for the message.

    Raises:
        NiahError: it has control characters.
    """
    if not value.isprintable():
        raise NiahError(f"{where} is {_shown(value)}: it must be one line of text")
    return value


def below(folder: Path, path: Path, where: str, fix: str) -> Path:
    """Check that a path is below a folder, all links followed.

    Args:
        folder: the folder.
        path: the path, which is returned.
        where: place of the path in a card, for the message.
        fix: advice for the message.

    Raises:
        NiahError: it is not, or its links run in a circle.
    """
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):
        inside = False
    if not inside:
        raise NiahError(f"{where}: {path} leads out of {folder}; {fix}")
    return path


def _not_plain(value: str) -> str:
    """Why it is no plain name; "" if it is one."""
    if not value:
        return "which is empty"
    if "/" in value or "\\" in value:
        return "which names a folder"
    if value.startswith("."):
        return "which begins with a dot"
    if not value.isprintable():
        return "which holds letters that do not print"
    if len(value.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        return f"which is longer than {MOST_BYTES} bytes"
    return ""


def _shown(value: str) -> str:
    return repr(value) if len(value) <= _SHOWN else f"{value[:_SHOWN]!r}.."
