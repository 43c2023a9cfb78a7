"""The leaderboard's rows: what is ranked together, counted once, escaped, and refused."""

import base64
import csv
import hashlib
import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from niah.cards import find_model
from niah.errors import NiahError
from niah.pages import leaderboard
from niah.pages.leaderboard import Board, cells_csv, markdown, page
from niah.records.run_directory import RunDirectory
from niah.records.schema import CELL_COLUMNS, Row, read_csv, table
from niah.system import folders
from niah.tables.curves import points
from niah.tables.effective_lengths import effective_lengths
from tests.conftest import REPOSITORY
from tests.helpers import examples

HOSTILE = "</script><script>hacked=1</script><img src=x onerror=hacked=1>'\"&|`[x](javascript:y)"
EMBEDDED = REPOSITORY / "results" / "embedded"
DASS_NANO = find_model("dass-nano")[0].weights["embedded"].sha256


def bare(file: Path, rows: list[Row]) -> Path:
    """A cells.csv without a run.json."""
    file.parent.mkdir(parents=True, exist_ok=True)
    table(rows).to_csv(file, index=False)
    return file


def scored(length_s: float, share: float, **given: Any) -> Row:
    """A finished cell of a model whose 10 s score is 0.8."""
    known: dict[str, Any] = {
        **{"length_s": length_s, "mAP": 0.8 * share, "base_mAP": 0.8, "relative": share},
        **{"chance_mAP": 0.1, "rtf": 100.0 * length_s, "latency_s": 0.01, "kernel": "sdpa"},
        **{"dtype": "float32", "haystack": "none" if length_s == 10 else "zero"},
        **{"position": None if length_s == 10 else 0.5},
    }
    return examples.row(**{**known, **given})


def a_run(path: Path, rows: list[Row], **identity: Any) -> Path:
    """A run directory as it is published: cells.csv and run.json, no scores."""
    bare(path / "cells.csv", rows)
    told = {"schema_version": 1, "identity": {**examples.IDENTITY, **identity}}
    (path / "run.json").write_text(json.dumps(told))
    return path


def boards_of(*sources: Path) -> list[Board]:
    return leaderboard.boards(leaderboard.read(sources))


def shares(board: Board) -> dict[str, dict[float, float]]:
    return {
        entry.system.name: {s: p["relative"] for s, p in entry.line.by_length.items()}
        for entry in board.entries
    }


# --- what is ranked together


@pytest.mark.parametrize(
    ("rows", "identity"),
    [
        ({"protocol": "niah-v2"}, {"protocol": "niah-v2"}),
        ({}, {"ids_sha256": "1" * 64}),
        ({"n_clips": 7}, {}),
        ({}, {"level": "mix"}),
        ({}, {"labels": "esc-10"}),
    ],
    ids=["protocol", "clip list", "number of clips", "level", "vocabulary"],
)
def test_what_is_not_comparable_is_on_boards_apart(
    rows: dict[str, Any], identity: dict[str, Any], tmp_path: Path
) -> None:
    first = a_run(tmp_path / "a", [scored(10, 1), scored(50, 0.5)])
    alike = a_run(tmp_path / "b", [scored(10, 1, model="other"), scored(50, 0.4, model="other")])
    assert len(boards_of(first, alike)) == 1
    apart = a_run(tmp_path / "c", [scored(10, 1, **rows), scored(50, 0.5, **rows)], **identity)
    found = boards_of(first, alike, apart)
    assert [len(board.entries) for board in found] == [2, 1]
    assert "2 boards" in markdown.text(found)


