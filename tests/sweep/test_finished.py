"""A run that has nothing left to do is noticed without its models; one that has anything left is not."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from niah.cli import main
from niah.records.run_directory import RunDirectory
from niah.sweep.finished import ended, remember
from niah.sweep.loop import run_sweep
from niah.sweep.options import RunOptions


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunOptions:
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path / "cache"))
    options = RunOptions(
        models=("dass-nano",), limit=2, haystacks=("zero",), lengths_s=(10.0,), out=tmp_path / "run"
    )
    run_sweep(options)
    return options


def test_only_a_whole_run_of_the_same_options_has_ended(
    options: RunOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, run = ended(options), options.out
    assert known is not None
    assert set(known.cells) == RunDirectory(run).completed()
    for changed in (
        replace(options, lengths_s=(10.0, 20.0)),
        replace(options, limit=3),
        replace(options, checkpoint="random"),
        replace(options, needles="clips.csv"),
        replace(options, models=("./dass-nano.toml",)),
        replace(options, out=tmp_path / "another"),
    ):
        assert ended(changed) is None
    copied = tmp_path / "moved"
    run.rename(copied)
    assert ended(replace(options, out=copied)) == known
    content = (copied / "run.json").read_text()
    (copied / "run.json").write_text(content.replace('"seed": 0', '"seed": 1', 1))
    assert ended(replace(options, out=copied)) is None  # the usual way says what differs
    (copied / "run.json").write_text(content)
    (scores,) = (copied / "scores").iterdir()
    whole = scores.read_bytes()
    scores.write_bytes(whole[:-1])
    assert ended(replace(options, out=copied)) is None
    scores.write_bytes(whole)
    assert ended(replace(options, out=copied)) == known
    (row,) = (copied / "cells").iterdir()
    row.write_text(row.read_text().replace("dass-nano", "dass-mano"))
    assert ended(replace(options, out=copied)) is None
    row.write_text(row.read_text().replace("dass-mano", "dass-nano"))
    package = tmp_path / "package"
    package.mkdir()
    monkeypatch.setattr("niah.sweep.finished._PACKAGE", package)
    (package / "code.py").write_text("gain = 1")
    os.utime(package / "code.py", (1, 1))
    remember(options, RunDirectory(copied), known.cells, known.notes)
    assert ended(replace(options, out=copied)) == known
    (package / "code.py").write_text("gain = 2")
    os.utime(package / "code.py", (1, 1))  # as in an image whose files all have one time
    assert ended(replace(options, out=copied)) is None


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (("--slice", "-5"), "--slice must be"),
        (("--cluster-options", "nowhere.toml"), "--cluster-options are of a batch system"),
    ],
)
def test_options_are_checked_on_a_finished_run_too(
    options: RunOptions,
    wrong: tuple[str, ...],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ended(options) is not None
    command = [
        "niah",
        "run",
        "--model",
        "dass-nano",
        "--limit",
        "2",
        "--haystack",
        "zero",
        "--lengths",
        "10",
        "--out",
    ]
    monkeypatch.setattr("sys.argv", [*command, str(options.out), *wrong])
    with pytest.raises(SystemExit) as status:
        main()
    assert status.value.code == 2
    assert reason in capsys.readouterr().err


@pytest.mark.slow
def test_a_finished_run_loads_neither_torch_nor_numba(options: RunOptions) -> None:
    text = (
        "import sys\nfrom niah.cli import app\n"
        f"app(['run', '--model', 'dass-nano', '--limit', '2', '--haystack', 'zero', '--lengths', '10', "
        f"'--out', {str(options.out)!r}], standalone_mode=False)\n"
        "assert 'torch' not in sys.modules and 'numba' not in sys.modules"
    )
    for _ in range(2):  # the first makes the report
        subprocess.run([sys.executable, "-c", text], check=True, capture_output=True)
