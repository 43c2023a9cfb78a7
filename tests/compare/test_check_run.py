"""The gate against another run: regressions that the clips can show are found, everything else passes or is refused."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from niah.compare.check import check
from niah.compare.check_result import CheckResult, CheckRow
from niah.errors import NiahError
from niah.records.run_directory import RunDirectory
from niah.records.schema import Value
from tests.compare.worlds import CLIPS, World, alone, at, write
from tests.helpers import examples

WORLD = World()
GAINS = {10.0: 3.0, 50.0: 2.5, 100.0: 2.2, 300.0: 2.0}


def run(
    path: Path,
    worse: Mapping[float, float] | None = None,
    seed: int = 0,
    sha: str = "a",
    world: World = WORLD,
    lengths: tuple[float, ...] = tuple(GAINS),
    **identity: object,
) -> Path:
    """A run of one model over four lengths; `worse`: what its gain loses at a length."""
    cells = []
    for length_s in lengths:
        gain = GAINS[length_s] - (worse or {}).get(length_s, 0.0)
        columns: dict[str, Value] = alone() if length_s == 10 else at(length_s)
        columns["checkpoint_sha256"] = sha * 64
        drawn = 0 if length_s == 10 else 1000 * seed + int(length_s)  # no noise in the needle alone
        cells.append((columns, world.logits(gain, seed=drawn)))
    return write(path, world, cells, identity)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("gate") / "reference")


def verdicts(result: CheckResult) -> dict[str, str]:
    return {row.cell: row.verdict for row in result.rows}


def test_a_run_agrees_with_itself_also_by_its_file(reference: Path) -> None:
    for against in (reference, reference / "cells.csv"):
        result = check(reference, against)
        assert result.ok
        assert result.verdict() == "0 of 4 comparisons are off."
        assert {(row.difference, row.p_corrected) for row in result.rows} == {(0.0, 1.0)}


def test_small_regressions_on_the_same_clips_are_found(reference: Path, tmp_path: Path) -> None:
    """-.019 and -.053 mAP on 200 clips of 50 classes lie within half an unpaired interval."""
    worse = run(tmp_path / "worse", {10.0: 0.085, 50.0: 0.165}, sha="b")
    result = check(worse, reference)
    rows = {row.cell: row for row in result.rows}
    one, other = rows["dass-nano, 10 s"], rows["dass-nano, zero, at 0.5 (effectively 0.63), 50 s"]
    assert one.difference == pytest.approx(-0.019, abs=0.004)
    assert other.difference == pytest.approx(-0.053, abs=0.01)
    for row in (one, other):
        assert row.verdict == "OFF"
        assert row.hi < 0
    assert not result.ok
    assert result.verdict() == "2 of 4 comparisons are off."
    assert "dass-nano has other weights (bbbbbbbb here, aaaaaaaa there)." in result.notes
    unpaired = RunDirectory(reference).cells()
    half = ((unpaired["mAP_hi"] - unpaired["mAP_lo"]) / 2).min()
    assert -one.difference < half


def test_a_gain_is_off_but_for_the_one_sided_gate(reference: Path, tmp_path: Path) -> None:
    better = run(tmp_path / "better", {50.0: -0.4})
    assert check(better, reference).verdict() == "1 of 4 comparisons is off."
    assert check(better, reference, one_sided=True).ok
    assert not check(reference, better, one_sided=True).ok


def test_the_tolerance_lets_small_differences_pass_whatever_their_p(
    reference: Path, tmp_path: Path
) -> None:
    worse = run(tmp_path / "worse", {10.0: 0.085})
    off = [row for row in check(worse, reference).rows if not row.ok]
    assert [row.cell for row in off] == ["dass-nano, 10 s"]
    allowed = check(worse, reference, tolerance=0.03)
    assert allowed.ok
    assert min(row.p_corrected for row in allowed.rows) < 0.05  # beyond chance, within tolerance
    with pytest.raises(NiahError, match="per cent"):
        check(worse, reference, tolerance=3.0)


def test_a_models_ruin_widens_no_tolerance(reference: Path, tmp_path: Path) -> None:
    ruined = run(tmp_path / "ruined", {300.0: 1.2})
    (row,) = (row for row in check(ruined, reference).rows if not row.ok)
    assert row.cell == "dass-nano, zero, at 0.5 (effectively 0.52), 300 s"
    assert row.tolerance == 0.005


def test_another_noise_seed_and_order_of_the_same_clips_is_no_regression(
    reference: Path, tmp_path: Path
) -> None:
    order = np.random.default_rng(1).permutation(CLIPS).tolist()
    cells = [
        (alone() if s == 10 else at(s), WORLD.logits(g, seed=0 if s == 10 else 1000 + int(s)))
        for s, g in GAINS.items()
    ]
    cells = [({**columns, "checkpoint_sha256": "a" * 64, "seed": 1}, x) for columns, x in cells]
    identity = {"seed": 1, "ids_sha256": "1" * 64}
    again = write(tmp_path / "again", WORLD, cells, identity, order)
    for against in (reference, reference / "cells.csv"):
        result = check(again, against)
        assert result.ok
        assert any("noise is drawn with seed 1 here and 0 there" in note for note in result.notes)
        first = result.rows[0]
        assert (first.cell, first.difference, first.p) == ("dass-nano, 10 s", 0.0, 1.0)
    assert any(row.difference != 0 for row in result.rows)


def test_other_clips_are_refused_also_by_file(reference: Path, tmp_path: Path) -> None:
    """Balanced lists have the same chance mAP: only the ids tell."""
    other = run(tmp_path / "other", world=World(seed=1), ids_sha256="1" * 64)
    renamed = RunDirectory(other)
    for cell in renamed.cells()["cell"]:
        scores = renamed.read_scores(cell)
        ids = [f"other{i}" for i in range(CLIPS)]
        examples.replace_scores(renamed, cell, ids, WORLD.labels, scores.logits)
    for against in (reference, reference / "cells.csv"):
        with pytest.raises(NiahError, match=r"differ in clips \(200 and 200\)"):
            check(other, against)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"level": "mix"}, r"level \(mix and surround\)"),
        ({"labels": "esc-50"}, r"labels \(esc-50 and made\)"),
    ],
)
def test_another_level_or_label_set_is_refused(
    reference: Path, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    other = run(tmp_path / "other", **change)
    for against in (reference, reference / "cells.csv"):
        with pytest.raises(NiahError, match=reason):
            check(other, against)


def two_checkpoints(path: Path, first: str, second: str) -> Path:
    """A run that was amended: the same cells of weights "a" (good) and "b" (ruined), in this order."""
    lost = {"a": 0.0, "b": 2.0}
    cells = []
    for sha in (first, second):
        for length_s, gain in GAINS.items():
            columns = alone() if length_s == 10 else at(length_s)
            seed = 0 if length_s == 10 else int(length_s)
            cells.append(
                (
                    {**columns, "checkpoint_sha256": sha * 64},
                    WORLD.logits(gain - lost[sha], seed=seed),
                )
            )
    return write(path, WORLD, cells)


def test_two_checkpoints_of_one_model_are_two_systems(reference: Path, tmp_path: Path) -> None:
    results = [
        check(two_checkpoints(tmp_path / f"{first}{second}", first, second), reference)
        for first, second in ("ab", "ba")
    ]
    assert verdicts(results[0]) == verdicts(results[1])
    for result in results:
        assert not result.ok
        assert result.verdict() == "4 of 8 comparisons are off."
        off = {row.cell.partition(",")[0] for row in result.rows if not row.ok}
        assert off == {"dass-nano@bbbbbbbb"}
    both = tmp_path / "ab"
    assert check(both, reference, models=("dass-nano@a",)).ok
    assert not check(both, reference, models=("dass-nano@bbbb",)).ok
    with pytest.raises(NiahError, match=r"has no model 'dass-nano@c'.*dass-nano@aaaaaaaa"):
        check(both, reference, models=("dass-nano@c",))
    # the rows of the table in another order, by the file
    shuffled = tmp_path / "ab" / "shuffled.csv"
    cells = pd.read_csv(both / "cells.csv")
    cells.iloc[::-1].to_csv(shuffled, index=False)
    for against in (both, shuffled):
        assert check(reference, against, allow_missing=True).verdict() == (
            "0 of 4 comparisons are off; 4 missing cells of the reference were skipped."
        )
    with pytest.raises(NiahError, match="several checkpoints of dass-nano"):
        check(run(tmp_path / "third", sha="c"), both)


def test_another_precision_is_another_system(reference: Path, tmp_path: Path) -> None:
    columns = {"checkpoint_sha256": "a" * 64, "dtype": "bfloat16"}
    half = write(tmp_path / "half", WORLD, [({**alone(), **columns}, WORLD.logits(3.0))])
    result = check(half, reference)
    assert not result.ok
    assert "it is of float32 there" in result.notes[0]


def test_missing_cells_fail_unless_they_are_allowed(reference: Path, tmp_path: Path) -> None:
    one = run(tmp_path / "one", lengths=(10.0,))
    result = check(one, reference)
    assert not result.ok
    assert result.verdict() == ("0 of 1 comparison is off; 3 cells of the reference are missing.")
    assert sorted(verdicts(result).values()) == ["missing"] * 3 + ["ok"]
    allowed = check(one, reference, allow_missing=True)
    assert allowed.ok
    assert list(verdicts(allowed).values()).count("skipped") == 3
    assert check(reference, one).ok  # more cells than the reference has are no fault


def test_a_cell_that_failed_is_off(reference: Path, tmp_path: Path) -> None:
    cells = [({**alone(), "checkpoint_sha256": "a" * 64}, WORLD.logits(3.0))]
    failed = [({**at(s), "checkpoint_sha256": "a" * 64}, None) for s in (50.0, 100.0, 300.0)]
    result = check(write(tmp_path / "failed", WORLD, [*cells, *failed]), reference)
    assert result.verdict() == "3 of 4 comparisons are off."
    assert "| oom |" in result.markdown()


def test_nothing_compared_is_not_ok(reference: Path, tmp_path: Path) -> None:
    other = write(
        tmp_path / "other", WORLD, [({**alone(), "model": "aum-nano"}, WORLD.logits(3.0))]
    )
    result = check(other, reference, allow_missing=True)
    assert not result.ok
    assert "Nothing was compared" in result.markdown()


def test_equal_scenes_are_tested_once(tmp_path: Path) -> None:
    """dass-v1 at 20 s: the needle is at the end for positions 0.5, 0.75 and 1."""
    cells = [(at(20.0, position=p), WORLD.logits(2.0, seed=7)) for p in (0.25, 0.5, 0.75, 1.0)]
    path = write(tmp_path / "run", WORLD, cells)
    result = check(path, path)
    assert [row.cell for row in result.rows] == [
        "dass-nano, zero, at 0.25 (effectively 0.51), 20 s",
        "dass-nano, zero, at 0.5 (effectively 1), 20 s",
    ]


# --- unpaired


def bare(path: Path, run: Path) -> Path:
    path.mkdir(parents=True)
    shutil.copy(run / "cells.csv", path)
    return path


def test_a_bare_table_is_refused_unless_unpaired(reference: Path, tmp_path: Path) -> None:
    table = bare(tmp_path / "bare", reference)
    for against in (table, table / "cells.csv"):
        with pytest.raises(NiahError, match=r"no run.json beside it.*--unpaired"):
            check(reference, against)
        result = check(reference, against, unpaired=True)
        assert result.ok
        assert any("is not checked" in note for note in result.notes)
        assert "chance is not tested" in result.how


def test_a_run_without_scores_is_refused_unless_unpaired(reference: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(reference, copy)
    shutil.rmtree(copy / "scores")
    with pytest.raises(NiahError, match=r"no stored scores of dass-nano, 10 s.*--unpaired"):
        check(reference, copy)
    result = check(reference, copy, unpaired=True)
    assert result.ok
    assert all(np.isnan(row.p) for row in result.rows)


def test_cells_without_a_score_are_called_that(reference: Path, tmp_path: Path) -> None:
    """Of a table without mAP it was said that no cell has a counterpart; an unscored cell was "ok" and OFF."""
    table = bare(tmp_path / "bare", reference) / "cells.csv"
    cells = pd.read_csv(table)
    cells.assign(mAP=None).to_csv(table, index=False)
    for one, other in ((reference, table), (table, reference)):
        with pytest.raises(NiahError, match=r"cells\.csv has no mAP in any cell"):
            check(one, other, unpaired=True)
    cells.loc[cells["length_s"] > 50, "mAP"] = None
    cells.to_csv(table, index=False)
    result = check(reference, table, unpaired=True)
    assert result.ok
    assert len(result.rows) == 2
    assert "2 cells of the reference have no mAP: not compared." in result.notes
    result = check(table, reference, unpaired=True)
    unscored = [row for row in result.rows if not row.ok]
    assert [row.measured_text for row in unscored] == ["not scored"] * 2


def test_a_row_that_is_in_a_table_twice_counts_once(reference: Path, tmp_path: Path) -> None:
    table = bare(tmp_path / "bare", reference)
    cells = pd.read_csv(table / "cells.csv")
    pd.concat([cells, cells]).to_csv(table / "cells.csv", index=False)
    assert len(check(reference, table, unpaired=True).rows) == len(cells)
    other = cells.assign(mAP=cells["mAP"] / 2, cell=cells["cell"].str[::-1])
    pd.concat([cells, other]).to_csv(table / "cells.csv", index=False)
    with pytest.raises(NiahError, match="has two cells of dass-nano"):
        check(reference, table, unpaired=True)


def test_unpaired_fails_beyond_the_tolerance_alone(reference: Path, tmp_path: Path) -> None:
    table = bare(tmp_path / "bare", reference)
    cells = pd.read_csv(table / "cells.csv")
    for shift, ok in ((0.0045, True), (0.0055, False)):
        changed = cells.copy()
        changed["mAP"] = (changed["mAP"] - shift).clip(0, 1)
        changed.to_csv(table / "cells.csv", index=False)
        result = check(reference, table, unpaired=True)
        assert result.ok is ok
        assert check(reference, table, unpaired=True, one_sided=True).ok  # it is a gain
        assert check(reference, table, unpaired=True, tolerance=0.006).ok


@pytest.mark.parametrize(
    ("measured", "stated", "tolerance"),
    [
        (0.605, 0.6, 0.005),
        (0.595, 0.6, 0.005),
        (0.61, 0.6, 0.01),
        (0.31, 0.3, 0.01),
        (0.3, 0.1, 0.2),
    ],
)
def test_a_difference_of_the_tolerance_passes(
    measured: float, stated: float, tolerance: float
) -> None:
    row = CheckRow("cell", "mAP", measured, stated, tolerance)
    assert row.verdict == "ok"
    assert CheckRow("cell", "mAP", measured, stated, tolerance - 1e-6).verdict == "OFF"


def test_damaged_scores_are_told_as_damaged(reference: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(reference, tmp_path / "copy"))
    for file in (copy / "scores").iterdir():
        file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(NiahError, match=r"is damaged or was changed.*run the same command again"):
        check(reference, copy)


def test_unpaired_refuses_what_the_rows_show_to_be_other_clips(
    reference: Path, tmp_path: Path
) -> None:
    for column, value, reason in (
        ("chance_mAP", 0.2, "chance is"),
        ("n_clips", 199, r"clips \(200 and 199\)"),
        ("protocol", "niah-v2", "protocol"),
    ):
        table = bare(tmp_path / column, reference)
        cells = pd.read_csv(table / "cells.csv")
        cells[column] = value
        cells.to_csv(table / "cells.csv", index=False)
        with pytest.raises(NiahError, match=reason):
            check(reference, table / "cells.csv", unpaired=True)


def test_what_is_no_reference_is_refused(reference: Path, tmp_path: Path) -> None:
    with pytest.raises(NiahError, match="publshed is neither a run directory"):
        check(reference, "publshed")
    with pytest.raises(NiahError, match="not a run"):
        check(tmp_path, reference)
