"""The leaderboard's rows: what is ranked together, and counted once."""

import json
from pathlib import Path
from typing import Any

import pytest

from niah.metrics.chance import ONE_RECORDING
from niah.pages.leaderboard import markdown
from niah.records.schema import Row
from niah.tables.effective_lengths import effective_lengths
from tests.helpers import examples
from tests.helpers.boards import DASS_NANO, a_run, bare, boards_of, scored, shares

# --- what is ranked together


def test_boards_of_equal_clips_are_titled_by_what_differs(tmp_path: Path) -> None:
    rows = [scored(10, 1), scored(50, 0.5)]
    plain = a_run(tmp_path / "a", rows)
    runs = [
        plain,
        a_run(tmp_path / "b", rows, level="mix"),
        a_run(tmp_path / "c", rows, labels="esc-10"),
        a_run(tmp_path / "d", rows, labels="esc-10", ids_sha256="1" * 64),
    ]
    (alone,) = boards_of(plain)
    assert alone.title == f"{alone.protocol} on {alone.n_clips} clips of {alone.needles}"
    titles = {board.title for board in boards_of(*runs)}
    assert titles == {
        alone.title.replace(" on ", ", level mix on "),
        f"{alone.title}, labels not stated",
        f"{alone.title}, labels esc-10, clip list {'0' * 12}",
        f"{alone.title}, labels esc-10, clip list {'1' * 12}",
    }
    assert all(title in markdown.text(boards_of(*runs)) for title in titles)


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
        "2 cells were submitted more than once; each counts once, with its stored scores where a run has them, else "
        "the first time.",
        ONE_RECORDING,  # these rows have no intervals
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


def test_a_cell_with_its_scores_goes_before_that_of_a_table(tmp_path: Path) -> None:
    """A table of a name that comes first in the folder had its numbers shown, whatever they were."""
    run = examples.make(tmp_path / "run")
    table = tmp_path / "a.csv"
    cells = run.cells()
    cells.assign(mAP=(cells["mAP"] * 1.05).clip(upper=1.0)).to_csv(table, index=False)
    stored = {cell: mAP for cell, mAP in zip(cells["cell"], cells["mAP"], strict=True) if mAP > 0}
    for order in ((table, run.path), (run.path, table)):
        (board,) = boards_of(*order)
        shown = {cell["cell"]: cell["mAP"] for _, cell in board.cells if cell["mAP"]}
        assert shown == stored
        assert any("disagree" in note for note in board.notes)


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


def test_each_noise_seed_has_the_needle_alone(tmp_path: Path) -> None:
    """It is one cell, as nothing of it depends on the noise."""
    alone = examples.row()["cell"]
    runs = [
        a_run(
            tmp_path / f"noise{seed}",
            [
                scored(10, 1, cell=alone, noise_seed=seed),
                scored(
                    20, 0.5, cell=f"{seed:020x}", haystack="gaussian", snr_db=10.0, noise_seed=seed
                ),
            ],
        )
        for seed in (1, 2)
    ]
    (board,) = boards_of(*runs)
    assert list(shares(board).values()) == [{10.0: 1.0, 20.0: 0.5}] * 2
    assert not any("more than once" in note for note in board.notes)
