"""Ranks: shared where the clips do not tell systems apart, none at chance, never by the raw share."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from niah.pages import leaderboard
from niah.pages.leaderboard import Board, Entry, markdown
from niah.pages.leaderboard.payload import payload
from niah.pages.leaderboard.ranking import ADJUSTED, MAP, Rank, Ranker, common_length
from niah.records.run_directory import RunDirectory
from niah.records.schema import Row
from niah.records.summarise import summarise
from niah.tables.effective_lengths import lengths_table
from niah.tables.positions import MOVED_NOTE
from tests.helpers import examples
from tests.helpers.boards import a_run, boards_of, scored

CLIPS, CLASSES = 120, tuple(f"c{i}" for i in range(6))
IDS = tuple(f"clip{i:03d}" for i in range(CLIPS))
LABELS = tuple((CLASSES[i % 6],) for i in range(CLIPS))
TARGETS = np.array([[name in labels for name in CLASSES] for labels in LABELS])


def stored(
    path: Path, gains: dict[str, tuple[float, float]], noise: float = 0.1, seed: int = 7
) -> Path:
    """A run with its scores: a model hears with the first gain at 10 s, with the second at 50 s."""
    shared = np.random.default_rng(seed).normal(size=TARGETS.shape)  # the clips' difficulty
    identity = {**examples.IDENTITY, "needles": "made"}
    with RunDirectory.create_or_open(path, identity) as run:
        run.write_run_json({"models": {}})
        rows: list[Row] = []
        for index, (model, (alone, hidden)) in enumerate(gains.items()):
            own = np.random.default_rng([seed, 1 + index]).normal(size=TARGETS.shape)
            for length_s, gain in ((10.0, alone), (50.0, hidden)):
                where: dict[str, Any] = {"haystack": "zero", "position": 0.5}
                if length_s == 10:
                    where = {"haystack": "none", "position": None}
                row = examples.row(model=model, n_clips=CLIPS, length_s=length_s, **where)
                logits = gain * TARGETS + shared + noise * own
                run.write_scores(str(row["cell"]), IDS, LABELS, logits, classes=CLASSES)
                rows.append(row)
        run.write_rows((row, None) for row in rows)
        summarise(run)
    return path


def ranks(board: Board, length_s: float, quantity: str = MAP) -> dict[str, Rank | None]:
    (entries,) = board.scenes.values()
    found = Ranker(board).rank(entries, length_s, quantity)
    return {entry.system.name: rank for entry, rank in found.ranks.items()}


def test_paired_scores_tell_apart_what_intervals_do_not(tmp_path: Path) -> None:
    """The clips' difficulty is shared: a steady small difference is one, though both intervals hold both scores."""
    path = stored(tmp_path / "run", {"good": (3, 2.0), "less": (3, 1.6), "same": (3, 1.6)})
    (board,) = boards_of(path)
    assert ranks(board, 50) == {"good": Rank(1, 1), "less": Rank(2, 3), "same": Rank(2, 3)}
    (entries,) = board.scenes.values()
    assert Ranker(board).rank(entries, 50, MAP).n_by_intervals == 0
    for file in (path / "scores").iterdir():
        file.unlink()
    (board,) = boards_of(path)
    assert ranks(board, 50) == dict.fromkeys(("good", "less", "same"), Rank(1, 3))
    assert "comparisons of two systems are by their intervals" in markdown.text([board])


def test_one_that_guesses_has_no_rank_though_it_keeps_everything(tmp_path: Path) -> None:
    """Its raw share is about 100 %, the strong model's less: by raw share it would lead."""
    path = stored(tmp_path / "run", {"strong": (4, 2.0), "weak": (1.0, 0.9), "guess": (0, 0)}, 1.0)
    (board,) = boards_of(path)
    shares = {e.system.name: e.line.by_length[50.0]["relative"] for e in board.entries}
    assert shares["guess"] > 0.9 > shares["strong"]
    assert ranks(board, 50) == {"strong": Rank(1, 1), "weak": Rank(2, 2), "guess": None}
    assert ranks(board, 50, ADJUSTED)["guess"] is None
    text = markdown.table(board)
    assert [(row[0], row[1]) for row in text.rows] == [
        ("1", "strong"),
        ("2", "weak"),
        ("at chance", "guess"),
        ("", "chance"),
    ]


def test_the_page_and_the_report_say_chance_of_the_same_lengths(tmp_path: Path) -> None:
    path = stored(tmp_path / "run", {"strong": (4, 1.5), "guess": (0, 0)}, 1.0)
    (board,) = boards_of(path)
    report = lengths_table(RunDirectory(path).cells())
    assert report is not None
    by_model = {row[0]: row for row in report.rows}
    table = markdown.table(board)
    for row in table.rows[:-1]:
        for name in ("L85", "L50"):
            said = by_model[row[1]][report.header.index(name)]
            assert said.partition(" [")[0] == row[table.header.index(name)]
    guess = next(row for row in table.rows if row[1] == "guess")
    assert guess[table.header.index("L85")] == guess[table.header.index("L50")] == "chance"
    effective = payload([board], leaderboard.read([path]))["boards"][0]["entries"][0]["effective"]
    assert effective["L50"]["text"] in ("chance", by_model["guess"][report.header.index("L50")])


