"""Several different needles in a scene: how they are chosen, what planted taggers recall, and where it is shown."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import niah
from niah.diagnosis.several_needles.measure import measure, set_recall
from niah.diagnosis.several_needles.rows import CSV_FILE, read
from niah.diagnosis.several_needles.table import several_table
from niah.errors import NiahError
from niah.needles.companions import Companions, own_place
from niah.pages.run_report import write
from niah.records.run_directory import RunDirectory
from niah.records.schema import Value
from niah.records.summarise import summarise
from tests.helpers import examples, planted, tiny

CLASSES = tuple(f"c{index:02d}" for index in range(40))
CLIPS = 80
IDS = tuple(f"clip{index}" for index in range(CLIPS))


def needles(labels: Sequence[tuple[str, ...]]) -> Any:
    made = [SimpleNamespace(id=f"clip{i}", labels=each) for i, each in enumerate(labels)]
    return SimpleNamespace(needles=tuple(made))


def test_companions_share_no_label_and_every_place_is_as_likely() -> None:
    labels = [(CLASSES[i % 40], CLASSES[(7 * i + 3) % 40]) for i in range(CLIPS)]
    company = Companions(needles(labels), seed=1)
    places = []
    for index in range(CLIPS):
        five = company.of(index, 5)
        assert len({name for i in five for name in labels[i]}) == sum(
            len(set(labels[i])) for i in five
        )
        assert set(company.of(index, 2)) <= set(five)
        assert set(company.labels(index, 5)) | set(labels[index]) == {
            n for i in five for n in labels[i]
        }
        assert five.index(index) == own_place(1, f"clip{index}", 5)
        places.append(five.index(index))
    assert np.bincount(places, minlength=5).min() >= 8  # of 80 in 5 places
    assert company.of(0, 5) != Companions(needles(labels), seed=2).of(0, 5)


def test_too_few_different_clips_are_refused_only_after_those_with_few_labels() -> None:
    labels = [("a",), ("a", "b", "c"), ("b", "c", "d"), ("b",), ("c",), ("d",)]
    company = Companions(needles(labels), seed=0)
    assert sorted(company.of(0, 4)) == [0, 3, 4, 5]
    with pytest.raises(NiahError, match=r"--needles-per-scene 5: clip0 has only 3 companions"):
        company.of(0, 5)


def test_set_recall_is_precision_at_as_many_scores_as_labels() -> None:
    logits = np.array([[4.0, 3.0, 2.0, 1.0], [4.0, 3.0, 2.0, 1.0]])
    present = np.array([[True, False, True, False], [False, False, False, True]])
    np.testing.assert_array_equal(set_recall(logits, present), [0.5, 0.0])
    own = np.array([[True, False, False, False], [False, False, False, False]])
    np.testing.assert_array_equal(set_recall(logits, present, own), [1.0, np.nan])


def test_equal_scores_are_recalled_by_chance_whatever_the_order_of_classes() -> None:
    logits = np.array([[3.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    present = np.array([[True, False, False, True], [False, True, False, False]])
    np.testing.assert_allclose(set_recall(logits, present), [(1 + 1 / 3) / 2, 1 / 4])
    np.testing.assert_allclose(
        set_recall(logits[:, ::-1], present[:, ::-1]), set_recall(logits, present)
    )


def add(run: RunDirectory, kind: str, count: int, length_s: float = 100.0) -> None:
    """A cell of a tagger that hears "all", "first" (the first needle) or "beginning" (the first half of them)."""
    company = Companions(needles([(CLASSES[i % 40],) for i in range(CLIPS)]), seed=0)
    logits = np.random.default_rng(count).normal(size=(CLIPS, 40))
    others: list[tuple[str, ...]] = []
    for index in range(CLIPS):
        scene = company.of(index, count)
        audible = {"all": scene, "first": scene[:1], "beginning": scene[: (count + 1) // 2]}[kind]
        logits[index, [each % 40 for each in audible]] += 20.0
        others.append(company.labels(index, count))
    values: dict[str, Value] = {"needles_per_scene": count if count > 1 else None}
    row = examples.row(model=kind, length_s=length_s, n_clips=CLIPS, **values)
    labels = [(CLASSES[i % 40],) for i in range(CLIPS)]
    run.write_scores(
        str(row["cell"]),
        IDS,
        labels,
        logits,
        classes=CLASSES,
        distractors=others if count > 1 else (),
    )
    run.write_rows([(row, None)])


def test_one_that_hears_the_first_needle_alone_is_unmasked_by_place(tmp_path: Path) -> None:
    """Its score falls with the number of needles, and what it recalls is the first."""
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        for kind in ("all", "first"):
            for count in (1, 2, 10):
                add(run, kind, count)
        summarise(run)
    run = RunDirectory(tmp_path / "run")
    rows = {(row.model, row.needles): row for row in measure(run, run.cells())}
    assert [rows["all", count].set_recall for count in (1, 2, 10)] == [1.0] * 3
    assert (rows["all", 10].first, rows["all", 10].last) == (1.0, 1.0)
    assert rows["first", 1].set_recall == 1.0
    ten = rows["first", 10]
    assert ten.chance == pytest.approx(10 / 40)
    assert ten.set_recall == pytest.approx(0.1 + 0.9 * 9 / 39, abs=0.05)
    assert ten.set_lo < ten.set_recall < ten.set_hi < 0.5
    assert ten.first == 1.0
    assert ten.last_hi is not None
    assert ten.last_hi < 0.85
    write(run.path)
    assert read(run.path) == measure(run, run.cells())
    alone = [replace(r, set_lo=np.nan, set_hi=np.nan) for r in read(run.path)]
    (table,) = [t for t in [several_table(alone)] if t]
    assert [row[5] for row in table.rows] == [f"{r.set_recall:.3f}" for r in alone]
    (table,) = [t for t in [several_table(read(run.path))] if t]
    assert [row[4] for row in table.rows] == ["1", "2", "10"] * 2
    text = (run.path / "tables.md").read_text()
    assert "Several needles" in text
    assert (run.path / "figures" / "needles-zero-0.5.png").is_file()
    assert (run.path / CSV_FILE).is_file()


def test_the_sweep_hides_different_clips(tmp_path: Path) -> None:
    """Through the real sweep: an ear names both needles, one that hears 10 s from the first sound on only the first."""
    clips, weights = tiny.manifest(tmp_path, 9), planted.checkpoint(tmp_path)
    first = planted.card(tmp_path / "first", "first", first_s=12.0)
    cards = [planted.card(tmp_path / "ear", "ear"), first]
    for card in cards:
        niah.run(
            models=card,
            checkpoint=weights,
            needles=clips,
            haystack="zero",
            lengths=[10, 60],
            needles_per_scene=[1, 2],
            device="cpu",
            out=tmp_path / "run",
        )
    run = RunDirectory(tmp_path / "run")
    cells = run.cells()
    assert set(cells["status"]) == {"ok"}
    rows = {(row.model, row.needles): row for row in measure(run, cells)}
    both, alone = rows["ear", 2], rows["first", 2]
    assert (both.labels, both.set_recall) == (2.0, 1.0)
    assert both.last == 1.0
    assert alone.last is not None
    assert alone.first is not None
    assert alone.last < alone.first
    assert rows["first", 1].set_recall == 1.0
    (stored,) = [run.read_scores(row.cell) for row in (both,)]
    for own, others in zip(stored.labels, stored.distractors, strict=True):
        assert len(others) == 1
        assert not set(own) & set(others)
