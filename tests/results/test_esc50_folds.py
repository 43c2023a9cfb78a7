"""`scripts/esc50`: folds cut by recording, every class in each, and the statistics of five overlapping trainings."""

import csv
from collections.abc import Iterator
from itertools import combinations
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from niah.vocabularies import display_name, vocabulary
from tests.helpers.scripts import imported

YAMNET = vocabulary("yamnet-521")


@pytest.fixture(scope="module")
def scripts() -> Iterator[dict[str, Any]]:
    with imported(
        "esc50", "folds", "fold_trainings", "fold_scores", "yamnet_classes", "taught"
    ) as modules:
        yield modules


def manifests(folder: Path) -> tuple[Path, Path]:
    """Five classes of 3 to 9 recordings, some of several clips, and an instrument of six sources."""
    esc50, instruments = folder / "esc50.csv", folder / "instruments.csv"
    rows = [("path", "label")]
    for place, label in enumerate(("dog", "rain", "siren", "train", "wind")):
        for recording in range(3 + place * 3 // 2):
            clips = range(1 + (recording + place) % 3)
            rows += [(f"audio/1-{place}{recording}-{'ABC'[i]}-{place}.ogg", label) for i in clips]
    _write(esc50, rows)
    sources = [(f"audio/{i}.ogg", "Cello", f"source{i}") for i in range(6)]
    _write(instruments, [("path", "label", "source_sha256"), *sources])
    return esc50, instruments


def _write(file: Path, rows: list[Any]) -> None:
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)


def read(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_no_recording_is_in_two_folds_and_every_class_is_in_each(
    scripts: dict[str, Any], tmp_path: Path
) -> None:
    scripts["folds"].write(tmp_path / "out", *manifests(tmp_path))
    labels = (tmp_path / "out" / "labels.txt").read_text().split()
    assert labels == [
        "Cello",
        "siren",
        "train",
        "wind",
    ]  # the others have fewer than five recordings
    held_out = [read(tmp_path / "out" / f"fold-{n}" / "heldout.csv") for n in range(1, 6)]
    training = [read(tmp_path / "out" / f"fold-{n}" / "train.csv") for n in range(1, 6)]
    whole = sorted(row["path"] for fold in held_out for row in fold)
    assert len(set(whole)) == len(whole)
    for one, other in zip(held_out, training, strict=True):
        assert {row["labels"] for row in one} == set(labels)
        assert not {row["group"] for row in one} & {row["group"] for row in other}
        assert sorted(row["path"] for row in [*one, *other]) == whole
    assert all(
        not {row["group"] for row in one} & {row["group"] for row in other}
        for one, other in combinations(held_out, 2)
    )


def test_a_difference_over_folds_has_nadeaus_and_bengios_variance(scripts: dict[str, Any]) -> None:
    over = scripts["fold_scores"].OverFolds
    one, other = over((0.5, 0.6, 0.55, 0.7, 0.6)), over((0.4, 0.45, 0.5, 0.5, 0.4))
    own = one.less(other)
    differences = np.subtract(one.values, other.values)
    error = sqrt((1 / 5 + 1 / 4) * differences.var(ddof=1))
    assert own.mean == pytest.approx(differences.mean())
    assert own.standard_error == pytest.approx(error)
    assert own.half == pytest.approx(stats.t.ppf(0.975, 4) * error)
    assert own.p == pytest.approx(2 * stats.t.sf(differences.mean() / error, 4))
    plain = stats.ttest_rel(one.values, other.values)
    assert own.p > plain.pvalue  # which takes the folds as independent


def test_p_values_of_networks_that_do_not_differ_are_rarely_small(scripts: dict[str, Any]) -> None:
    """Where training sets shared nothing, a test for ones that overlap errs less often than it says."""
    rng = np.random.default_rng(0)
    over = scripts["fold_scores"].OverFolds
    small = [over(tuple(rng.normal(size=5))).p < 0.05 for _ in range(2000)]
    assert 0 < np.mean(small) < 0.05


def test_contrasts_are_of_networks_that_are_trained(scripts: dict[str, Any]) -> None:
    families, taught = scripts["fold_scores"].FAMILIES, scripts["fold_scores"].TAUGHT
    for comparison in (families, taught):
        assert all({*pair} <= set(comparison.networks) for pair in comparison.contrasts)
    assert len(scripts["fold_trainings"].names()) == 20
    assert set(taught.networks) == set(scripts["taught"].WAYS)


def test_students_of_yamnet_learn_the_classes_that_it_has(
    scripts: dict[str, Any], tmp_path: Path
) -> None:
    column = scripts["yamnet_classes"].column_of
    names = [YAMNET.ids[place] for label in ("dog", "Violin_or_fiddle") if (place := column(label))]
    assert [display_name(id_) for id_ in names] == ["Dog", "Violin, fiddle"]
    assert column("can_opening") is None
    folds, out = tmp_path / "folds", tmp_path / "taught"
    (folds / "fold-1").mkdir(parents=True)
    (folds / "labels.txt").write_text("can_opening\ndog\n")
    rows = [("path", "labels", "group"), ("a.ogg", "dog", "1"), ("b.ogg", "can_opening", "2")]
    _write(folds / "fold-1" / "train.csv", rows)
    scripts["taught"].prepare(folds, out)
    assert (out / "labels.txt").read_text() == "dog\n"
    assert [row["path"] for row in read(out / "fold-1" / "train.csv")] == ["a.ogg"]


def test_steps_before_the_folds_are_one_line(
    scripts: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["taught.py", "train", "--work", str(tmp_path)])
    with pytest.raises(SystemExit):
        scripts["taught"].main()
    assert "has no folds yet: first esc50.py folds" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:  # of a command that fails, whose message is enough
        scripts["fold_trainings"].niah("train", "no-such-recipe", "--out", tmp_path / "out")
    assert ended.value.code == 2
