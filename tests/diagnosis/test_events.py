"""`niah locate --events`: planted taggers with scores by position, through the real scenes."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import niah
from niah.diagnosis.events.evaluation import FOLDS, event_scores, fitted_thresholds, fold_of_scenes
from niah.diagnosis.events.figure import draw
from niah.diagnosis.events.measure import EventOptions, locate_events
from niah.diagnosis.events.rows import EventScores, read, write_cell
from niah.diagnosis.events.scores import window_scores
from niah.diagnosis.events.table import events_table
from niah.diagnosis.run_scenes import WantedScenes, open_scenes
from niah.errors import NiahError
from niah.metrics.sound_events import ScoredScene
from tests.helpers import planted, tiny

ADAPTERS = {"ear": "PlantedPositions", "one": "CountsToOne", "every": "FiresAtEveryEvent"}


def steady_tones(folder: Path, clips: int = 1) -> Path:
    """Write some clips of each class that sound for all their 10 s, and their table."""
    t = np.arange(10 * tiny.SAMPLE_RATE) / tiny.SAMPLE_RATE
    rows = ["path,labels"]
    for id_, hertz in zip(tiny.IDS, tiny.HERTZ, strict=True):
        for clip in range(clips):
            name = f"{hertz:g}-{clip}.wav"
            wave = 0.3 * np.sin(2 * np.pi * hertz * t + clip)
            soundfile.write(folder / name, wave, tiny.SAMPLE_RATE)
            rows.append(f"{name},{id_}")
    (folder / "clips.csv").write_text("\n".join(rows) + "\n")
    return folder / "clips.csv"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("events")
    clips, weights = steady_tones(folder, 2), planted.checkpoint(folder)
    cards = [planted.card(folder / name, name, each, mean=True) for name, each in ADAPTERS.items()]
    for card in cards:
        niah.run(
            models=card,
            checkpoint=weights,
            needles=clips,
            haystack="silence",
            lengths=[10, 40],
            device="cpu",
            out=folder / "run",
        )
        options = EventOptions(collar_s=6.0, needle_counts=(1, 3))
        locate_events(open_scenes(WantedScenes(folder / "run")), options)
    return folder / "run"


def rows_of(run: Path) -> dict[tuple[str, int], EventScores]:
    return {(row.model, row.needles): row for row in read(run)}


def test_one_that_counts_to_one_is_unmasked_by_counts(run: Path) -> None:
    rows = rows_of(run)
    assert len(rows) == 6
    for model in ("ear", "one"):
        assert rows[model, 1].onset_f == 1.0
        assert rows[model, 1].count_error == 0.0
    assert (rows["ear", 3].count, rows["ear", 3].true_count) == (3.0, 3.0)
    assert (rows["one", 3].count, rows["one", 3].count_error) == (1.0, 2.0)
    assert rows["one", 3].recall == pytest.approx(1 / 3)


def test_one_that_fires_at_every_event_is_unmasked_by_precision(run: Path) -> None:
    """Three scenes of a class each, in all of which it names other classes too."""
    rows = rows_of(run)
    ear, every = rows["ear", 1], rows["every", 1]
    assert (ear.precision, ear.recall, ear.false_alarms_hour) == (1.0, 1.0, 0.0)
    assert every.recall == 1.0
    assert every.precision is not None
    assert every.precision <= 0.5
    assert every.false_alarms_hour >= 3 / (3 * 40 / 3600)
    assert ear.psds1 is not None
    assert every.psds1 is not None
    assert every.psds1 < ear.psds1 == pytest.approx(1.0, abs=0.01)


def test_the_report_has_table_and_csv_and_a_second_call_measures_nothing(run: Path) -> None:
    before = {file.name: file.stat().st_mtime_ns for file in (run / "events").iterdir()}
    notes: list[str] = []
    options = EventOptions(collar_s=6.0, needle_counts=(1, 4))
    locate_events(open_scenes(WantedScenes(run)), options, notes.append)
    earlier, short = notes
    assert earlier.endswith("the run also has --model ear, one")
    assert short == "left out as too short: --needle-count 4: scenes of 40 s"
    table = events_table(read(run))
    assert table is not None
    assert len(table.rows) == 6
    assert (run / "events.csv").is_file()
    assert not draw(read(run), run / "figures")  # of one length there is no curve
    longer = [replace(row, length_s=80.0) for row in read(run)]
    (figure,) = draw([*read(run), *longer], run / "figures")
    assert figure.file.is_file()
    assert {file.name: file.stat().st_mtime_ns for file in (run / "events").iterdir()} == before


def test_thresholds_are_those_of_the_call_whatever_was_measured_before(
    run: Path, tmp_path: Path
) -> None:
    """The longer scenes alone have their own thresholds; beside shorter ones those of these, measured once more."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("events", "events.csv"))
    options = EventOptions(collar_s=6.0)

    def measured(*lengths_s: float) -> set[tuple[float, float | None]]:
        wanted = WantedScenes(copy, lengths_s=lengths_s, limit=4)
        locate_events(open_scenes(wanted), options)
        return {(row.length_s, row.thresholds_s) for row in read(copy)}

    assert measured(60) == {(60, 60)}
    assert measured(40, 60) == {(60, 60), (40, 40), (60, 40)}
    table = events_table(read(copy))
    assert table is not None
    assert [row[3].partition(", thresholds of ")[2] for row in table.rows] == [
        "40 s",
        "40 s",
        "60 s",
    ]


