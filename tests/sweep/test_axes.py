"""Controls, poolings and further axes through the real sweep, on taggers of known faults (`tests.helpers.planted`)."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import niah
from niah.compare.check import check
from niah.compare.paired import compare
from niah.diagnosis.controls.overlap import contained_classes, overlap_scores
from niah.diagnosis.controls.table import control_tables
from niah.errors import NiahError
from niah.pages import run_report as report
from niah.pages.leaderboard.boards import boards
from niah.pages.leaderboard.submissions import read
from niah.plots.heat_map import _shares
from niah.records.axes import AXES
from niah.records.run_directory import RunDirectory
from niah.records.schema import CELL_COLUMNS
from niah.records.summarise import cell_metrics
from niah.sweep.options import RunOptions
from niah.sweep.plan import Cell, left_out, plan
from niah.tables.curves import length_curves
from niah.tables.effective_lengths import length_of
from tests.helpers import planted, tiny

CLIPS = 6
LENGTHS = ("length-zero.png", "length-gaussian-10dB.png")


@dataclass(frozen=True)
class Material:
    folder: Path
    weights: Path
    clips: Path

    def run(self, out: str, adapter: str = "Planted", **options: Any) -> Any:
        config = options.pop("config", {})
        card = planted.card(self.folder / out / "card", "ear", adapter, **config)
        requested = {
            "models": card,
            "checkpoint": self.weights,
            "needles": self.clips,
            "haystack": "zero",
            "lengths": [10, 20],
            "protocol": "dass-v1",
            "device": "cpu",
            "out": self.folder / out / "run",
            **options,
        }
        return niah.run(**requested)

    def at(self, out: str) -> RunDirectory:
        return RunDirectory(self.folder / out / "run")


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("planted")
    return Material(folder, planted.checkpoint(folder), tiny.manifest(folder, CLIPS))


# --- planted effects


def test_a_tagger_deaf_after_a_minute_has_an_l50_of_a_minute(material: Material) -> None:
    table = material.run(
        "deaf", config={"deaf_after_s": 60.0}, lengths=[10, 20, 40, 60, 61, 120], positions=[0.5]
    )
    assert (table.loc[table["length_s"] <= 60, "mAP"] == 1).all()
    assert (table.loc[table["length_s"] > 60, "mAP"] < 0.5).all()
    (line,) = length_curves(table)
    for share in (0.5, 0.85):
        level = length_of(line, share)
        assert level is not None
        assert 60 <= level.at.length_s < 61


def test_one_that_hears_only_the_beginning_shows_in_the_heat_map(material: Material) -> None:
    table = material.run(
        "beginning", config={"hears_s": 10.24}, lengths=[10, 30, 60], positions=[0, 0.5, 1]
    )
    shares = _shares(length_curves(table))
    for length_s in (30.0, 60.0):
        assert shares[0.0, length_s] == 1
        for position in (0.5, 1.0):
            assert shares[position, length_s] == pytest.approx(1 / 3, abs=0.01)  # chance


def test_one_that_always_says_the_same_is_unmasked(material: Material) -> None:
    """By needle-free scenes: it says it of nothing. By overlap-aware scoring: apart from that class nothing is left."""
    material.run(
        "always",
        config={"always": 0},
        haystack=["zero", "gaussian"],
        lengths=[10, 60],
        control="needle-free",
    )
    honest = material.run(
        "honest", haystack=["zero", "gaussian"], lengths=[10, 60], control="needle-free"
    )
    (table,) = control_tables(material.at("always"), material.at("always").cells())
    assert [row[:2] for row in table.rows] == [
        ("ear in gaussian, 10 dB", "10 s"),
        ("ear in gaussian, 10 dB", "60 s"),
        ("ear in zero", "10 s"),
        ("ear in zero", "60 s"),
    ]
    assert {row[4] for row in table.rows} == {"100 %"}  # of the empty scenes have an alarm
    assert table.rows[3][6].startswith("/t/low (100 %)")
    (table,) = control_tables(material.at("honest"), honest)
    assert [row[4] for row in table.rows[2:]] == ["0 %", "0 %"]
    run = material.at("always")
    cell = run.cells().query("length_s == 60 and haystack == 'zero' and control.isna()").iloc[0]
    stored = run.read_scores(cell["cell"])
    contained = contained_classes(stored.classes, ["/t/low"])
    result = overlap_scores(stored.targets, stored.logits, contained)
    assert result.apart == pytest.approx(1 / 3, abs=0.01)  # all clips tied: the classes' prevalence
    assert result.apart < cell["chance_mAP"]


# --- controls


def test_controls_are_kept_apart_from_scores(material: Material) -> None:
    table = material.run(
        "controls", haystack=["zero", "gaussian"], control=["needle-free", "sham"], lengths=[10, 20]
    )
    run = material.at("controls")
    header = (run.path / "cells.csv").read_text().splitlines()[0]
    assert [name for name in header.split(",") if name in AXES] == ["control"]
    controls = table[table["control"].notna()]
    assert controls["mAP"].isna().all()
    assert set(map(tuple, controls[["haystack", "length_s", "control"]].values)) == {
        ("zero", 10.0, "needle-free"),
        ("zero", 20.0, "needle-free"),
        ("gaussian", 10.0, "needle-free"),
        ("gaussian", 20.0, "needle-free"),
        ("gaussian", 20.0, "sham"),
    }
    assert controls.query("control == 'sham'")["position"].tolist() == [0.5]
    assert controls.query("control == 'needle-free'")["position"].isna().all()
    shown = [point["cell"] for line in length_curves(table) for point in line.by_length.values()]
    assert not set(shown) & set(controls["cell"])
    for cell in controls["cell"]:
        stored = run.read_scores(cell)
        assert len(stored.ids) == CLIPS
        assert not stored.targets.any()
    page = report.write(run.path).read_text()
    assert "Without a needle" in page
    assert "Sham seams" in page


def test_a_control_is_the_same_scene_but_for_its_needle(material: Material) -> None:
    """Zeros hold nothing: every row alike and quiet. Noise: each clip its own, at the level that its needle sets."""
    run = material.at("controls")
    cells = run.cells().query("control == 'needle-free' and length_s == 20").set_index("haystack")
    zero, noise = (
        run.read_scores(cells["cell"][name]).probabilities for name in ("zero", "gaussian")
    )
    assert (zero == zero[0]).all()
    assert (zero == 0.5).all()  # the mean log-mel is 0
    assert len(np.unique(noise, axis=0)) == CLIPS


def test_a_run_of_before_there_were_axes_is_taken_up_whole(material: Material) -> None:
    """Schema 1: the keys of its cells are those of now, nothing is made again, and controls amend it."""
    first = material.run("old", lengths=[10, 20])
    run = material.at("old")
    content = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**content, "schema_version": 1}))
    assert len(RunDirectory(run.path).cells()) == 2
    before = {f: f.stat().st_mtime_ns for f in (run.path / "scores").iterdir()}
    table = material.run("old", lengths=[10, 20], control="needle-free")
    assert {f: f.stat().st_mtime_ns for f in before} == before
    assert set(first["cell"]) < set(table["cell"])
    assert json.loads((run.path / "run.json").read_text())["schema_version"] == 2
    again = material.run("old", lengths=[10, 20], control="needle-free")
    pd.testing.assert_frame_equal(again, table)


def test_what_compares_runs_leaves_controls_and_further_axes_alone(material: Material) -> None:
    """The gate, the comparison and the leaderboard of a run are the same with them as without."""
    plain = material.run("compared", "PlantedPositions", lengths=[10, 20])
    run = material.at("compared").path
    reference = run / "plain.csv"  # run.json and scores lie beside it
    reference.write_bytes((run / "cells.csv").read_bytes())
    before = [len(board.cells) for board in boards(read([run]))]
    material.run(
        "compared", "PlantedPositions", lengths=[10, 20], control="needle-free", pooling="max"
    )
    assert len(RunDirectory(run).cells()) > len(plain)
    result = check(run, reference)
    assert result.ok
    assert len(result.rows) == len(plain)
    pooled = len(plain)  # a system of its own on the board
    assert [len(board.cells) for board in boards(read([run]))] == [n + pooled for n in before]
    itself = compare(run, run)
    assert itself.differences
    assert all(each.difference == 0 for each in itself.differences)


# --- pooling


def test_poolings_tell_dilution_from_deafness(material: Material) -> None:
    """An average is diluted by the haystack until the classes' levels in it decide; the maximum never is."""
    table = material.run(
        "pooling",
        "PlantedPositions",
        config={"mean": True},
        haystack="gaussian",
        snr=20,
        pooling=["average", "max", "top-k"],
        lengths=[10, 60],
    )
    assert set(table["pooling"]) == {"average", "max", "top-k"}
    assert len(table) == 3 * 2
    by = table.set_index(["pooling", "length_s"])["mAP"]
    assert by["max", 60.0] == 1
    assert by["top-k", 10.0] == by["average", 10.0]  # one needle's share of itself is all of it
    assert by["top-k", 60.0] >= by["average", 60.0]
    names = {line.window for line in length_curves(table)}
    assert names == {"whole, average", "whole, max", "whole, top-k"}
    own = material.run(
        "pooling",
        "PlantedPositions",
        config={"mean": True},
        haystack="gaussian",
        snr=20,
        lengths=[10],
    )
    (plain,) = own[own["pooling"].isna()].to_dict("records")
    run = material.at("pooling")
    (averaged,) = own.query("pooling == 'average' and length_s == 10")["cell"]
    np.testing.assert_allclose(
        run.read_scores(plain["cell"]).probabilities,
        run.read_scores(averaged).probabilities,
        atol=1e-3,
    )


