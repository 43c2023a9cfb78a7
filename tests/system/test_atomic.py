"""Files written whole or not at all, and what is no file: written through, never replaced."""

import os
import select
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from niah.errors import NiahError
from niah.system import atomic
from niah.system.atomic import atomic_write, check_writable, is_leftover, remove_leftovers

WRITE = """
import sys
import tempfile
from pathlib import Path
from niah.system.atomic import atomic_write
with atomic_write(Path(sys.argv[1])) as stream:
    stream.write(b"new")
"""


def write(file: Path, content: bytes = b"new") -> None:
    with atomic_write(file) as stream:
        stream.write(content)


def test_a_file_is_replaced_whole_and_nothing_is_left(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"old")
    write(file)
    assert file.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_what_is_being_written_is_no_leftover(tmp_path: Path) -> None:
    """A report beside a run took the figure that the run was drawing for a killed writer's, and the run failed."""
    with atomic_write(tmp_path / "figures.png") as stream:
        stream.write(b"half")
        (mine,) = tmp_path.iterdir()
        earlier = mine.with_name(".a.csv." + ".".join(mine.name.split(".")[-3:]))
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        of_ended = tmp_path / f".b.csv.{ended.pid}.00000000.tmp"
        for leftover in (earlier, of_ended):
            leftover.touch()
        os.utime(
            earlier, (0, 0)
        )  # of an earlier process of this number, as a container's first has it
        remove_leftovers(tmp_path)
        assert list(tmp_path.iterdir()) == [mine]
    assert (tmp_path / "figures.png").read_bytes() == b"half"


def test_what_another_machine_writes_is_no_leftover_for_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a shared folder a writer elsewhere may have the number of a process that has ended here, or of none."""
    with monkeypatch.context() as there:
        there.setattr(atomic, "place", lambda: {"host": "there"})
        names = [atomic._temporary(tmp_path / name) for name in ("new.csv", "old.csv")]
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    new, old = (Path(str(each).replace(f".{os.getpid()}.", f".{ended.pid}.")) for each in names)
    for file in (new, old):
        file.touch()
    os.utime(old, (0, 0))
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [new]


def test_a_file_is_on_the_disk_before_it_has_its_name_and_its_name_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    replace = Path.replace

    def sync(descriptor: int) -> None:
        steps.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")

    def rename(source: Path, target: Path) -> Path:
        assert source.read_bytes() == b"new"  # nothing is left in the stream's buffer
        steps.append("rename")
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", rename)
    write(tmp_path / "a.txt")
    assert steps == ["sync file", "rename", "sync folder"]
    steps.clear()
    with atomic_write(tmp_path / "cached", sync=False) as stream:
        stream.write(b"new")
    assert steps == ["rename"]


def test_an_error_in_the_block_keeps_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"old")

    def fail_half_way() -> None:
        with atomic_write(file) as stream:
            stream.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert file.read_bytes() == b"old"
    assert not [path for path in tmp_path.iterdir() if is_leftover(path.name)]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_is_written_through_and_stays_a_link(tmp_path: Path, is_there: bool) -> None:
    target = tmp_path / "elsewhere" / "target.txt"
    target.parent.mkdir()
    if is_there:
        target.write_bytes(b"old")
    link = tmp_path / "link.txt"
    link.symlink_to(Path("elsewhere") / "target.txt")
    write(link)
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "elsewhere",
        "link.txt",
        "target.txt",
    ]


def test_links_in_a_circle_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(NiahError, match="cannot write to"):
        write(tmp_path / "a")
    assert (tmp_path / "a").is_symlink()


def test_a_device_stays_a_device() -> None:
    """A rename by root over /dev/null would make a file of it, for everybody."""
    write(Path("/dev/null"))
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    with pytest.raises(NiahError, match="no space left"):
        write(Path("/dev/full"))
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_a_pipe_gets_the_bytes_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(NiahError, match="nothing reads from it"):
        write(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    content = b"x" * (1 << 18)  # more than a pipe holds at once
    writer = threading.Thread(target=write, args=(pipe, content))
    writer.start()
    select.select([reading], [], [], 60)  # before a writer came, reading would be at the end
    os.set_blocking(reading, True)
    with os.fdopen(reading, "rb") as stream:
        assert stream.read() == content
    writer.join()
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_file_in_the_machines_memory_is_a_file() -> None:
    """/dev/shm holds files; only /dev/stdout and its like are open streams."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        file = Path(name) / "a"
        for content in (b"longer than", b"new"):
            write(file, content)
        assert file.read_bytes() == b"new"


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
def test_standard_output_is_written_to_whatever_it_is(tmp_path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to("/dev/stdout")
    command = [sys.executable, "-c", WRITE, str(tmp_path / name)]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"new"
    log = tmp_path / "log"
    with log.open("wb") as stream:
        stream.write(b"before ")
        stream.flush()
        subprocess.run(command, stdout=stream, check=True)
        stream.seek(0, os.SEEK_END)
        stream.write(b" after")
    assert log.read_bytes() == b"before new after"


@pytest.mark.parametrize("kind", ["folder", "link to a folder"])
def test_a_folder_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    with pytest.raises(NiahError, match="is a folder: give the name of a file"):
        write(tmp_path / ("folder" if kind == "folder" else "link"))


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(NiahError, match="cannot write to"):
        write(tmp_path / "gone" / "a.txt")


def test_a_folder_is_tried_without_a_trace(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    check_writable(tmp_path)
    check_writable(tmp_path / "not" / "there")
    with pytest.raises(NiahError, match=r"cannot write to .*file/run: "):
        check_writable(tmp_path / "file" / "run")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