def test_a_bare_table_is_a_board_of_its_own(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", [scored(10, 1), scored(50, 0.5)])
    other = bare(
        tmp_path / "their.csv", [scored(10, 1, model="theirs"), scored(20, 0.9, model="theirs")]
    )
    found = boards_of(run, other)
    assert [board.ids_sha256 for board in found] == ["0" * 64, None]
    assert "not stated" in found[1].notes[0]


def test_a_bare_table_that_shares_a_cell_with_a_run_is_of_its_clips(tmp_path: Path) -> None:
    base, longer = scored(10, 1), scored(50, 0.5)
    run = a_run(tmp_path / "ours", [base, longer])
    other = bare(tmp_path / "their.csv", [base, scored(100, 0.3)])
    (board,) = boards_of(run, other)
    assert shares(board) == {"dass-nano": {10.0: 1.0, 50.0: 0.5, 100.0: 0.3}}
    assert board.entries[0].runs == ("ours", "their")


def test_windows_poolings_precisions_and_weights_are_entries_apart(tmp_path: Path) -> None:
    kinds: list[dict[str, Any]] = [
        {},
        {"window_s": 10.0, "kernel": "sdpa+window-max"},
        {"window_s": 10.0, "kernel": "sdpa+window-mean"},
        {"dtype": "bfloat16"},
        {"checkpoint_sha256": "e" * 64},
        {"seed": 1},
    ]
    rows = [
        scored(s, 1 if s == 10 else 0.1 * i, **kind)
        for i, kind in enumerate(kinds, 1)
        for s in (10, 50)
    ]
    (board,) = boards_of(a_run(tmp_path / "run", rows))
    found = {name: by_length[50.0] for name, by_length in shares(board).items()}
    assert len(found) == len(kinds)
    assert sorted(found.values()) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    by_share = {round(10 * share): name for name, share in found.items()}
    assert by_share[2].endswith("10 s windows, max")
    assert by_share[3].endswith("10 s windows, mean")
    assert by_share[4].endswith("bfloat16")
    assert "eeeeeeee" in by_share[5]
    assert by_share[6].endswith("seed 1")


def test_a_run_whose_labels_differ_on_one_list_of_clips_is_left_out(tmp_path: Path) -> None:
    first = a_run(tmp_path / "a", [scored(10, 1), scored(50, 0.5)])
    other = a_run(tmp_path / "b", [scored(10, 1, model="m", chance_mAP=0.2)])
    (board,) = boards_of(first, other)
    assert {entry.system.model for entry in board.entries} == {"dass-nano"}
    assert "Left out: run b names the same clips as a, but chance is 0.2000" in board.notes[0]


def test_a_list_in_another_order_is_the_same_clips(tmp_path: Path) -> None:
    rows = [scored(10, 1), scored(50, 0.5)]
    first = a_run(tmp_path / "a", rows)
    other = a_run(tmp_path / "b", [scored(10, 1, model="m", seed=1)], ids_sha256="1" * 64)
    assert len(boards_of(first, other)) == 2
    for run in (first, other):  # what newer runs state: the checksum of the sorted ids
        content = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(
            json.dumps({**content, "needles": {"clips_sha256": "c" * 64}})
        )
    (board,) = boards_of(first, other)
    assert len(board.entries) == 2
    older = a_run(tmp_path / "c", [scored(10, 1, model="x")])  # its ordered list is that of a
    assert len(boards_of(first, other, older)) == 1


# --- once each


def test_a_cell_handed_in_twice_counts_once(tmp_path: Path) -> None:
    rows = [scored(10, 1), scored(50, 0.5)]
    first, again = a_run(tmp_path / "a", rows), a_run(tmp_path / "b", rows)
    (board,) = boards_of(first, again, first)
    assert len(board.cells) == 2
    assert board.entries[0].runs == ("a",)
    assert board.notes == (
        "2 cells were submitted more than once; each counts once, the first time.",
    )


def test_a_finished_cell_goes_before_a_failed_one(tmp_path: Path) -> None:
    good = scored(50, 0.5)
    bad: Row = {**good, **dict.fromkeys(("mAP", "relative", "base_mAP", "rtf")), "status": "oom"}
    for order in (("bad", "good"), ("good", "bad")):
        folder = tmp_path / "-".join(order)
        made = {"good": good, "bad": bad}
        paths = [a_run(folder / name, [scored(10, 1), made[name]]) for name in order]
        (board,) = boards_of(*paths)
        assert shares(board)["dass-nano"][50.0] == 0.5


def test_runs_that_disagree_on_a_cell_are_named(tmp_path: Path) -> None:
    honest = scored(50, 0.5)
    first = a_run(tmp_path / "a", [scored(10, 1), honest])
    second = a_run(tmp_path / "b", [{**honest, "mAP": 0.7, "relative": 0.875}])
    (board,) = boards_of(first, second)
    assert shares(board)["dass-nano"][50.0] == 0.5
    assert any("a and b disagree" in note and "0.300 mAP" in note for note in board.notes)


def test_the_base_may_be_in_another_run(tmp_path: Path) -> None:
    alone = a_run(tmp_path / "a", [scored(10, 1)])
    longer = a_run(tmp_path / "b", [scored(50, 0.5, relative=None, base_mAP=None)])
    (board,) = boards_of(alone, longer)
    assert shares(board) == {"dass-nano": {10.0: 1.0, 50.0: pytest.approx(0.5)}}


# --- what is known of a model


def test_models_are_described_by_their_run_or_their_card(tmp_path: Path) -> None:
    carded = [scored(s, 1, checkpoint_sha256=DASS_NANO) for s in (10, 20)]
    (board,) = boards_of(bare(tmp_path / "cells.csv", carded))
    assert board.entries[0].system.parameters == 828409
    assert board.entries[0].system.trained_on_s == 10.24
    (board,) = boards_of(bare(tmp_path / "other.csv", [scored(10, 1), scored(20, 1)]))
    assert board.entries[0].system.trained_on_s is None  # the name alone tells nothing of weights


def test_random_weights_show_speed_alone(tmp_path: Path) -> None:
    made = examples.make(tmp_path / "run", {"models": {"dass-nano": {"random": True}}})
    (board,) = boards_of(made.path)
    for entry in board.entries:
        known = [point["mAP"] is not None for point in entry.line.by_length.values()]
        assert any(known) == (entry.system.model != "dass-nano")


def test_a_scorer_deaf_after_60_s_has_an_l50_of_60_s(tmp_path: Path) -> None:
    curve = {10: 1.0, 30: 1.0, 60: 1.0, 60.5: 0.0, 300: 0.0}
    (board,) = boards_of(a_run(tmp_path / "run", [scored(s, r) for s, r in curve.items()]))
    told = effective_lengths(board.entries[0].line)["L50"]
    assert told is not None
    assert told.length.at.length_s == pytest.approx(60, abs=0.5)
    flat = [scored(s, r) for s, r in {10: 1.0, 30: 0.9, 60: 0.95}.items()]
    (board,) = boards_of(a_run(tmp_path / "flat", flat))
    found = effective_lengths(board.entries[0].line)
    assert [told.text for told in found.values() if told] == ["≥ 60 s", "≥ 60 s"]


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
    found = leaderboard.collect([tmp_path / "runs"])
    assert [each.name for each in found.submissions] == ["default"]
    assert found.refused == ()
    assert len(found.notes) == 2
    assert "causes has no finished cells yet" in found.notes[0]
    assert "controls has only controls or further axes" in found.notes[1]


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


# --- names from outside


class Page(HTMLParser):
    """The text of each script element, the tags in order, and the text of table cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.fields: list[str] = []
        self._tag = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._tag = tag
        {"script": self.scripts, "style": self.styles, "td": self.fields}.get(tag, []).append("")

    def handle_endtag(self, _: str) -> None:
        self._tag = ""

    def handle_data(self, data: str) -> None:
        kept = {"script": self.scripts, "style": self.styles, "td": self.fields}.get(self._tag)
        if kept is not None:
            kept[-1] += data


def hostile(folder: Path) -> Path:
    """A run whose every name is an attack, of a machine whose folders are nobody's business."""
    rows = [
        scored(s, 1 if s == 10 else 0.5, model=HOSTILE, needles=HOSTILE, kernel=HOSTILE,
               haystack="none" if s == 10 else HOSTILE, device=HOSTILE)
        for s in (10, 50)
    ]  # fmt: skip
    run = a_run(folder, rows, needles=HOSTILE, labels=HOSTILE)
    told = json.loads((run / "run.json").read_text())
    told["arguments"] = {"babble": "/mnt/alice/secret/babble.wav", "labels": ["/m/09x0r", HOSTILE]}
    told["notes"] = [f"left out C:\\Users\\alice\\secret\\x.wav, ~/secret/y.wav: {HOSTILE}"]
    told["hardware"] = {"processor": HOSTILE, "cores": 2}
    told["models"] = {HOSTILE: {"licence": HOSTILE, "paper": HOSTILE, "parameters": float("nan")}}
    told["half"] = "\ud800"
    (run / "run.json").write_text(json.dumps(told))
    return run


def test_hostile_names_stay_text_in_the_page(tmp_path: Path) -> None:
    index, _ = leaderboard.write([hostile(tmp_path / "run")], tmp_path / "site")
    parsed = Page(index.read_text())
    assert len(parsed.scripts) == 2
    assert "img" not in dict(parsed.tags)
    told = json.loads(parsed.scripts[0])
    assert told["boards"][0]["systems"][0]["model"] == HOSTILE
    assert told["boards"][0]["needles"] == HOSTILE
    assert HOSTILE in parsed.fields  # and in the table for those without script


def test_hostile_names_stay_text_in_markdown_and_csv(tmp_path: Path) -> None:
    rows = [scored(s, 1 if s == 10 else 0.5, model='=HYPERLINK("x")') for s in (10, 50)]
    found = boards_of(hostile(tmp_path / "run"), a_run(tmp_path / "b", rows))
    text = markdown.text(found)
    assert "<" not in text
    assert "[x](" not in text.replace("\\[", "")
    (line,) = [
        line for line in text.splitlines() if "hacked" in line and "| &lt;/script" in line[:20]
    ]
    assert (
        len(re.split(r"(?<!\\)\|", line)) == len(markdown.table(found[0]).header) + 2
    )  # none more
    cells = list(csv.DictReader(io.StringIO(cells_csv.text(found))))
    assert {cell["model"] for cell in cells} == {HOSTILE, '\'=HYPERLINK("x")'}
    assert set(CELL_COLUMNS) <= set(cells[0])


def test_no_folder_of_the_authors_machine_is_published(tmp_path: Path) -> None:
    index, _ = leaderboard.write([hostile(tmp_path / "run")], tmp_path / "site")
    for file in index.parent.iterdir():
        text = file.read_text(errors="replace")
        assert "alice" not in text
        assert "secret" not in text
        assert str(tmp_path) not in text
    assert "babble.wav" in index.read_text()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/mnt/a/b.wav", "…/b.wav"),
        ("~/b/c.wav is bad", "…/c.wav is bad"),
        ("at '/data/x/y'", "at '…/y'"),
        ("C:\\Users\\a\\b.wav", "…\\b.wav"),
        ("/m/09x0r", "/m/09x0r"),
        ("../shared/b.wav", "../shared/b.wav"),
        ("runs/x", "runs/x"),
        ("https://host.org/a/b", "https://host.org/a/b"),
        ("CC BY 4.0 / CC0", "CC BY 4.0 / CC0"),
    ],
)
def test_absolute_paths_are_cut_and_nothing_else(text: str, shown: str) -> None:
    assert folders.without_folders(text) == shown


def test_only_the_shipped_script_and_style_may_run(tmp_path: Path) -> None:
    index, _ = leaderboard.write([EMBEDDED], tmp_path)
    parsed = Page(index.read_text())
    (policy,) = [a["content"] for _, a in parsed.tags if a.get("http-equiv")]
    assert policy is not None
    for name, text in (("script-src", parsed.scripts[1]), ("style-src", parsed.styles[0])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", index.read_text())


def test_every_part_of_the_script_is_used() -> None:
    folder = Path(page.__file__).parent / "static"
    assert {file.stem for file in folder.glob("*.js")} == set(page.SCRIPTS)


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
    assert "synthetic, niah-v2.1, 100 clips: 9 rows" in done.stdout
    assert (tmp_path / "site" / "index.html").is_file()


def test_a_run_with_its_scores_is_read_too(tmp_path: Path) -> None:
    made = examples.make(tmp_path / "run")
    (board,) = boards_of(made.path)
    assert len(board.cells) == len(RunDirectory(made.path).cells())
    assert board.chance is not None
