"""Localisation: planted peaks are found where they are, curves are what they are defined as, a guess is a guess."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from scipy.stats import binom, binomtest
from torch import Tensor

import niah
from niah.adapters.protocol import Adapter
from niah.cli import main
from niah.diagnosis.events import figure as events_figure
from niah.diagnosis.events.rows import EventScores
from niah.diagnosis.localisation import figure
from niah.diagnosis.localisation.curves import located_curves
from niah.diagnosis.localisation.evidence import (
    column_centres,
    find,
    has_positions,
    occlusion_curve,
    position_curve,
)
from niah.diagnosis.localisation.locate import LocateOptions, locate, sound_centre_s
from niah.diagnosis.localisation.rows import CSV_FILE, Located, read, write_cell
from niah.diagnosis.localisation.table import localisation_table
from niah.diagnosis.run_scenes import WantedScenes, open_scenes, scene_notes
from niah.errors import NiahError
from niah.frontends.kaldi import AST
from niah.metrics.hit_rate import hit_rate
from niah.metrics.proportion import proportion_interval
from niah.needles.features import NeedleFeatures
from niah.networks.dass.network import Dass, DassConfig, Stage
from niah.pages.run_report import write as write_report
from niah.sweep.options import RunOptions
from niah.vocabularies import Vocabulary
from tests.helpers import tiny

MELS = 128


class Loud:
    """Two classes: the mean of the scene, and its greatest value; so what a hidden window takes is known."""

    name = "loud"
    sample_rate = 16000
    frontend = AST
    labels = Vocabulary("two", ("/t/mean", "/t/max"), ("mean", "max"))
    kernel = "none"

    def logits(self, features: Tensor) -> Tensor:
        return torch.stack([features.mean(dim=(1, 2)), features.amax(dim=(1, 2))], dim=1)


class LoudByPosition(Loud):
    """The same mean, told position by position on a map of 40 frames a column."""

    def position_logits(self, features: Tensor) -> Tensor:
        blocks = features.view(len(features), -1, 40, 2, MELS // 2)
        columns = blocks.mean(dim=(2, 4))
        return torch.stack([columns, 0 * columns], dim=-1)


def planted(frames: int, first: int, last: int) -> Tensor:
    scene = torch.zeros(frames, MELS)
    scene[first:last] = 1.0
    return scene


# --- occlusion


def test_occlusion_takes_from_a_linear_tagger_what_the_window_held() -> None:
    scene = torch.randn(4321, MELS, generator=torch.Generator().manual_seed(0))
    filling = torch.randn(4321, MELS, generator=torch.Generator().manual_seed(1))
    curve = occlusion_curve(Loud(), scene, filling, window_s=10, hop_s=5, batch_size=3)
    rows = (scene - filling).double().mean(dim=1).numpy() / 4321
    starts = range(-500, 4321, 500)  # past both ends: every place lies in two windows
    windows = {start: rows[max(0, start) : start + 1000].sum() for start in starts}
    for centre, value in zip(curve.centres_s * 100, curve.values[:, 0], strict=True):
        covering = [worth for start, worth in windows.items() if start <= centre < start + 1000]
        assert len(covering) == 2
        assert value == pytest.approx(np.mean(covering), abs=1e-6)
    assert curve.centres_s[-1] == pytest.approx((4000 + 4321) / 200)


@pytest.mark.parametrize("length", [2000, 3000])
def test_a_short_clip_in_the_middle_is_not_heard_at_an_edge(length: int) -> None:
    """A clip of 5 s in scenes of 20 and 30 s fits one window: its place must still be the highest."""
    first = length // 2 - 250
    curve = occlusion_curve(Loud(), planted(length, first, first + 500), torch.zeros(MELS))
    for column in (0, 1):
        found = find(curve.centres_s, curve.values[:, column], (first + 250) / 100)
        assert found.hit > found.chance_hit


@pytest.mark.parametrize("first", [0, 1234, 3000, 4900, 5900])
def test_occlusion_finds_a_planted_second(first: int) -> None:
    scene = planted(6000, first, first + 100)
    for column in (0, 1):
        curve = occlusion_curve(Loud(), scene, torch.zeros(MELS), batch_size=4)
        found = find(curve.centres_s, curve.values[:, column], (first + 50) / 100)
        assert found.hit == 1.0
        assert found.error_s <= 5.0


def test_batches_of_windows_change_nothing_and_progress_counts_them() -> None:
    scene = torch.randn(3000, MELS, generator=torch.Generator().manual_seed(2))
    told: list[int] = []
    one = occlusion_curve(Loud(), scene, torch.zeros(MELS), hop_s=2.5)
    many = occlusion_curve(
        Loud(), scene, torch.zeros(MELS), hop_s=2.5, batch_size=4, advance=told.append
    )
    assert np.allclose(one.values, many.values, atol=1e-6)
    assert told == [4, 4, 4, 3]


@pytest.mark.parametrize(("window_s", "hop_s"), [(10, 11), (10, 0), (0, 0)])
def test_a_hop_that_leaves_gaps_is_refused(window_s: float, hop_s: float) -> None:
    with pytest.raises(NiahError, match="hop must be"):
        occlusion_curve(
            Loud(), torch.zeros(2000, MELS), torch.zeros(MELS), window_s=window_s, hop_s=hop_s
        )


def test_a_filling_of_another_length_is_refused() -> None:
    with pytest.raises(NiahError, match="filling must be"):
        occlusion_curve(Loud(), torch.zeros(2000, MELS), torch.zeros(1999, MELS))


# --- positions


def test_the_mean_of_the_position_curve_is_the_logit() -> None:
    adapter = niah.load_model("dass-nano")
    scene = torch.randn(2500, MELS, generator=torch.Generator().manual_seed(3))
    curve = position_curve(adapter, scene)
    logits = adapter.logits(scene[None])[0].numpy()
    assert np.abs(curve.values.mean(axis=0) - logits).max() < 1e-4
    assert curve.width_s == pytest.approx(0.64)


def test_positions_find_a_planted_sound_and_only_there() -> None:
    adapter = LoudByPosition()
    curve = position_curve(adapter, planted(4000, 1200, 1240))
    found = find(curve.centres_s, curve.values[:, 0], 12.2)
    assert abs(found.peak_s - 12.2) < 1e-9
    assert abs(found.error_s) < 1e-9
    assert found.hit == 1.0
    assert find(curve.centres_s, curve.values[:, 0], 20.0).hit == 0.0


def test_a_model_without_positions_says_so() -> None:
    assert not has_positions(Loud())
    with pytest.raises(NiahError, match="use occlusion"):
        position_curve(Loud(), torch.zeros(2000, MELS))


@pytest.mark.parametrize("patch", [0, 8])
def test_columns_are_where_the_convolutions_put_them(patch: int) -> None:
    """A network of positive weights, nothing but convolutions: the column that answers most to a frame is at it."""
    network = Dass(DassConfig(depths=(0, 0, 0, 0), dims=(4, 4, 4, 4), stem=(4, 4), patch=patch))
    parts: list[torch.nn.Module] = [network.patch_embed]
    parts += [stage.downsample for stage in network.layers if isinstance(stage, Stage)]
    convolutions = [m for part in parts for m in part.modules() if isinstance(m, torch.nn.Conv2d)]
    for conv in convolutions:
        torch.nn.init.ones_(conv.weight)
    sample = torch.zeros(1, 1, 960, MELS)
    weights = []
    with torch.no_grad():
        for frame in range(960):
            x = sample.clone()
            x[0, 0, frame] = 1.0
            for conv in convolutions:
                x = torch.nn.functional.conv2d(x, conv.weight, None, conv.stride, conv.padding)
            weights.append(x[0].sum(dim=(0, 2)))
    answers = torch.stack(weights).double()  # (frames, columns)
    middle = answers.shape[1] // 2
    share = answers[:, middle] / answers[:, middle].sum()
    measured = float((share * (torch.arange(960) + 0.5)).sum())
    centres, step = column_centres(network, 960, answers.shape[1])
    assert centres[middle] == pytest.approx(measured, abs=1e-6)
    assert step == (64 if patch else 32)


# --- peaks, hits and guesses


def test_ties_count_as_a_guess_among_them() -> None:
    centres = np.array([5.0, 15.0, 25.0, 35.0])
    found = find(centres, np.ones(4), 15.0)
    assert found.hit == found.chance_hit == 0.25
    assert found.error_s == pytest.approx(10.0)
    assert find(centres, np.array([0, 1, 1, 0.5]), 15.0).hit == 0.5


def test_the_tolerance_is_closed_and_five_seconds() -> None:
    centres = np.array([0.0, 10.0, 20.0])
    assert find(centres, np.array([0.0, 1.0, 0.0]), 15.0).hit == 1.0
    assert find(centres, np.array([0.0, 1.0, 0.0]), 15.01).hit == 0.0


def test_guessing_hits_as_often_as_told() -> None:
    random = np.random.default_rng(0)
    centres = np.arange(100, dtype=np.float64)
    hits = [find(centres, random.normal(size=100), 40.0).hit for _ in range(4000)]
    assert np.mean(hits) == pytest.approx(0.11, abs=0.015)
    assert find(centres, centres, 40.0).chance_hit == pytest.approx(0.11)


def test_bad_curves_are_refused() -> None:
    for values in (np.array([0.0, np.nan]), np.array([1.0])):
        with pytest.raises(NiahError, match="finite"):
            find(np.array([1.0, 2.0]), values, 1.0)


def test_the_target_is_the_middle_of_the_clips_own_sound() -> None:
    short = NeedleFeatures(torch.zeros(1024, MELS), 0.1, 80_000, 498)
    assert sound_centre_s(short, 1000) == pytest.approx(12.49)
    long = NeedleFeatures(torch.zeros(1024, MELS), 0.1, 400_000, 2498)
    assert sound_centre_s(long, 0) == pytest.approx(5.12)


def test_pairs_of_one_clip_are_resampled_together() -> None:
    clips = [f"{i // 4}" for i in range(200)]
    hits = [float(i // 4 % 2) for i in range(200)]  # 50 clips, each all right or all wrong
    together = hit_rate(clips, hits)
    apart = hit_rate([str(i) for i in range(200)], hits)
    assert together.estimate == apart.estimate == 0.5
    assert together.hi - together.lo == pytest.approx(4 * 0.5 / np.sqrt(50), rel=0.06)
    assert apart.hi - apart.lo == pytest.approx(4 * 0.5 / np.sqrt(200), rel=0.06)


@pytest.mark.parametrize("hit", [0.0, 1.0])
def test_no_interval_of_a_hit_rate_has_zero_width(hit: float) -> None:
    """30 of 30 clips is [88, 100] %, with one label a clip or two; none of 3 is [0, 71] %."""
    one = hit_rate([str(i) for i in range(30)], [hit] * 30)
    two = hit_rate([str(i // 2) for i in range(60)], [hit] * 60)
    assert one == two
    assert one.hi - one.lo == pytest.approx(0.1157, abs=1e-4)
    few = hit_rate(["a", "b", "c"], [hit] * 3)
    assert few.hi - few.lo == pytest.approx(0.7076, abs=1e-4)
    assert hit in (few.lo, few.hi)


def test_the_interval_is_wilsons_where_clips_have_one_label() -> None:
    interval = binomtest(7, 25).proportion_ci(method="wilson")
    rate = hit_rate([str(i) for i in range(25)], [1.0] * 7 + [0.0] * 18)
    assert (rate.lo, rate.hi) == pytest.approx((interval.low, interval.high), abs=0.01)


@pytest.mark.parametrize("trials", [20, 30, 100])
def test_hit_rates_hold_the_truth_as_often_as_they_say(trials: int) -> None:
    """Exactly, without simulation: 95 % on average over what is true, and nowhere much less; a count is a lattice."""
    bounds = [
        hit_rate([str(i) for i in range(trials)], [1.0] * k + [0.0] * (trials - k))
        for k in range(trials + 1)
    ]
    true = np.linspace(0.05, 0.95, 181)
    shares = binom.pmf(np.arange(trials + 1)[:, None], trials, true)
    held = np.array([[each.lo <= p <= each.hi for p in true] for each in bounds])
    coverage = (shares * held).sum(axis=0)
    assert coverage.mean() == pytest.approx(0.95, abs=0.01)
    assert coverage.min() > 0.90
    exact = [proportion_interval(k, trials) for k in range(trials + 1)]
    held = np.array([[low <= p <= high for p in true] for low, high in exact])
    assert (shares * held).sum(axis=0).min() >= 0.95


# --- the command


class Listener(tiny.TinyTagger):
    """A tagger that hears: each class is how loud its tone's mels are, column by column of 40 frames."""

    def position_logits(self, features: Tensor) -> Tensor:
        columns = features.view(len(features), -1, 40, MELS).mean(dim=2)  # (B, T, mels)
        rows = [round(AST.row_of(hertz)) for hertz in tiny.HERTZ]
        return torch.stack([columns[..., r - 2 : r + 3].mean(-1).relu() for r in rows], -1)

    def _forward(self, features: Tensor) -> Tensor:
        whole = features[:, : features.shape[1] // 40 * 40]
        return self.position_logits(whole).mean(dim=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("located")
    card = tiny.card(folder)
    card.write_text(
        card.read_text().replace(
            "tests.helpers.tiny:TinyTagger", "tests.diagnosis.test_localisation:Listener"
        )
    )
    out = folder / "run"
    niah.run(
        models=[str(card)],
        checkpoint=str(tiny.checkpoint(folder)),
        needles=str(tiny.manifest(folder)),
        haystacks=["zero"],
        lengths=[10, 40],
        positions=[0.0, 0.5],
        device="cpu",
        out=out,
    )
    return out


def test_a_tagger_that_hears_is_found_to(run: Path) -> None:
    written = locate(LocateOptions(run, method="both"))
    assert all(path.is_file() for path in written)
    rows = read(run)
    assert {(row.method, row.position) for row in rows} == {
        (method, position) for method in ("positions", "occlusion") for position in (0.0, 0.5)
    }
    for row in rows:
        assert row.hit_rate == 1.0 > row.chance_hit
        assert row.median_error_s < 5.0 < row.chance_error_s
    with (run / CSV_FILE).open() as file:
        assert len(list(csv.DictReader(file))) == len(rows)


def test_a_damaged_measurement_is_made_again(run: Path) -> None:
    locate(LocateOptions(run, method="both"))
    rows = read(run)
    file = sorted((run / "localisation").glob("*.json"))[0]
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(NiahError, match="the same `niah locate` again measures it again"):
        read(run)
    locate(LocateOptions(run, method="both"))
    assert read(run) == rows
    assert file.read_bytes() == whole


def test_what_was_located_is_not_done_again_and_is_in_the_report(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locate(LocateOptions(run, method="both"))

    def no_more(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("niah.diagnosis.localisation.locate.position_curve", no_more)
    monkeypatch.setattr("niah.diagnosis.localisation.locate.occlusion_curve", no_more)
    locate(LocateOptions(run, method="both"))
    page = write_report(run).read_text()
    assert "<summary>Localisation</summary>" in page
    assert "Where was it heard?" in page  # the figure's words
    assert "localisation-zero.png" in (run / "tables.md").read_text()


def test_the_table_reads_back_from_the_csv_alone(run: Path, tmp_path: Path) -> None:
    locate(LocateOptions(run, method="both"))
    (tmp_path / CSV_FILE).write_bytes((run / CSV_FILE).read_bytes())
    assert localisation_table(read(tmp_path)) == localisation_table(read(run))
    assert read(tmp_path / "nothing") == []
    assert localisation_table([]) is None


def _row(**other: Any) -> Located:
    row: dict[str, Any] = {"model": "ear", "checkpoint_sha256": "a" * 64, "method": "occlusion"}
    row |= {"haystack": "zero", "snr_db": None, "length_s": 20.0, "position": 0.5}
    row |= {"window_s": 5.0, "hop_s": 2.5, "place_s": 0.3, "tolerance_s": 5.0}
    row |= {"clips": 4, "pairs": 5, "hit_rate": 0.8, "hit_lo": 0.4, "hit_hi": 1.0}
    return Located(
        **row | {"chance_hit": 0.2, "median_error_s": 1.0, "chance_error_s": 6.0} | other
    )


@pytest.mark.parametrize(
    "other",
    [
        {"window_s": 10.0, "hop_s": 5.0},
        {"hop_s": 1.0},
        {"checkpoint_sha256": "b" * 64},
        {"clips": 8},
        {"position": 0.5000001},
        {"method": "positions", "window_s": None, "hop_s": None},
        {"snr_db": 0.0},
    ],
)
def test_rows_of_other_settings_are_told_apart_in_table_and_figure(other: dict[str, Any]) -> None:
    rows = [_row(), _row(**other)]
    table = localisation_table(rows)
    assert table is not None
    assert len({row[:4] for row in table.rows}) == len(table.rows) == 2
    assert len(located_curves(rows)) == 2


def test_other_numbers_of_clips_are_stated_of_every_curve() -> None:
    """Also where two models have one each: their peaks are of different clips."""
    rows = [_row(), _row(model="other", clips=8), _row(model="other", clips=4, length_s=40.0)]
    table = localisation_table(rows)
    assert table is not None
    methods = [(row[0], row[1]) for row in table.rows]
    assert methods == [
        ("ear", "occlusion, 4 clips"),
        ("other", "occlusion, 8 clips"),
        ("other", "occlusion, 4 clips"),
    ]


def test_positions_that_are_one_scene_are_noted() -> None:
    rows = [_row(position=position) for position in (0.5, 0.75)]
    notes = {name: localisation_table(rows, name).notes for name in ("dass-v1", "niah-v2.1", "")}  # type: ignore[union-attr]
    assert notes["niah-v2.1"] == notes[""] == ()
    assert "0.5 is 1 at 20 s; 0.75 is 1 at 20 s" in notes["dass-v1"][0]


def test_many_curves_are_drawn_in_panels_of_eight_with_one_look_a_label(tmp_path: Path) -> None:
    models, lengths = [f"ear {i}" for i in range(6)], (20.0, 50.0)
    located = [
        _row(model=model, position=position, length_s=length)
        for model in models
        for position in (0.0, 1.0)
        for length in lengths
    ]
    event: dict[str, Any] = dict.fromkeys(EventScores.__dataclass_fields__, 0.5)
    event |= {"checkpoint_sha256": "a" * 64, "method": "windows", "haystack": "zero"}
    events = [
        EventScores(**event | {"model": m, "position": p, "length_s": s, "needles": 1})
        for m in models
        for p in (0.0, 1.0)
        for s in lengths
    ]
    for module, rows in ((figure, located), (events_figure, events)):
        with mock.patch.object(module, "save") as save:
            module.draw(rows, tmp_path)
        looks: dict[str, set[Any]] = {}
        for axes in save.call_args.args[0].axes:
            lines = [line for line in axes.lines if not line.get_label().startswith("_")]
            assert len(lines) <= 9  # and a guess
            for line in lines:
                looks.setdefault(line.get_label(), set()).add((line.get_color(), line.get_marker()))
        assert len(looks) >= 6
        assert {len(seen) for seen in looks.values()} == {1}


def test_what_cannot_be_located_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(NiahError, match="--method 'ear'"):
        LocateOptions(run, method="ear")
    with pytest.raises(NiahError, match="beyond 10"):
        locate(LocateOptions(run, lengths_s=(10.0,)))
    with pytest.raises(NiahError, match="not a run"):
        locate(LocateOptions(tmp_path))


def _protocol(adapter: Loud) -> Adapter:
    return adapter  # mypy checks that the taggers above are adapters


@pytest.mark.parametrize("command", [["locate", "{missing}"], ["causes", "--lengths", "10"]])
def test_the_commands_refuse_in_one_line(
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    missing = tmp_path / "missing"
    arguments = [each.format(missing=missing) for each in command]
    monkeypatch.setattr("sys.argv", ["niah", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    told = capfd.readouterr().err.splitlines()
    assert (caught.value.code, len(told)) == (2, 1)
    assert told[0].startswith("niah: ")
    assert not missing.exists()


def test_places_wider_than_a_hit_are_refused(run: Path) -> None:
    """A hop of 15 s: the middle of the right place may lie 7.5 s from the needle's, and no hit was possible."""
    with pytest.raises(NiahError, match=r"--hop must be at most 10 s, got 15"):
        locate(LocateOptions(run, method="occlusion", window_s=30, hop_s=15))


def test_the_command_prints_the_table(
    run: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["niah", "locate", str(run), "--limit", "2"])
    with pytest.raises(SystemExit) as caught:
        main()
    out = capfd.readouterr().out
    assert caught.value.code == 0
    assert "chance" in out
    assert str(run / CSV_FILE) in out


def test_a_run_of_several_weights_says_whose_are_located(run: Path, tmp_path: Path) -> None:
    assert scene_notes(run) == []
    shutil.copytree(run, tmp_path / "two")
    stored = json.loads((tmp_path / "two" / "run.json").read_text())
    (name,) = stored["models"]
    (last,) = {entry["checkpoint_sha256"] for entry in stored["models"].values()}
    niah.run(
        models=[str(run.parent / "tiny.toml")],
        checkpoint=str(tiny.checkpoint(tmp_path, seed=1)),
        needles=str(run.parent / "clips.csv"),
        haystacks=["zero"],
        lengths=[10, 40],
        positions=[0.0, 0.5],
        device="cpu",
        out=tmp_path / "two",
    )
    (said,) = scene_notes(tmp_path / "two")
    assert f"several weights of {name} (" in said
    assert last[:8] in said
    assert not said.endswith(last[:8])  # the new ones are loaded


def test_of_a_run_with_further_axes_the_plain_scenes_alone_are_located(
    run: Path, tmp_path: Path
) -> None:
    stored = json.loads((run / "run.json").read_text())
    further = {
        **{"needle_counts": [1, 3], "poolings": ["max"], "controls": ["sham"], "window_s": 10.0},
        **{"level": "surround,mix", "needle_s": [10.0]},
    }
    stored["arguments"] |= further
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text(json.dumps(stored))
    (said,) = scene_notes(tmp_path / "run")
    assert said.endswith("without its --pooling, --needle-count, further --level, --window")


def test_a_folder_of_another_command_has_no_scenes(run: Path, tmp_path: Path) -> None:
    stored = json.loads((run / "run.json").read_text())
    stored["identity"]["measures"] = "causes"
    (tmp_path / "run.json").write_text(json.dumps(stored))
    with pytest.raises(NiahError, match=r"no run\.json of `niah run`"):
        locate(LocateOptions(tmp_path))


def test_a_run_of_two_levels_is_located_in_the_surrounding_one() -> None:
    asked = {
        **{"models": ["a"], "haystacks": ["zero"], "protocol": "niah-v2"},
        **{"level": "mix, surround", "window_s": None},
    }
    options = RunOptions.of_scenes(asked, limit=3, device=None)
    assert (options.level, options.limit, options.device) == ("surround", 3, "auto")
    mix = {**asked, "level": "mix"}
    assert RunOptions.of_scenes(mix).level == "mix"


@pytest.mark.parametrize(
    ("about", "pair", "reason"),
    [
        ({"length_s": "20"}, {}, "length_s must be a number"),
        ({"length_s": 1e300}, {}, "length_s must be within"),
        ({"position": [0.5]}, {}, "position must be a number"),
        ({"position": 2}, {}, "position is out of its range"),
        ({"model": None}, {}, "model must be text"),
        ({"more": 1}, {}, "unknown entry 'more'"),
        ({}, {"clip": ["c1"]}, "clip must be text"),
        ({}, {"error_s": float("nan")}, "error_s must be within"),
        ({}, {"hit": 2}, "hit must be 0 to 1"),
        ({}, {"chance_hit": -1}, "chance_hit must be 0 to 1"),
    ],
)
def test_what_a_stored_localisation_may_not_hold(
    tmp_path: Path, about: dict[str, Any], pair: dict[str, Any], reason: str
) -> None:
    cell: dict[str, Any] = {"model": "ear", "checkpoint_sha256": "f", "method": "positions"}
    cell |= {"haystack": "zero", "snr_db": None, "length_s": 20.0, "position": 0.5}
    cell |= {"window_s": None, "hop_s": None, "place_s": 0.3, "tolerance_s": 5.0}
    one = {"clip": "c1", "label": "dog", "peak_s": 3.0, "hit": True, "error_s": 0.5}
    one |= {"chance_hit": 0.3, "chance_error_s": 4.0}
    write_cell(tmp_path, "sound", cell, [one], {})
    assert len(read(tmp_path)) == 1
    write_cell(tmp_path, "odd", {**cell, **about}, [{**one, **pair}], {})
    with pytest.raises(NiahError, match=rf"odd\.json is damaged.*{reason}"):
        read(tmp_path)


def test_clips_of_one_recording_are_one_trial(tmp_path: Path) -> None:
    cell: dict[str, Any] = {"model": "ear", "checkpoint_sha256": "f", "method": "positions"}
    cell |= {"haystack": "zero", "snr_db": None, "length_s": 20.0, "position": 0.5}
    cell |= {"window_s": None, "hop_s": None, "place_s": 0.3, "tolerance_s": 5.0}
    one = {"label": "dog", "peak_s": 3.0, "error_s": 0.5, "chance_hit": 0.3, "chance_error_s": 4.0}
    pairs = [{**one, "clip": f"c{i}", "hit": i < 20} for i in range(30)]
    write_cell(tmp_path, "alone", cell, pairs, {})
    (alone,) = read(tmp_path)
    write_cell(tmp_path, "alone", cell, pairs, {f"c{i}": f"recording {i // 5}" for i in range(30)})
    (grouped,) = read(tmp_path)
    assert alone.hit_rate == grouped.hit_rate == pytest.approx(2 / 3)
    assert grouped.hit_hi - grouped.hit_lo > 1.8 * (alone.hit_hi - alone.hit_lo)


def test_no_clips_beyond_the_run_are_heard(tmp_path: Path) -> None:
    """A run without --limit has the default number of clips of its set."""
    niah.run(
        models="dass-nano",
        haystacks=["zero"],
        lengths=[10],
        limit=3,
        device="cpu",
        out=tmp_path / "run",
    )
    file = tmp_path / "run" / "run.json"
    content = json.loads(file.read_text())
    del content["needles"]["marks"]  # of 3 clips
    for limit, clips in ((None, 100), (3, 3)):
        content["arguments"]["limit"] = limit
        content["needles"]["clips"] = clips
        file.write_text(json.dumps(content))
        for asked, expected in ((130, clips), (2, 2)):
            wanted = WantedScenes(tmp_path / "run", lengths_s=(20.0,), limit=asked)
            assert len(open_scenes(wanted).setup.clips) == expected