def test_a_run_of_10_and_20_s_has_an_effective_length(tmp_path: Path) -> None:
    (board,) = boards_of(a_run(tmp_path / "a", [scored(10, 1), scored(20, 0.4)]))
    table = markdown.table(board)
    # dass-v1: at 20 s the needle is at the end
    assert table.rows[0][table.header.index("L50")] == "17.8 s †"
    assert table.rows[0][table.header.index("20 s")].endswith(" %) †")
    assert table.notes == (MOVED_NOTE,)
    made = payload([board], leaderboard.read([tmp_path / "a"]))["boards"][0]
    assert MOVED_NOTE in made["notes"]
    marks = {cell["s"]: cell["mark"] for cell in made["entries"][0]["cells"]}
    assert marks[20.0] == "†"
    assert marks[10.0] is None


def test_a_length_not_reached_is_not_above_a_longer_one(tmp_path: Path) -> None:
    rows = [
        *(scored(s, 1, model="to 100") for s in (10, 100)),
        *(scored(s, r, model="at 120") for s, r in ((10, 1), (100, 0.9), (300, 0.01))),
        *(scored(s, r, model="at 60") for s, r in ((10, 1), (30, 0.9), (100, 0.1))),
        *(scored(s, 0.1 if s > 10 else 1, model="below 20") for s in (10, 20)),
    ]
    path = a_run(tmp_path / "a", rows)
    made = payload(boards_of(path), leaderboard.read([path]))["boards"][0]
    names = [system["name"] for system in made["systems"]]
    at = {names[e["system"]]: e["effective"]["L50"] for e in made["entries"]}
    assert at["to 100"]["text"] == "≥ 100 s"
    assert at["at 60"]["s"] < 100 < at["to 100"]["s"] < at["at 120"]["s"]
    assert at["below 20"]["s"] < 20 or at["below 20"]["text"].startswith("1")


def test_a_perfect_auc_makes_a_page(tmp_path: Path) -> None:
    perfect = {"auc": 1.0, "d_prime": float("inf"), "mAP_lo": 1.0, "mAP_hi": 1.0}
    rows = [{**scored(s, 1), **perfect, "mAP": 1.0, "base_mAP": 1.0} for s in (10.0, 50.0)]
    path = a_run(tmp_path / "a", rows)
    index, _ = leaderboard.write([path], tmp_path / "site")
    made = payload(boards_of(path), leaderboard.read([path]))
    assert json.loads(json.dumps(made, allow_nan=False)) == json.loads(json.dumps(made))
    assert made["boards"][0]["entries"][0]["cells"][0]["d_prime"] is None
    assert index.is_file()


def test_a_pooling_is_a_system_and_the_models_own_is_plain(tmp_path: Path) -> None:
    def pooled(name: str, share: float) -> list[Row]:
        how = {"pooling": name, "kernel": f"sdpa+pool-{name}"}
        return [scored(s, share if s > 10 else 1, **how) for s in (10, 50)]

    sweep = a_run(tmp_path / "sweep", [*pooled("average", 0.5), *pooled("max", 0.7)])
    (board,) = boards_of(sweep)
    assert {e.system.name: e.line.by_length[50.0]["relative"] for e in board.entries} == {
        "dass-nano": 0.5,
        "dass-nano, max pooling": 0.7,
    }
    plain = a_run(tmp_path / "plain", [scored(10, 1), scored(50, 0.5)])
    (board,) = boards_of(plain, sweep)
    assert len(board.entries) == 2


def test_the_shortest_scene_in_noise_is_in_the_csv_and_on_no_curve(tmp_path: Path) -> None:
    base = scored(10, 1, haystack="babble", snr_db=10.0, position=0.0)
    (board,) = boards_of(a_run(tmp_path / "a", [base]))
    assert board.entries == ()
    assert len(board.cells) == 1
    index, _ = leaderboard.write([tmp_path / "a"], tmp_path / "site")
    assert str(base["cell"]) in (index.parent / "leaderboard.csv").read_text()
    curve = [scored(s, 1, haystack="babble", snr_db=10.0) for s in (20, 50)]
    (board,) = boards_of(a_run(tmp_path / "b", [base, scored(10, 1), *curve]))
    assert [sorted(e.line.by_length) for e in board.entries] == [[10.0, 20.0, 50.0]]
    assert board.entries[0].line.base == scored(10, 1)  # the needle alone, not in noise


def test_scenes_are_ranked_at_the_longest_length_that_most_have(tmp_path: Path) -> None:
    rows = [scored(s, 1, model=m) for m, last in (("a", 50), ("b", 20)) for s in (10, 20, last)]
    rows = list({row["cell"]: row for row in rows}.values())
    (board,) = boards_of(a_run(tmp_path / "a", rows))
    (entries,) = board.scenes.values()
    assert common_length(entries) == 20
    alone: list[Entry] = []
    assert common_length(alone) == 10


def parted_rankings(folder: Path, rankings: int = 100) -> int:
    """Count the rankings of four equal systems in which any two are told apart."""
    parted = 0
    for trial in range(rankings):
        gains = {f"m{index}": (1.5, 1.5) for index in range(4)}
        (board,) = boards_of(stored(folder / str(trial), gains, 0.7, seed=1000 + trial))
        parted += any(rank != Rank(1, 4) for rank in ranks(board, 50).values())
    return parted


@pytest.mark.slow
def test_equal_systems_are_seldom_told_apart(tmp_path: Path) -> None:
    """About one ranking in twenty may part any two of them; at most 11 of 100: binomial, 99.5 %."""
    assert parted_rankings(tmp_path) <= 11