def test_a_row_of_an_earlier_version_is_read_until_it_is_measured_again(
    run: Path, tmp_path: Path
) -> None:
    stored = read(run)[0]
    for key, row in (
        ("old", replace(stored, thresholds_s=None)),
        ("other", replace(stored, length_s=80.0)),
    ):
        write_cell(tmp_path, key, row, [])
    assert len(read(tmp_path)) == 2
    write_cell(tmp_path, "new", stored, [])
    assert {row.thresholds_s for row in read(tmp_path)} == {40.0}


@pytest.mark.parametrize("other", [{"collar_s": 1.0}, {"scenes": 3}])
def test_rows_of_other_settings_are_told_apart(
    run: Path, tmp_path: Path, other: dict[str, Any]
) -> None:
    """A second call with another --collar or --limit gave rows, and points of one curve, that read alike."""
    stored = [replace(row, length_s=s) for row in read(run) for s in (40.0, 80.0)]
    rows = [*stored, *(replace(row, **other) for row in stored)]
    table = events_table(rows)
    assert table is not None
    assert len({row[:6] for row in table.rows}) == len(rows)
    (figure,) = draw(rows, tmp_path)
    assert ("collar 1 s" if "collar_s" in other else "3 scenes") in figure.alt


def test_one_whose_scores_drift_loses_its_onsets_and_keeps_its_psds() -> None:
    """Thresholds are those of the shortest scenes: above a drifted background everything is one long event."""
    scores = np.zeros((60, 1), dtype=np.float32)
    scores[20:30] = 4.0
    short = 2 * [ScoredScene(np.arange(61.0), scores, ([(20.0, 30.0)],))]
    drifted = 2 * [ScoredScene(np.arange(61.0), scores + 5, ([(20.0, 30.0)],))]
    folds = fold_of_scenes(["a", "b"])
    thresholds = fitted_thresholds(short, folds, 1.0)[folds]
    before, after = (
        event_scores(scenes, [[0], [0]], thresholds, 1.0, groups=["a", "b"])
        for scenes in (short, drifted)
    )
    assert (before["onset_f"], before["psds1"]) == (1.0, 1.0)
    assert (after["onset_f"], after["psds1"]) == (0.0, 1.0)
    assert after["precision"] == 0.0


def test_equal_hearing_at_two_lengths_has_equal_scores() -> None:
    """Thresholds are of other recordings at the shortest length too: chosen on its own scenes it looked 0.2 better."""
    random = np.random.default_rng(0)
    classes, clips = 4, 40

    def scenes() -> list[ScoredScene]:
        made = []
        for clip in range(clips):
            scores = random.normal(size=(40, classes)).astype(np.float32)
            scores[20:30, clip % classes] += 1.5
            true = [[(20.0, 30.0)] if c == clip % classes else [] for c in range(classes)]
            made.append(ScoredScene(np.arange(41.0), scores, tuple(true)))
        return made

    groups = [f"recording {clip}" for clip in range(clips)]
    folds, own = fold_of_scenes(groups), [[clip % classes] for clip in range(clips)]
    differences = []
    for _ in range(6):
        short, long = scenes(), scenes()
        used = fitted_thresholds(short, folds, 1.0)[folds]
        before, after = (
            event_scores(each, own, used, 1.0, groups=groups) for each in (short, long)
        )
        differences.append(before["onset_f"] - after["onset_f"])
    assert abs(np.mean(differences)) < 0.03


def test_a_class_of_one_recording_has_no_threshold() -> None:
    scores = np.zeros((40, 2), dtype=np.float32)
    scores[20:30] = 4.0
    there: list[tuple[float, float]] = [(20.0, 30.0)]
    scenes = [
        ScoredScene(np.arange(41.0), scores, (there, there if clip < 2 else []))
        for clip in range(4)
    ]
    groups = ["a", "a", "b", "c"]  # the second class is in recording a alone
    folds = fold_of_scenes(groups)
    assert folds.tolist() == [0, 0, 1, 2]
    thresholds = fitted_thresholds(scenes, folds, 1.0)
    assert thresholds.shape == (FOLDS, 2)
    assert np.isnan(thresholds[:, 1]).tolist() == [True, False, False, True, True]
    found = event_scores(scenes, [[0]] * 4, thresholds[folds], 1.0, groups=groups)
    assert (found["onset_f"], found["precision"], found["events"]) == (1.0, 1.0, 6)
    alone = event_scores(scenes, [[1]] * 4, np.full((4, 2), np.nan), 1.0, groups=groups)
    assert (alone["onset_f"], alone["count"], alone["count_error"]) == (None, None, None)


def test_windows_cover_their_places() -> None:
    class Mean:
        """The mean of its window, for two classes."""

        labels = range(2)

        def logits(self, features: Any) -> Any:
            return features.mean(dim=(1, 2))[:, None].repeat(1, 2)

    import torch

    scene = torch.zeros(4000, 1)
    scene[2000:3000] = 1.0
    edges, scores = window_scores(Mean(), scene, 10.0, 5.0, batch_size=3)  # type: ignore[arg-type]
    np.testing.assert_array_equal(edges, np.arange(0, 41, 5.0))
    np.testing.assert_allclose(scores[:, 0], [0, 0, 0, 0.25, 0.75, 0.75, 0.25, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "occlusion"}, "--method"),
        ({"collar_s": 0.0}, "--collar"),
        ({"needle_counts": (0,)}, "--needle-count"),
        ({"hop_s": 20.0}, "--hop"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(NiahError, match=message):
        EventOptions(**options)