def test_pooling_is_refused_where_there_are_no_positions(material: Material) -> None:
    with pytest.raises(NiahError, match="per-position logits"):
        material.run("refused", pooling="max")
    assert not (material.folder / "refused" / "run").exists()


# --- duration, count, level, distractors


def test_further_axes_are_rows_and_lines_of_their_own(material: Material) -> None:
    table = material.run(
        "axes",
        protocol="niah-v2",
        haystack=["zero", "gaussian"],
        needle_s=[10, 2],
        needle_count=[1, 2],
        distractors=[0, 1],
        level="surround,mix",
        lengths=[10, 50],
    )
    assert [name for name in table.columns if name in (*CELL_COLUMNS, *AXES)] == [
        *CELL_COLUMNS,
        *(name for name in AXES if name not in ("control", "pooling", "needles_per_scene")),
    ]
    assert set(table["status"]) == {"ok"}
    assert len(table) == 1 + 1 + 8 * 3  # zeros take no mix; gaussian alone has one at 10 s too
    assert table["cell"].is_unique
    assert table.query("haystack == 'zero'")["level"].isna().all()
    scenes = {line.scene for line in length_curves(table)}
    assert "zero" in scenes
    assert "gaussian, 10 dB, mix, needle 2 s, 2 needles, 1 distractor" in scenes
    assert len(scenes) == 24
    assert (table["base_mAP"] == 1).all()
    plain = table[
        "distractors"
    ].isna()  # a distractor's labels are no negatives of its clip: chance is higher
    assert table.loc[plain, "chance_mAP"].nunique() == 1
    assert table.loc[~plain, "chance_mAP"].min() > table.loc[plain, "chance_mAP"].max()
    again = material.run(
        "axes", protocol="niah-v2", haystack="zero", level="surround", lengths=[10, 50]
    )
    pd.testing.assert_frame_equal(again, table)
    report.write(material.at("axes").path)
    figures = {file.name for file in (material.at("axes").path / "figures").iterdir()}
    places = ("zero-0.5", "gaussian-10dB-0.5")
    axes = ("needle_s", "needle_count", "distractors")
    drawn = {f"axis-{axis}-{scene}.png" for axis in axes for scene in places}
    assert figures == {*drawn, "axis-level-gaussian-10dB-0.5.png", *LENGTHS}


