"""The names that a card may have: a card is data from strangers, and becomes file names and addresses on this machine.

Each check takes the value and where it stands, and returns it or raises a `NiahError` of one line. `component` is the
rule for all that becomes one name in a folder; `relative` for a file below a folder that is known. `below` follows
links, so it is asked where a file is read or written, after the names were found plain.
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
    """One plain name: no folder, not hidden, of letters that print, at most `MOST_BYTES` long.

    Raises:
        NiahError: it is none.
    """
    if reason := _not_plain(value):
        raise NiahError(f"{where} is {_shown(value)}, {reason}: write one plain name, as in 'mine'")
    return value


def relative(value: str, where: str) -> str:
    """The path of a file below a known folder: plain names with `/` between them.

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
    """An http or https address with a host; "" is none.

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
    """A SHA-256 of 64 hexadecimal digits, in small letters; "" is none.

    Raises:
        NiahError: it is something else.
    """
    if value and not _SHA256.fullmatch(value.lower()):
        raise NiahError(f"{where} is {_shown(value)}: a sha256 has 64 hexadecimal digits")
    return value.lower()


def hub(value: str, where: str) -> str:
    """A repository of the Hugging Face hub, `OWNER/NAME`; "" is none.

    Raises:
        NiahError: it is something else.
    """
    if value and (not _HUB.fullmatch(value) or ".." in value or "--" in value):
        raise NiahError(f"{where} is {_shown(value)}: a hub repository reads OWNER/NAME")
    return value


def revision(value: str, where: str) -> str:
    """A commit, branch or tag of a repository; "" is none.

    Raises:
        NiahError: it is something else.
    """
    if value and not _REVISION.fullmatch(value):
        raise NiahError(f"{where} is {_shown(value)}: a revision is a commit, a branch or a tag")
    return value


def text(value: str, where: str) -> str:
    """Something shown to a person: letters that print.

    Raises:
        NiahError: it holds control characters.
    """
    if not value.isprintable():
        raise NiahError(f"{where} is {_shown(value)}: it must be one line of text")
    return value


def below(folder: Path, path: Path, where: str, fix: str) -> Path:
    """`path`, which with all links followed lies below `folder`.

    Raises:
        NiahError: it does not, or its links run in a circle.
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
