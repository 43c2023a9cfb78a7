"""Overlap-aware scoring: by hand, and one that always says "Speech" is unmasked."""

from pathlib import Path

import numpy as np
import pytest

from niah.diagnosis.controls.needle_free import false_alarms, thresholds
from niah.diagnosis.controls.overlap import (
    contained_classes,
    labels_in,
    overlap_scores,
    overlap_table,
)
from niah.errors import NiahError
from niah.metrics.average_precision import (
    Scores,
    Targets,
    average_precision,
    chance_mAP,
    mean_average_precision,
)
from niah.records.run_directory import RunDirectory
from niah.records.summarise import summarise
from tests.helpers import examples

SPEECH, BABBLE = "/m/09x0r", "/m/07qfr4h"


def world(seed: int = 0, clips: int = 200, classes: int = 10) -> Targets:
    """Each clip has two labels; class 0 is speech, which the haystack contains."""
    order = np.random.default_rng(seed).random((clips, classes)).argsort(axis=1).argsort(axis=1)
    return np.asarray(order < 2)


def test_three_ways_by_hand() -> None:
    targets = np.array([[1, 0], [0, 1], [0, 0]], dtype=np.bool_)
    scores = np.array([[0.1, 0.2], [0.9, 0.9], [0.5, 0.1]])  # speech ranks the one clip last
    found = overlap_scores(targets, scores, np.array([True, False]))
    assert found.all == pytest.approx((1 / 3 + 1) / 2)
    assert found.apart == 1.0
    assert found.counted == 1.0


def test_counted_is_average_precision_with_the_labels_added() -> None:
    targets, contained = world(), np.arange(10) < 2
    scores = np.random.default_rng(1).random(targets.shape)
    outright = mean_average_precision(average_precision(targets | contained, scores))
    assert overlap_scores(targets, scores, contained).counted == pytest.approx(outright, abs=1e-12)


@pytest.mark.parametrize("absent", [False, True])
def test_a_known_mean_saves_the_ranking_of_the_other_classes(absent: bool) -> None:
    targets, contained = world(), np.arange(10) < 3
    if absent:
        targets[:, [0, 9]] = False  # classes without a clip, one of them in the haystack
    scores = np.random.default_rng(1).random(targets.shape)
    plain = overlap_scores(targets, scores, contained)
    quick = overlap_scores(targets, scores, contained, plain.all)
    assert (quick.all, quick.apart, quick.counted) == pytest.approx(
        (plain.all, plain.apart, plain.counted), abs=1e-14
    )


def test_nothing_contained_changes_nothing_and_all_leaves_nothing() -> None:
    targets = world()
    scores = np.random.default_rng(1).random(targets.shape)
    none = overlap_scores(targets, scores, np.zeros(10, dtype=np.bool_))
    assert none.all == none.apart == none.counted
    everything = overlap_scores(targets, scores, np.ones(10, dtype=np.bool_))
    assert np.isnan(everything.apart)
    assert everything.counted == 1.0
    with pytest.raises(NiahError, match="contained"):
        overlap_scores(targets, scores, np.zeros(9, dtype=np.bool_))


def test_hearing_the_haystack_is_not_losing_the_needle() -> None:
    """Says "Speech" of every scene in babble, truly, and names all else as before."""
    targets, contained = world(), np.arange(10) == 0
    alone = targets + 0.3 * np.random.default_rng(2).normal(size=targets.shape)
    inside = alone.copy()
    inside[:, 0] = 5 + np.random.default_rng(3).normal(size=200)
    before, after = (overlap_scores(targets, each, contained) for each in (alone, inside))
    assert after.all < before.all - 0.05
    assert after.apart == before.apart
    assert after.counted >= before.counted - 1e-12


def always_speech(scenes: int, classes: int = 10) -> Scores:
    """0.95 for speech, next to nothing for all else, whatever there is to hear."""
    scores = 0.01 * np.random.default_rng(scenes).random((scenes, classes))
    scores[:, 0] = 0.95
    return scores


def test_one_that_always_says_speech_is_unmasked() -> None:
    targets, contained = world(clips=400), np.arange(10) == 0
    scored = overlap_scores(targets, always_speech(400), contained)
    floor = chance_mAP(targets[:, ~contained])
    assert scored.counted > scored.all  # as if it were right
    assert scored.apart == pytest.approx(floor, abs=0.03)  # it has heard no needle
    # and without a needle, in zeros: it says so of every scene, at the threshold of 10 s
    fixed = thresholds(targets, always_speech(400))
    free = false_alarms(always_speech(50), fixed)
    assert free.share[0] == 1.0
    assert free.worst([f"c{i}" for i in range(10)], 1) == [("c0", 1.0)]
    honest = targets + 0.1 * np.random.default_rng(0).normal(size=targets.shape)
    silent = 0.1 * np.random.default_rng(1).normal(size=(50, 10))
    assert false_alarms(silent, thresholds(targets, honest)).mean_share == 0.0


@pytest.mark.parametrize(
    "name", ["babble", "babble-synthetic", "babble-my-file", "babble-official"]
)
def test_cards_say_what_is_in_a_haystack(name: str) -> None:
    assert {SPEECH, BABBLE} <= set(labels_in(name, {}))


def test_other_haystacks_contain_what_the_run_says() -> None:
    assert labels_in("zero", {}) == ()
    assert labels_in("street", {}) == ()
    told = {"haystacks": {"street": {"contains": [SPEECH]}, "babble": {"contains": []}}}
    assert labels_in("street", told) == (SPEECH,)
    assert labels_in("babble", told) == ()
    assert contained_classes(["a", SPEECH], (SPEECH, "b")).tolist() == [False, True]


def test_table_of_a_run(tmp_path: Path) -> None:
    classes = (SPEECH, *examples.CLASSES[1:])
    labels = [[SPEECH if name == "c0" else name for name in names] for names in examples.LABELS]
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        for gain, length_s, haystack in (
            (3.0, 10.0, "none"),
            (1.0, 50.0, "zero"),
            (1.0, 50.0, "babble"),
        ):
            row = examples.row(length_s=length_s, haystack=haystack)
            run.write_scores(
                str(row["cell"]), examples.IDS, labels, examples.logits(gain), classes=classes
            )
            run.write_rows([(row, None)])
        summarise(run)
        table = overlap_table(run, run.cells())
    assert table is not None
    assert [row[:4] for row in table.rows] == [
        ("dass-nano", "babble", "0.5", "10 s"),
        ("dass-nano", "babble", "0.5", "50 s"),
    ]
    contained = np.array([True, *[False] * 5])
    here, base = (
        overlap_scores(examples.TARGETS, examples.logits(g).astype(np.float16), contained)
        for g in (1.0, 3.0)
    )
    assert table.rows[1][5] == f"{here.apart:.3f} ({100 * here.apart / base.apart:.0f} %)"


def test_no_table_where_the_haystack_holds_no_class(tmp_path: Path) -> None:
    run = examples.make(tmp_path / "run")
    assert overlap_table(run, run.cells()) is None
