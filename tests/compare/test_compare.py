"""`niah compare`: a difference is found and a chance one is not; other clips are refused."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from niah.compare.check import check
from niah.compare.paired import Comparison, compare
from niah.errors import NiahError
from niah.metrics.average_precision import average_precision, chance_mAP, mean_average_precision
from niah.metrics.chance import ONE_RECORDING
from niah.records.run_directory import RunDirectory
from niah.records.schema import Row
from niah.records.summarise import summarise
from tests.helpers import examples
from tests.helpers.command_line import Niah


def make(
    path: Path, gain: float, noise: int = 0, sha: str = "a", **identity: object
) -> RunDirectory:
    """A run of one checkpoint: the needle alone, and three lengths at which it hears with `gain`."""
    with RunDirectory.create_or_open(path, {**examples.IDENTITY, **identity}) as run:
        for index, length_s in enumerate((10.0, 50.0, 100.0, 300.0)):
            row = examples.row(length_s=length_s, checkpoint_sha256=sha * 64)
            heard = examples.logits(3.0 if length_s == 10 else gain, seed=10 * noise + index)
            run.write_scores(
                str(row["cell"]), examples.IDS, examples.LABELS, heard, classes=examples.CLASSES
            )
            run.write_rows([(row, None)])
        summarise(run)
    return RunDirectory(path)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp("compare")
    one, other = make(folder / "one", 2.5), make(folder / "other", 0.3, noise=1, sha="b")
    return compare(one.path, other.path)


def test_differences_are_those_of_the_scores(found: Comparison) -> None:
    by_cell = {(each.quantity, each.length_s): each for each in found.differences}
    assert set(by_cell) == {
        *(("mAP", s) for s in (10.0, 50.0, 100.0, 300.0)),
        *(("relative", s) for s in (50.0, 100.0, 300.0)),
        *(("adjusted", s) for s in (50.0, 100.0, 300.0)),
    }

    def mAP(gain: float, seed: int) -> float:  # noqa: N802
        scores = examples.logits(gain, seed).astype(np.float16)
        return mean_average_precision(average_precision(examples.TARGETS, scores))

    at_50 = by_cell["mAP", 50.0]
    assert at_50.a == pytest.approx(mAP(2.5, 1))
    assert at_50.b == pytest.approx(mAP(0.3, 11))
    assert at_50.difference == pytest.approx(at_50.a - at_50.b)
    assert at_50.lo < at_50.difference < at_50.hi
    share, above = by_cell["relative", 50.0], by_cell["adjusted", 50.0]
    assert share.a == pytest.approx(mAP(2.5, 1) / mAP(3.0, 0))
    floor = chance_mAP(examples.TARGETS)
    assert above.a == pytest.approx((mAP(2.5, 1) - floor) / (mAP(3.0, 0) - floor))


def test_the_better_one_is_found_and_p_is_corrected(found: Comparison) -> None:
    p = {q: [each for each in found.differences if each.quantity == q] for q in ("mAP", "relative")}
    for each in p["mAP"]:
        assert (each.p_corrected < 0.05) == (each.length_s > 10), each
        assert (each.lo > 0) == (each.p < 0.05)
    smallest = min(p["mAP"], key=lambda each: each.p)
    assert smallest.p_corrected == pytest.approx(4 * smallest.p)  # Holm: four cells
    text = found.markdown()
    assert "3 of 4 differences" in text
    assert text.count("| A |") >= 3


def test_a_model_that_guesses_does_not_lose_less(tmp_path: Path) -> None:
    """At chance from 10 s on it keeps all of its score: no share is compared with that."""
    hears = make(tmp_path / "hears", 0.6)
    with RunDirectory.create_or_open(tmp_path / "guesses", examples.IDENTITY) as run:
        for index, length_s in enumerate((10.0, 50.0)):
            row = examples.row(length_s=length_s, checkpoint_sha256="b" * 64)
            guesses = examples.logits(0.0, seed=70 + index)
            run.write_scores(
                str(row["cell"]), examples.IDS, examples.LABELS, guesses, classes=examples.CLASSES
            )
            run.write_rows([(row, None)])
        summarise(run)
    found = compare(tmp_path / "guesses", hears.path)
    assert {each.quantity for each in found.differences} == {"mAP", "relative"}
    (said,) = [note for note in found.notes if "chance" in note]
    assert "does not differ from chance at 10 s" in said
    relative = found.table("relative")
    assert {row[-1] for row in relative.rows} == {""}


def test_natural_crops_are_compared_by_the_labels_that_count(tmp_path: Path) -> None:
    """Other events of a crop count neither way, as in cells.csv; a crop is no longer version of the clip cut out."""
    others = [[name for name in examples.CLASSES if name not in own][:2] for own in examples.LABELS]
    runs = []
    for name, gain in (("one", 2.5), ("other", 0.6)):
        with RunDirectory.create_or_open(tmp_path / name, examples.IDENTITY) as run:
            weights: Row = {"checkpoint_sha256": name[0] * 64}
            examples.add(run, 3.0, haystack="none", position=None, **weights)
            crop = examples.row(haystack="own", length_s=60.0, **weights)
            run.write_scores(
                str(crop["cell"]),
                examples.IDS,
                examples.LABELS,
                examples.logits(gain, seed=3),
                classes=examples.CLASSES,
                distractors=others,
            )
            run.write_rows([(crop, None)])
            summarise(run)
        runs.append(RunDirectory(tmp_path / name))
    found = {(e.haystack, e.quantity): e for e in compare(*(run.path for run in runs)).differences}
    assert set(found) == {("none", "mAP"), ("own", "mAP")}
    stored = [run.cells().query("haystack == 'own'")["mAP"].item() for run in runs]
    assert [found["own", "mAP"].a, found["own", "mAP"].b] == pytest.approx(stored)
    (gate,) = [row for row in check(*(run.path for run in runs)).rows if "own" in row.cell]
    assert [gate.measured, gate.reference] == pytest.approx(stored)


def test_clips_of_one_recording_are_not_tested(tmp_path: Path) -> None:
    runs = []
    for name, gain in (("one", 2.0), ("other", 0.3)):
        with RunDirectory.create_or_open(tmp_path / name, examples.IDENTITY) as run:
            row = examples.row(checkpoint_sha256=name[0] * 64)
            run.write_scores(
                str(row["cell"]),
                examples.IDS,
                examples.LABELS,
                examples.logits(gain),
                classes=examples.CLASSES,
                groups=["one recording"] * examples.CLIPS,
            )
            run.write_rows([(row, None)])
            summarise(run)
        runs.append(tmp_path / name)
    found = compare(*runs)
    assert "| +0.443 |" in found.markdown()
    assert "differences are not tested" in found.markdown()
    assert found.notes == (ONE_RECORDING,)  # not: at chance
    with pytest.raises(NiahError, match=r"clips of one recording cannot be tested.*--unpaired"):
        check(*runs)


def test_same_scores_do_not_differ(tmp_path: Path) -> None:
    one, other = (make(tmp_path / name, 1.0, sha=name) for name in "ab")
    found = compare(one.path, other.path, correction="bh")
    assert all((each.difference, each.p_corrected) == (0.0, 1.0) for each in found.differences)
    assert found.a.endswith(" in a")  # the same name: told by the last part of where they lie


def test_two_models_of_one_run(tmp_path: Path) -> None:
    run = examples.make(tmp_path / "run")
    found = compare(run.path, models=("dass-nano", "ast-sin-nano"))
    assert (found.a, found.b) == ("dass-nano", "ast-sin-nano")
    assert found.notes == ("1 cell of A has no counterpart.",)  # 300 s: B ran out of memory
    back = compare(run.path, models=("ast-sin-nano", "dass-nano"))
    assert [each.difference for each in back.differences] == [
        -each.difference for each in found.differences
    ]


def test_what_is_not_clear_is_told(tmp_path: Path) -> None:
    run = examples.make(tmp_path / "run")
    for models, told in (
        ((), "one run and two models"),
        (("dass-nano",), "one run and two models"),
        (("dass-nano", "dass-nona"), "Did you mean 'dass-nano'"),
        (("dass-nano", "dass-nano"), "A and B are both dass-nano of .*: give two models, or two"),
    ):
        with pytest.raises(NiahError, match=told):
            compare(run.path, models=models)
    with pytest.raises(NiahError, match=r"several models. It has .*say which with --model"):
        compare(run.path, run.path)
    with pytest.raises(NiahError, match="holm, bh, none"):
        compare(run.path, models=("dass-nano", "ast-sin-nano"), correction="bonferroni")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"protocol": "niah-v2"}, "protocol"),
        ({"level": "mix"}, ""),
    ],
)
def test_other_clips_and_protocols_are_refused(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    one = make(tmp_path / "one", 1.0, level="surround")
    other = make(tmp_path / "other", 1.0, **{"level": "surround", **change})
    with pytest.raises(NiahError, match=f"differ in {told}.*cannot be compared"):
        compare(one.path, other.path)


def test_other_clips_are_refused_and_another_order_is_not(tmp_path: Path) -> None:
    """A clip list's hash is of its order: what the scores are of decides."""
    one = make(tmp_path / "one", 2.5)
    again = make(tmp_path / "again", 2.5, sha="b", ids_sha256="1" * 64, seed=0)
    for cell in again.cells()["cell"]:
        scores = again.read_scores(cell)
        examples.replace_scores(
            again, cell, scores.ids[::-1], scores.labels[::-1], scores.logits[::-1]
        )
    found = compare(one.path, again.path)
    assert {each.quantity for each in found.differences} == {"mAP", "adjusted", "relative"}
    assert {(each.difference, each.p) for each in found.differences} == {(0.0, 1.0)}
    for cell in again.cells()["cell"]:
        scores = again.read_scores(cell)
        ids = [f"other{index}" for index in range(len(scores.ids))]
        examples.replace_scores(again, cell, ids, scores.labels, scores.logits)
    with pytest.raises(NiahError, match=r"differ in clips \(24 and 24\): .*cannot be compared"):
        compare(one.path, again.path)


