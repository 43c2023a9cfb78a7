"""The leaderboard's inputs and outputs: folders searched, bad runs left out, CSV and Markdown, the command."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from niah.errors import NiahError
from niah.pages import leaderboard
from niah.pages.leaderboard import markdown
from niah.records.cell_table import read_csv
from niah.records.run_directory import RunDirectory
from niah.records.schema import CELL_COLUMNS
from niah.tables.curves import points
from tests.conftest import REPOSITORY
from tests.helpers import examples
from tests.helpers.boards import EMBEDDED, Page, a_run, bare, boards_of, scored

# --- in and out


def test_folders_of_runs_are_searched_and_named_apart(tmp_path: Path) -> None:
    for place in ("x/a", "x/b", "y/a", "z/run"):
        a_run(tmp_path / place, [scored(10, 1, model=place), scored(50, 0.5, model=place)])
    found = leaderboard.read([tmp_path, tmp_path / "x" / "a"])
    assert [each.name for each in found] == ["a", "b", "a (2)", "run"]  # not by the folders above


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NiahError, match="does not exist"):
        leaderboard.read([tmp_path / "nothing"])
    with pytest.raises(NiahError, match="has no run"):
        leaderboard.read([tmp_path])
    with pytest.raises(NiahError, match="at least one"):
        leaderboard.read([])
    (tmp_path / "cells.csv").write_text("model,mAP\nx,0.5\n")
    with pytest.raises(NiahError, match="lacks the columns"):
        leaderboard.read([tmp_path])
    bare(tmp_path / "cells.csv", [])
    with pytest.raises(NiahError, match="no finished cells"):
        leaderboard.read([tmp_path])


def test_folders_with_nothing_to_rank_are_passed_over_with_a_note(tmp_path: Path) -> None:
    a_run(tmp_path / "runs" / "default", [scored(10, 1), scored(50, 0.5)])
    a_run(tmp_path / "runs" / "causes", [])
    a_run(tmp_path / "runs" / "controls", [scored(50, 0.5, control="needle-free")])
    shutil.rmtree(tmp_path / "runs" / "causes" / "cells", ignore_errors=True)
    (tmp_path / "runs" / "causes" / "cells.csv").unlink(missing_ok=True)  # not even a table yet
    for name in (".cache", "__MACOSX"):
        shutil.copytree(tmp_path / "runs" / "default", tmp_path / "runs" / name / "default")
    found = leaderboard.collect([tmp_path / "runs"])
    assert [each.name for each in found.submissions] == ["default"]
    assert found.refused == ()
    assert len(found.notes) == 2
    assert "causes has no finished cells yet" in found.notes[0]
    with pytest.raises(NiahError, match=r"in it are the runs causes, controls, default: name one"):
        RunDirectory(tmp_path / "runs")
    assert "controls has only controls or further axes" in found.notes[1]


def test_a_folder_of_causes_is_named(tmp_path: Path) -> None:
    RunDirectory.create_or_open(tmp_path, {**examples.IDENTITY, "measures": "causes"}).close()
    with pytest.raises(NiahError, match=r"is a folder of `niah causes`.*causes\.md"):
        leaderboard.collect([tmp_path])


def test_only_verified_runs_are_taken_where_that_is_asked(tmp_path: Path) -> None:
    """A whole run stays; one whose metrics are not its scores' and a bare table are named, and alone are refused."""
    whole, changed = (examples.make(tmp_path / name) for name in ("whole-v2.1", "changed"))
    table = bare(tmp_path / "table.csv", [scored(10, 1), scored(50, 0.5)])
    rows = [{**row, "mAP": 0.999} if row["mAP"] else row for row, _ in changed.rows()]
    with RunDirectory.create_or_open(changed.path, examples.IDENTITY) as run:
        run.write_rows((row, run.scores_sha256(str(row["cell"]))) for row in rows)
    collection = leaderboard.collect([whole.path, changed.path, table])
    said = {each.name: each.scores for each in collection.submissions}
    assert said["whole-v2.1"].startswith("published: `niah verify` computes")
    assert said["table"].startswith("not published")
    assert len(said) == 3
    taken = leaderboard.verified(collection)
    assert [each.name for each in taken.submissions] == ["whole-v2.1"]
    assert taken.submissions[0].scores.startswith("published, and every metric computed")
    assert [reason.partition(":")[0] for reason in taken.refused] == ["changed", "table"]
    assert "no scores to verify it by" in taken.refused[1]
    with pytest.raises(NiahError, match="no run can be verified: table"):
        leaderboard.verified(leaderboard.collect([table]))


BAD_ROWS: dict[str, dict[str, Any]] = {
    "infinite speed": {"rtf": float("inf")},
    "a number beyond all sense": {"peak_memory_bytes": 10**25},
    "no length": {"length_s": 0.0},
}