def test_a_distractor_is_no_false_positive(material: Material) -> None:
    """It is truly there: an ear that names needle and distractor alike keeps its score, by the stored labels."""
    run = material.at("axes")
    query = "haystack == 'zero' and distractors == 1 and needle_s.isna() and needle_count.isna()"
    (row,) = run.cells().query(query).to_dict("records")
    stored = run.read_scores(row["cell"])
    assert len(stored.distractors) == CLIPS
    for own, others in zip(stored.labels, stored.distractors, strict=True):
        assert len(others) == 1
        assert not set(own) & set(others)
    said = [(*own, *others) for own, others in zip(stored.labels, stored.distractors, strict=True)]
    there = np.array([[name in names for name in stored.classes] for names in said])
    for heard, present in zip(stored.logits.T, there.T, strict=True):
        assert present.all() or heard[present].min() > heard[~present].max()
    assert not there[:, 0].all()  # the class in the middle is near to both others
    assert row["mAP"] == 1
    assert stored.excluded.sum() == CLIPS
    assert (
        cell_metrics(stored.targets, stored.logits, None)["mAP"] < 0.9
    )  # counted as false, they cost


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"needle_s": (5.0,), "protocol": "dass-v1"}, "not part of dass-v1"),
        ({"needle_counts": (2,), "protocol": "dass-v1"}, "not part of dass-v1"),
        ({"distractors": (1,), "protocol": "dass-v1"}, "not part of dass-v1"),
        ({"needle_s": (11.0,), "protocol": "niah-v2"}, "0.01 to 10 s"),
        ({"needle_s": (0.123,), "protocol": "niah-v2"}, "10 ms"),
        ({"needle_counts": (0,), "protocol": "niah-v2"}, "must be 1 to 10000"),
        ({"distractors": (-1,), "protocol": "niah-v2"}, "must be 0 to 10000"),
        ({"controls": ("needlefree",)}, "Did you mean 'needle-free'"),
        ({"poolings": ("maximum",)}, "unknown"),
        ({"poolings": ("max",), "window_s": 10.0}, "leave --window out"),
        ({"level": "mix,mix", "protocol": "niah-v2"}, "--level"),
    ],
)
def test_what_no_scene_can_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(NiahError, match=message):
        RunOptions(**options)


def test_what_does_not_fit_is_left_out_and_told() -> None:
    options = RunOptions(
        models=("dass-nano",),
        haystacks=("zero",),
        protocol="niah-v2",
        lengths_s=(20.0, 50.0),
        needle_counts=(1, 4),
    )
    cells = plan(options, ["m"])
    assert Cell("m", "zero", 20.0, None, 0.5) in cells
    assert [cell for cell in cells if cell.needle_count == 4] == [
        Cell("m", "zero", 50.0, None, 0.5, needle_count=4)
    ]
    assert left_out(options) == ["4 needles: no room in 20 s, position 0.5; left out"]