def test_equal_scenes_and_effective_positions(tmp_path: Path) -> None:
    """At 20 s dass-v1 plays one scene for 0.5, 0.75 and 1: it is one cell, also for Holm."""
    for name, gain in (("one", 2.0), ("other", 1.5)):
        with RunDirectory.create_or_open(tmp_path / name, examples.IDENTITY) as run:
            for position in (0.25, 0.5, 0.75, 1.0):
                examples.add(run, gain, length_s=20.0, position=position)
            examples.add(run, gain, length_s=50.0, position=0.5, window_s=10.0)
            summarise(run)
    found = compare(tmp_path / "one", tmp_path / "other")
    assert [each.scene for each in found.differences] == [
        "zero, at 0.5 (effectively 0.63), 50 s, windows of 10 s",
        "zero, at 0.25 (effectively 0.51), 20 s",
        "zero, at 0.5 (effectively 1), 20 s",
    ]
    assert found.differences[2].effective_position == 1.0
    assert "effective_position" in found.csv().splitlines()[0]


def test_other_labels_are_refused(tmp_path: Path) -> None:
    one, other = make(tmp_path / "one", 1.0), make(tmp_path / "other", 1.0)
    cell = str(other.cells()["cell"][1])
    examples.replace_scores(other, cell, examples.IDS, examples.LABELS[::-1], examples.logits(1.0))
    with pytest.raises(NiahError, match="different clips, labels"):
        compare(one.path, other.path)


def test_windows_are_compared_with_windows_only(tmp_path: Path) -> None:
    for name, window_s in (("one", None), ("other", 10.0)):
        with RunDirectory.create_or_open(tmp_path / name, examples.IDENTITY) as run:
            kernel = "sdpa" if window_s is None else "sdpa+window-max"
            examples.add(run, 2.0, window_s=window_s, kernel=kernel)
            summarise(run)
    with pytest.raises(NiahError, match="no cell"):
        compare(tmp_path / "one", tmp_path / "other")


def test_command_writes_markdown_and_csv(niah: Niah, found: Comparison, tmp_path: Path) -> None:
    one, other = make(tmp_path / "one", 2.5), make(tmp_path / "other", 0.3, noise=1, sha="b")
    out = tmp_path / "out"
    ran = niah("compare", one.path, other.path, "--out", out)
    assert ran.status == 0, ran
    assert "beyond chance" in ran.stdout
    assert (out / "compare.md").read_text() in ran.stdout
    with (out / "compare.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(found.differences)
    assert [float(row["difference"]) for row in rows] == [e.difference for e in found.differences]
    assert {row["correction"] for row in rows} == {"holm"}