@pytest.mark.parametrize("values", BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_bad_row_leaves_its_run_out_and_no_other(values: dict[str, Any], tmp_path: Path) -> None:
    good = a_run(tmp_path / "good", [scored(10, 1), scored(50, 0.5)])
    bad = tmp_path / "bad"
    bad.mkdir()
    rows = [{**scored(50, 0.5, model="m"), **values}]
    header = ",".join(CELL_COLUMNS)
    lines = [",".join("" if row[n] is None else str(row[n]) for n in CELL_COLUMNS) for row in rows]
    (bad / "cells.csv").write_text("\n".join([header, *lines, ""]))
    found = leaderboard.collect([good, bad])
    assert [each.name for each in found.submissions] == ["good"]
    assert len(found.refused) == 1
    assert "bad" in found.refused[0]


def test_a_board_without_chance_is_written(tmp_path: Path) -> None:
    rows = [scored(s, 1, chance_mAP=None) for s in (10, 50)]
    index, (board,) = leaderboard.write([a_run(tmp_path / "a", rows)], tmp_path / "site")
    assert board.chance is None
    assert index.is_file()


@pytest.mark.parametrize(
    "content",
    [
        {"models": {"dass-nano": 1}},
        {"identity": {"ids_sha256": "0" * 64, "level": ["mix"], "labels": {"a": 1}}},
        {"hardware": {"gpu": {"name": 3}}, "notes": 3, "presets": 5, "haystacks": "x"},
        {"models": {"dass-nano": {"parameters": 10**400, "trained_on_s": "x", "licence": []}}},
    ],
)
def test_wrong_types_in_run_json_end_nothing(content: dict[str, Any], tmp_path: Path) -> None:
    good = a_run(tmp_path / "good", [scored(10, 1, model="m"), scored(50, 0.5, model="m")])
    bad = a_run(tmp_path / "bad", [scored(10, 1), scored(50, 0.5)])
    kept = json.loads((bad / "run.json").read_text())
    (bad / "run.json").write_text(json.dumps({**kept, **content}))
    index, _ = leaderboard.write([good, bad], tmp_path / "site")
    assert json.loads(Page(index.read_text()).scripts[0])


def test_a_run_json_nested_too_deeply_is_left_out(tmp_path: Path) -> None:
    good = a_run(tmp_path / "good", [scored(10, 1), scored(50, 0.5)])
    bad = a_run(tmp_path / "bad", [scored(10, 1)])
    text = (bad / "run.json").read_text()[:-1]
    (bad / "run.json").write_text(f'{text}, "x": {"[" * 100_000}{"]" * 100_000}}}')
    found = leaderboard.collect([good, bad])
    assert [each.name for each in found.submissions] == ["good"]
    assert "bad" in found.refused[0]


def test_an_older_table_is_read_and_a_newer_run_refused(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", [scored(10, 1), scored(50, 0.5)])
    told = json.loads((run / "run.json").read_text())
    (run / "run.json").unlink()  # what was published before there was a run.json
    assert len(leaderboard.read([run])[0].cells) == 2
    (run / "run.json").write_text(json.dumps({**told, "schema_version": 99}))
    with pytest.raises(NiahError, match="schema 99, newer than this niah's"):
        leaderboard.read([run])
    (run / "run.json").write_text(json.dumps({**told, "models": ["x"]}))
    with pytest.raises(NiahError, match="'models' must be an object"):
        leaderboard.read([run])


def test_other_peoples_pages_are_not_overwritten(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", [scored(10, 1), scored(50, 0.5)])
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<h1>mine</h1>")
    with pytest.raises(NiahError, match="not a leaderboard's page"):
        leaderboard.write([run], tmp_path / "site")
    assert [file.name for file in (tmp_path / "site").iterdir()] == ["index.html"]
    with pytest.raises(NiahError, match="is a file"):
        leaderboard.write([run], run / "run.json")


def test_csv_has_every_cell_exactly(tmp_path: Path) -> None:
    leaderboard.write([EMBEDDED], tmp_path)
    rows = list(csv.DictReader((tmp_path / "leaderboard.csv").open(newline="")))
    known = {row["cell"]: row for row in points(read_csv(EMBEDDED / "cells.csv"))}
    assert {row["cell"] for row in rows} == set(known)
    for row in rows:
        assert float(row["mAP"]) == known[row["cell"]]["mAP"]
        assert float(row["latency_s"]) == known[row["cell"]]["latency_s"]
        assert row["run"] == "embedded"


def test_markdown_shows_what_the_cells_say() -> None:
    (board,) = boards_of(EMBEDDED)
    text = markdown.table(board).markdown()
    header, *rows = [
        [field.strip() for field in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| ") and "---" not in line
    ]
    assert header == [
        *("rank", "model", "parameters", "haystack", "position", "10 s", "20 s", "50 s", "100 s"),
        *("L85", "L50", "x real time"),
    ]
    found = {(row[1], row[3]): row for row in rows}
    cells = [cell for cell in points(read_csv(EMBEDDED / "cells.csv")) if cell["length_s"] == 50]
    assert len(cells) == len(rows) - 1  # the last row is chance
    for cell in cells:
        level = f", {cell['snr_db']:g} dB" if cell["snr_db"] is not None else ""
        row = found[cell["model"], cell["haystack"] + level]
        above = (cell["mAP"] - cell["chance_mAP"]) / (cell["base_mAP"] - cell["chance_mAP"])
        shares = f"{100 * cell['relative']:.0f} / {100 * above:.0f} %"
        assert row[header.index("50 s")] == f"{cell['mAP']:.3f} ({shares})"
        assert row[header.index("10 s")] == f"{cell['base_mAP']:.3f}"
    assert rows[-1][1] == "chance"


def test_the_same_runs_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        leaderboard.write([EMBEDDED], tmp_path / name)
    for file in ("index.html", "leaderboard.csv", "leaderboard.md"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


# --- the command


def test_the_command_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from niah.cli import app; "
        f"app(['leaderboard', {str(EMBEDDED)!r}, '--out', {str(tmp_path / 'site')!r}], "
        "standalone_mode=False); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "niah-v2.1, level mix on 100 clips of synthetic: 9 rows" in done.stdout
    assert (tmp_path / "site" / "index.html").is_file()


def test_a_run_with_its_scores_is_read_too(tmp_path: Path) -> None:
    made = examples.make(tmp_path / "run")
    (board,) = boards_of(made.path)
    assert len(board.cells) == len(RunDirectory(made.path).cells())
    assert board.chance is not None
