"""Mark of what a report was made from, at the end of its page: a run that adds nothing leaves its report as it is.

The mark is a hash of the files of the run (scores by name, size and time, all others by their content) and of the code
that reads them.
"""

import hashlib
from functools import cache
from pathlib import Path

PACKAGES = ("pages", "plots", "tables", "diagnosis", "metrics", "records", "cli")
WRITTEN = ("tables.md", "tables.tex", "tables.csv", "report.html")
_BY_STATE = ("scores",)  # large files
_TRANSIENT = ("workers", "claims", "cells")  # of processes at work; rows are in cells.csv
_LONGEST_MARK = 200


def mark(run: Path, settings: str) -> str:
    """Return the mark of a run's report.

    Args:
        run: the run's folder.
        settings: all else that the report depends on.
    """
    digest = hashlib.sha256(f"{settings}\n{_code()}\n".encode())
    for file in sorted(path for path in run.rglob("*") if path.is_file()):
        name = file.relative_to(run)
        if name.parts[0] in _TRANSIENT or name.name.startswith(".") or str(name) == "report.html":
            continue
        if name.parts[0] in _BY_STATE:
            state = file.stat()
            digest.update(f"{name} {state.st_size} {state.st_mtime_ns}\n".encode())
        else:
            digest.update(f"{name}\n".encode() + file.read_bytes())
    return f"<!-- made from {digest.hexdigest()[:32]} -->\n"


def is_made(run: Path, settings: str) -> bool:
    """Return whether a run's report is there and was made from what the folder holds now.

    Args:
        run: the run's folder.
        settings: as for `mark`.
    """
    page = run / "report.html"
    if not all((run / name).is_file() for name in WRITTEN):
        return False
    with page.open("rb") as file:
        file.seek(max(0, page.stat().st_size - _LONGEST_MARK))
        end = file.read().decode(errors="replace")
    return end.endswith(mark(run, settings))


@cache
def _code() -> str:
    package = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for name in PACKAGES:
        for file in sorted((package / name).rglob("*")):
            if file.suffix in (".py", ".html", ".jinja", ".css", ".js", ".toml", ".csv"):
                digest.update(f"{file.relative_to(package)}\n".encode() + file.read_bytes())
    return digest.hexdigest()
