"""Every file that is written: through `atomic_write`, so that links, pipes, devices and full disks are met one way.

`test_atomic` holds what `atomic_write` does with each of them. Here: that nothing in the package writes past it, and
that the commands which write files that a user names do as it does.
"""

import ast
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

import niah
from niah.cli import main
from niah.pages.leaderboard.page import GENERATOR
from tests.helpers import examples, tiny

PACKAGE = Path(niah.__file__).parent
PATH_WRITERS = {"write_text", "write_bytes", "to_csv", "to_parquet", "to_json", "tofile", "touch"}
# these write what no user names, and say why in their docstrings: parts of downloads and of feature stores in the
# cache, files of temporary folders, files of /proc
OWN_FILES = {
    *("system/atomic.py", "system/transfer.py", "system/download.py", "system/memory.py"),
    *(
        "adapters/packaged.py",
        "bench/measuring.py",
        "system/side_processes.py",
        "training/data/row_store.py",
        "training/teachers.py",
    ),
}


def direct_writes(source: str) -> Iterator[str]:
    """Yield the calls that open a file to write, or are handed a path to write to."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = (
            node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        )
        texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
        texts += [
            each.value.value for each in node.keywords if isinstance(each.value, ast.Constant)
        ]
        mode = any(
            isinstance(text, str) and set(text) & set("wax+") and len(text) < 4 for text in texts
        )
        if name in PATH_WRITERS or (name in ("open", "fdopen", "memmap", "open_memmap") and mode):
            yield f"{name}, line {node.lineno}"


def test_what_counts_as_a_direct_write() -> None:
    source = "p.write_text(x)\nopen(p, 'w')\np.open('rb')\nos.fdopen(h, mode='ab')\np.read_text()\n"
    assert list(direct_writes(source)) == ["write_text, line 1", "open, line 2", "fdopen, line 4"]


def test_nothing_is_written_past_atomic_write() -> None:
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 200
    writes = {
        str(file.relative_to(PACKAGE)): found
        for file in files
        if (found := list(direct_writes(file.read_text())))
    }
    assert set(writes) - OWN_FILES == set(), writes


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs `a` and `b`, and clips."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("a", "b"):
        examples.make(folder / name)
    tiny.manifest(folder / "clips", 3)
    tiny.card(folder)
    return folder


COMPARE = ("compare", "a", "b", "--model", "dass-nano", "--out", "OUT")
PREVIEW = ("preview", "--needle", "clips/clip00.wav", "--length", "12", "--out", "OUT")
VERIFY = ("data", "verify", "clips/clips.csv", "--labels", "labels.csv", "--write", "OUT/clean.csv")
WRITERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "compare": (COMPARE, ("compare.md", "compare.csv")),
    "leaderboard": (
        ("leaderboard", "a", "--out", "OUT"),
        ("index.html", "leaderboard.csv", "leaderboard.md"),
    ),
    "preview": (PREVIEW, ("features.npy", "spectrogram.png", "scene.wav")),
    "data verify": (VERIFY, ("clean.csv",)),
    **{
        f"check {form}": (
            ("check", "a", "--against", "b", "--unpaired", "--format", form, "--out", "OUT/check"),
            ("check",),
        )
        for form in ("markdown", "junit", "github")
    },
}
OLD = GENERATOR.encode()  # a leaderboard replaces its own page alone
CASES = [(name, file) for name, (_, files) in WRITERS.items() for file in files]


def run(
    name: str,
    out: Path,
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> tuple[int, str]:
    monkeypatch.chdir(runs)
    words = [word.replace("OUT", str(out)) for word in WRITERS[name][0]]
    monkeypatch.setattr("sys.argv", ["niah", *words])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0), capsys.readouterr().err


@pytest.mark.parametrize("name", WRITERS)
def test_links_of_the_user_are_written_through(
    name: str,
    tmp_path: Path,
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, targets = tmp_path / "out", tmp_path / "targets"
    out.mkdir()
    targets.mkdir()
    for file in WRITERS[name][1]:
        (targets / file).write_bytes(OLD)
        (out / file).symlink_to(targets / file)
    status, err = run(name, out, runs, monkeypatch, capsys)
    assert status == 0, err
    for file in WRITERS[name][1]:
        assert (out / file).is_symlink()
        assert (targets / file).read_bytes() not in (OLD, b"")
    assert sorted(path.name for path in targets.iterdir()) == sorted(WRITERS[name][1])


@pytest.mark.parametrize(("name", "file"), CASES)
def test_a_full_device_and_a_pipe_without_a_reader_are_one_line(
    name: str,
    file: str,
    tmp_path: Path,
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for kind, reason in (("full", "no space left"), ("pipe", "nothing reads from it")):
        out = tmp_path / kind
        out.mkdir()
        if kind == "full":
            (out / file).symlink_to("/dev/full")
        else:
            os.mkfifo(out / file)
        status, err = run(name, out, runs, monkeypatch, capsys)
        (line,) = (each for each in err.splitlines() if not each.startswith("note: "))
        assert status == 2
        assert line.startswith("niah: ")
        assert reason in line
        expected = stat.S_ISCHR if kind == "full" else stat.S_ISFIFO
        assert expected((out / file).stat().st_mode)


@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_that_cannot_be_is_one_line(
    name: str,
    tmp_path: Path,
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A file in the folder's place refuses whatever the user may write, as a read-only folder does."""
    (tmp_path / "file").write_bytes(b"old")
    status, err = run(name, tmp_path / "file" / "out", runs, monkeypatch, capsys)
    (line,) = (each for each in err.splitlines() if not each.startswith("note: "))
    assert status == 2
    assert line.startswith("niah: ")
    assert (tmp_path / "file").read_bytes() == b"old"
