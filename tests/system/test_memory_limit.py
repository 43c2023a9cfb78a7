"""The memory that may be taken is the least of the machine's and of the groups' limits."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from niah.system import memory_limit
from niah.system.memory_limit import usable_bytes

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
MEBIBYTE = 2**20


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    usable_bytes.cache_clear()
    yield
    usable_bytes.cache_clear()


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(memory_limit, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(memory_limit, "_ROOT", tmp_path / "cgroup")
    return tmp_path


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_here_it_is_some_of_the_machine_s() -> None:
    assert 2**28 < usable_bytes() <= MACHINE


def test_without_groups_it_is_the_machine_s(system: Path) -> None:
    assert not (system / "groups").exists()
    assert usable_bytes() == MACHINE


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        # version 2: a job's own limit, that of the step around it, none, and the root of a container
        ("0::/slurm/job/step\n", {"slurm/job/memory.max": "512"}, 512),
        ("0::/slurm/job\n", {"slurm/job/memory.max": "64", "slurm/memory.max": "32"}, 32),
        ("0::/user\n", {"user/memory.max": "max"}, None),
        ("0::/\n", {"memory.max": "128"}, 128),
        # version 1, with other hierarchies beside it; a container does not see the path that it has outside
        (
            "5:cpu:/x\n4:memory:/docker/a\n1:name=systemd:/\n",
            {"memory/docker/a/memory.limit_in_bytes": "256", "cpu/x/memory.limit_in_bytes": "1"},
            256,
        ),
        ("4:cpu,memory:/docker/a\n", {"memory/memory.limit_in_bytes": "96"}, 96),
    ],
)
def test_the_least_limit_counts(
    system: Path, groups: str, limits: dict[str, str], expected: int | None
) -> None:
    write(system / "groups", groups)
    for name, limit in limits.items():
        text = limit if limit == "max" else str(int(limit) * MEBIBYTE)
        write(system / "cgroup" / name, f"{text}\n")
    assert usable_bytes() == (MACHINE if expected is None else expected * MEBIBYTE)


def test_no_limit_in_version_1_is_a_number_beyond_all_memory(system: Path) -> None:
    write(system / "groups", "4:memory:/\n")
    write(system / "cgroup" / "memory" / "memory.limit_in_bytes", "9223372036854771712\n")
    assert usable_bytes() == MACHINE
