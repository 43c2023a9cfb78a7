"""Whose files those in a folder of publications are: one run's are never written over another's."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from niah.errors import NiahError
from niah.system import atomic

FILE = "published.json"


def owner_of(run: Path, provenance: Mapping[str, Any]) -> str:
    """Return the name of a run and a hash of what all its cells share: an amended run stays the same.

    Args:
        run: the run's folder.
        provenance: content of its run.json.
    """
    identity = json.dumps(provenance.get("identity", {}), sort_keys=True)
    return f"{run.resolve().name} {hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def take(out: Path, files: Iterable[str], owner: str) -> None:
    """Note that files in a folder are a run's, before they are written.

    Args:
        out: folder of publications.
        files: paths below it.
        owner: of `owner_of`.

    Raises:
        NiahError: one is another run's; the folder cannot be read or written.
    """
    marker = out / FILE
    known = atomic.read_json(marker) if marker.is_file() else {}
    wanted = dict.fromkeys(files, owner)
    for name in sorted(wanted):
        other = known.get(name, owner)
        if other != owner and (out / name).is_file():
            raise NiahError(
                f"{out / name} is the publication of another run, '{str(other).rpartition(' ')[0]}': give another "
                "--out, or delete the file"
            )
    if wanted.items() - known.items():
        with atomic.one_line_os_errors(out):
            out.mkdir(parents=True, exist_ok=True)
        atomic.write_json(marker, known | wanted)
