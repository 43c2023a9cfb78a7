"""Memory that this process may take: the machine's, or less in a container or in a job of a cluster (Linux cgroups)."""

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

# a line a hierarchy: number, controllers (none in version 2), path
_GROUPS = Path("/proc/self/cgroup")
_ROOT = Path("/sys/fs/cgroup")


@cache
def usable_bytes() -> int:
    """Return the machine's memory, or the least limit of this process's groups if that is less."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *_limits()])


def _limits() -> Iterator[int]:
    """Yield the limits of this process's groups and of those around them; a container sees its own as the root."""
    try:
        lines = _GROUPS.read_text().splitlines()
    except (OSError, ValueError):  # no Linux
        return
    for line in lines:
        controllers, path = line.split(":", 2)[1:]
        if not controllers:
            root, name = _ROOT, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = _ROOT / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(root):
                with suppress(OSError, ValueError):  # "max" is none
                    yield int((folder / name).read_text())
