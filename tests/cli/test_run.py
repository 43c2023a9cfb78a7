"""`niah run` and `niah report`: tables, figures and page, the dry run, and folders that are left alone."""

from pathlib import Path

import pytest

from tests.helpers import tiny
from tests.helpers.command_line import Material, Niah


def test_run_ends_with_the_table_the_figures_and_the_page(
    niah: Niah, material: Material, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    answer = niah(*material.run(out))
    assert (answer.status, answer.stderr) == (0, "")
    assert "tiny" in answer.stdout
    for name in ("tables.md", "figures", "report.html"):
        assert str(out / name) in answer.stdout
        assert (out / name).exists()
    assert list((out / "figures").glob("*.png"))


def test_dry_run_lists_cells_and_writes_nothing(
    niah: Niah, material: Material, tmp_path: Path
) -> None:
    answer = niah(*material.run(tmp_path / "out"), "--dry-run")
    assert answer.status == 0
    lines = answer.stdout.splitlines()
    assert lines[:2] == ["tiny, needle alone", "tiny, zero, 12 s, position 0.5"]
    assert lines[2] == "work       12 scenes, 2 min of audio"
    assert [line.split()[0] for line in lines[2:-1]] == ["work", "time", "memory", "disk"]
    assert lines[-1] == "2 cells, 0 of them done already; nothing was run"
    assert not (tmp_path / "out").exists()


def test_dry_run_lists_what_is_done(niah: Niah, material: Material, tmp_path: Path) -> None:
    arguments = material.run(tmp_path / "out")
    niah(*arguments)
    answer = niah(*arguments, "--lengths", "12,20", "--dry-run")
    lines = answer.stdout.splitlines()
    assert lines[:4] == [
        "tiny, needle alone (done)",
        "tiny, zero, 12 s, position 0.5 (done)",
        "tiny, zero, 20 s, position 0.5",
        "work       6 scenes, 2 min of audio",
    ]
    assert lines[-1] == "3 cells, 2 of them done already; nothing was run"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--checkpoint", "nothere.pth"], "nothere.pth"),
        (["--needles", "nothere.csv"], "nothere.csv"),
        (["--haystack", "babbel"], "unknown haystack 'babbel'. Did you mean 'babble'"),
        (["--model", "dass-small", "--needles", "synthetic"], "label"),
    ],
)
def test_dry_run_refuses_what_the_run_would(
    arguments: list[str], message: str, niah: Niah, tmp_path: Path
) -> None:
    model = [] if "--model" in arguments else ["--model", "dass-nano"]
    answer = niah("run", *model, *arguments, "--limit", "2", "--out", tmp_path / "out", "--dry-run")
    assert answer.status == 2
    assert message in answer.stderr
    assert answer.stdout == ""


def test_dry_run_refuses_a_folder_that_the_run_would(niah: Niah, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for out, message in (("file", "is a file"), (".", "is not empty and not a run")):
        arguments = ("--model", "dass-nano", "--limit", "2", "--out", tmp_path / out)
        assert message in niah("run", *arguments, "--dry-run").refusal()


def test_dry_run_refuses_a_folder_that_cannot_be_written_as_the_run_does(
    niah: Niah, material: Material, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    arguments = material.run(tmp_path / "file" / "out")
    refusal = niah(*arguments, "--dry-run").refusal()
    assert refusal == niah(*arguments).refusal()
    assert refusal.startswith(f"cannot write to {tmp_path / 'file' / 'out'}: ")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_dry_run_of_a_shard_lists_and_forecasts_its_own_cells(
    niah: Niah, material: Material, tmp_path: Path
) -> None:
    lines = niah(*material.run(tmp_path / "out"), "--shard", "2/2", "--dry-run").stdout.splitlines()
    assert lines[:2] == ["tiny, zero, 12 s, position 0.5", "work       6 scenes, 72 s of audio"]
    assert lines[-2].startswith(
        "shard      2/2 takes these cells first, then those of other shards"
    )
    assert lines[-1] == "1 cell of shard 2/2, 0 of them done already; nothing was run"


def test_dry_run_says_what_follows_the_cells(
    niah: Niah, material: Material, tmp_path: Path
) -> None:
    answer = niah(*material.run(tmp_path / "out"), "--stream", "0.5", "--dry-run")
    assert "then       --stream 0.5: the scenes of the first 50 clips again" in answer.stdout


def test_a_failed_cell_is_exit_status_1(niah: Niah, material: Material, tmp_path: Path) -> None:
    card = tiny.card(tmp_path, "short", longest=1100)
    arguments = [card if each == material.card else each for each in material.run(tmp_path / "out")]
    answer = niah(*arguments)
    assert answer.status == 1
    assert (
        "note: short, zero, 12 s, position 0.5: error: this tagger takes at most 1100 frames"
        in (answer.stderr)
    )
    assert "1 cell failed" in answer.stderr.splitlines()[-1]
    assert (tmp_path / "out" / "report.html").exists()


def test_report_redoes_what_run_made(niah: Niah, material: Material, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = niah(*material.run(out))
    cells = (out / "cells.csv").read_bytes()
    tables = (out / "tables.md").read_bytes()
    (out / "tables.md").unlink()
    assert niah("report", out).stdout == first.stdout
    assert (out / "tables.md").read_bytes() == tables
    assert (out / "cells.csv").read_bytes() == cells


def test_verify_loads_and_runs(niah: Niah, material: Material) -> None:
    answer = niah(
        *("models", "verify", material.card, "--checkpoint", material.weights, "--lengths", "10,20")
    )
    assert answer.status == 0
    assert "tiny: loads strictly" in answer.stdout
    assert "20 s (2000 frames)" in answer.stdout


def test_a_checkpoint_of_another_shape_says_which_keys(
    niah: Niah, material: Material, tmp_path: Path
) -> None:
    arguments = material.run(tmp_path / "out")
    for weights, message in (
        (tiny.checkpoint(tmp_path, hidden=8), "hidden.weight is (8, 128), not (16, 128)"),
        (tiny.checkpoint(tmp_path, classes=5), "head.weight is (5, 16), not (3, 16)"),
    ):
        options = [weights if each == material.weights else each for each in arguments]
        line = niah(*options).refusal()
        assert str(weights) in line
        assert message in line
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(
    niah: Niah, material: Material, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    assert "is not empty and not a run" in niah(*material.run(tmp_path)).refusal()
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]
    line = niah(*material.run(tmp_path / "thesis.txt")).refusal()
    assert "is a file" in line
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_folder_of_another_run_is_left_alone(
    niah: Niah, material: Material, tmp_path: Path
) -> None:
    assert niah(*material.run(tmp_path)).status == 0
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    line = niah(*material.run(tmp_path), "--protocol", "dass-v1").refusal()
    assert "protocol is niah-v2.1 there, dass-v1 now" in line
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
