"""Natural scenes: crops of an annotated recording through the real sweep, labels, false alarms and correlation."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import niah
from niah.diagnosis.events.measure import EventOptions, locate_events
from niah.diagnosis.false_alarms.measure import measure
from niah.diagnosis.natural.measure import Agreement, agreements, natural_scores
from niah.diagnosis.natural.tables import agreement_table, natural_tables
from niah.diagnosis.run_scenes import WantedScenes, open_scenes
from niah.errors import NiahError
from niah.frontends.kaldi import AST
from niah.metrics.chance import ONE_RECORDING
from niah.metrics.rank_correlation import RankCorrelation, rank_correlation, spearman
from niah.needles import load_needles
from niah.needles.needle_part import with_part
from niah.pages import leaderboard
from niah.records.run_directory import RunDirectory
from niah.scenes.own import OwnRecordings
from niah.vocabularies import vocabulary
from tests.helpers import planted, tiny

RATE = 16000


def record(folder: Path, recordings: int, long_s: float, events: int) -> Path:
    """Write recordings of faint noise with events of 4 s, in turn of three classes, and their table."""
    rows = ["path,onset,offset,label"]
    t = np.arange(4 * RATE) / RATE
    for number in range(recordings):
        rng = np.random.default_rng(number)
        sound = 0.003 * rng.standard_normal(int(long_s * RATE))
        for event in range(events):
            onset = 10.0 + (long_s - 20.0) / events * event
            kind = (event + number) % 3
            first = int(onset * RATE)
            tone = 0.3 * np.sin(2 * np.pi * tiny.HERTZ[kind] * t) * np.hanning(len(t))
            sound[first : first + len(tone)] += tone
            rows.append(f"r{number}.wav,{onset:.2f},{onset + 4:.2f},{tiny.IDS[kind]}")
        soundfile.write(folder / f"r{number}.wav", sound, RATE)
    table = folder / "events.csv"
    table.write_text("\n".join(rows) + "\n")
    return table


LONG_S = 240.0


@pytest.fixture(scope="module")
def annotations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("recordings"), 2, LONG_S, 8)


def own(annotations: Path) -> OwnRecordings:
    card = tiny.card(annotations.parent / "card")
    labels = vocabulary(str(card.parent / "labels.csv"))
    return OwnRecordings(load_needles(annotations, vocabulary=labels))


def test_a_crop_is_the_recording_around_the_event(annotations: Path) -> None:
    recordings = own(annotations)
    for index, needle in enumerate(recordings.needles.needles):
        source: Any = needle.source
        ten = recordings.start_s(index, 10.0, 0.5)
        assert ten + 3.0 == pytest.approx(source.onset_s)  # 4 s in the middle of 10
        for position in (0.0, 0.5, 1.0):
            start = recordings.start_s(index, 60.0, position)
            assert 0.0 <= start <= LONG_S - 60.0
            assert start <= source.onset_s
            assert source.stop_s <= start + 60.0
            assert set(needle.labels) <= set(recordings.labels(index, start, 60.0))
        assert recordings.labels(index, ten, 10.0) == needle.labels
        assert recordings.start_s(index, LONG_S, 0.5) == 0.0
    assert set(recordings.labels(0, 0.0, LONG_S)) == set(tiny.IDS)
    samples, _ = soundfile.read(annotations.parent / "r0.wav", dtype="float32")
    first = next(i for i, n in enumerate(recordings.needles.needles) if "r0" in n.id)
    scene = recordings.scene(AST, first, 20.0, 30.0).whole()
    part = samples[20 * RATE : 20 * RATE + AST.samples(3000)]
    np.testing.assert_allclose(
        scene.numpy(), AST(torch.from_numpy(part - part.mean())[None])[0].numpy(), atol=2e-3
    )


def test_a_stretch_of_digital_silence_is_part_of_the_recording(
    annotations: Path, tmp_path: Path
) -> None:
    """A logger that stopped: every stretch without the needle failed, "is silent", and with it the false alarms."""
    for file in annotations.parent.glob("*.wav"):
        samples, _ = soundfile.read(file)
        samples[-60 * RATE :] = 0
        soundfile.write(tmp_path / file.name, samples, RATE)
    (tmp_path / "events.csv").write_text(annotations.read_text())
    recordings = own(tmp_path / "events.csv")
    last = max(range(len(recordings.needles)), key=lambda i: recordings.free_start_s(i, 10.0))
    start = recordings.free_start_s(last, 10.0)
    assert start == LONG_S - 10.0
    scene = recordings.scene(AST, last, start, 10.0).whole()
    np.testing.assert_allclose(scene.numpy(), AST.silence, rtol=1e-6)


def test_clips_and_recordings_that_are_too_short_are_refused(
    annotations: Path, tmp_path: Path
) -> None:
    with pytest.raises(NiahError, match="no recording is 500 s long"):
        own(annotations).long_enough(500.0)
    clips = tiny.manifest(tmp_path, 3)
    labels = vocabulary(str(tiny.card(tmp_path / "card").parent / "labels.csv"))
    with pytest.raises(NiahError, match="annotated recordings") as refusal:
        OwnRecordings(load_needles(clips, vocabulary=labels))
    assert "docs/natural-scenes.md" in str(refusal.value)
    assert "--needle-part" not in str(refusal.value)
    with pytest.raises(NiahError, match="leave --needle-part out"):
        with_part(load_needles(annotations, vocabulary=labels), "loudest")


def sweep(
    folder: Path, annotations: Path, faults: dict[str, dict[str, Any]], **options: Any
) -> RunDirectory:
    weights = planted.checkpoint(folder)
    for name, config in faults.items():
        niah.run(
            models=planted.card(folder / name, name, **config),
            checkpoint=weights,
            needles=annotations,
            device="cpu",
            out=folder / "run",
            **options,
        )
    return RunDirectory(folder / "run")


def test_an_ear_hears_an_event_in_its_own_recording(tmp_path: Path) -> None:
    """And a recording that is not there leaves out its own events alone."""
    events = record(tmp_path, 1, 60.0, 4)
    events.write_text(f"{events.read_text()}gone.wav,1,2,{tiny.IDS[0]}\n")
    run = sweep(tmp_path, events, {"ear": {}}, haystack="own", lengths=[10, 20])
    (gone,) = run.run_json()["excluded_clips"]
    assert gone["reason"].endswith("gone.wav: no such file")
    cells = run.cells()
    assert set(cells["status"]) == {"ok"}
    assert cells["haystack"].tolist().count("own") == 2
    ten, twenty = natural_scores(run, cells)
    assert (ten.length_s, twenty.length_s) == (10.0, 20.0)
    assert ten.labels == 1.0 < twenty.labels
    assert ten.event[0] == twenty.event[0] == twenty.every[0] == 1.0
    (table,) = natural_tables(run, cells)
    assert "nan" not in table.markdown()  # of one recording there is no interval
    (row,) = cells[cells["length_s"] == 20].to_dict("records")
    assert row["noise_base_mAP"] == row["relative_noise_base"] == 1.0
    (board,) = leaderboard.boards(leaderboard.read([run.path]))
    assert {point["haystack"] for _, point in board.cells} == {"none"}  # no natural crop is ranked
    assert board.notes == (ONE_RECORDING,)
    with pytest.raises(NiahError, match="hold their own events: leave out --needle-count"):
        locate_events(open_scenes(WantedScenes(run.path)), EventOptions(needle_counts=(1, 3)))


@pytest.fixture(scope="module")
def run(annotations: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """An ear, one that is deaf after 50 s and one that hears 9.5 s, in crops and in silence."""
    faults: dict[str, dict[str, Any]] = {
        "ear": {},
        "deaf": {"deaf_after_s": 50.0},
        "beginning": {"hears_s": 9.5},
    }
    options: dict[str, Any] = {"haystack": ["own", "silence"], "lengths": [10, 30, 60]}
    folder = tmp_path_factory.mktemp("natural")
    return sweep(folder, annotations, faults, false_alarms=[60.0], **options)


@pytest.mark.slow
def test_natural_and_synthetic_scenes_unmask_the_same_taggers(run: RunDirectory) -> None:
    cells = run.cells()
    assert set(cells["status"]) == {"ok"}
    scores = {(s.curve.model, s.length_s): s for s in natural_scores(run, cells)}
    assert scores["ear", 10.0].labels == 1.0
    assert scores["ear", 60.0].labels > 1.5
    for length_s in (10.0, 30.0, 60.0):
        assert scores["ear", length_s].event[0] == 1.0
        assert scores["ear", length_s].every[0] == 1.0
    assert scores["deaf", 30.0].event[0] == 1.0
    assert scores["deaf", 60.0].event[0] == pytest.approx(
        scores["deaf", 60.0].event_chance, abs=0.2
    )
    assert scores["beginning", 30.0].event[0] < 0.95
    (each,) = agreements(run, cells)
    assert (each.scene, each.position, each.correlation.models) == ("silence", 0.5, 3)
    assert each.correlation.rho == pytest.approx(1.0)
    assert each.correlation.p == pytest.approx(1 / 3)
    assert len(natural_tables(run, cells)) == 2


@pytest.mark.slow
def test_false_alarms_are_of_stretches_without_the_class(run: RunDirectory) -> None:
    """16 stretches of 30 s share 8 minutes of sound; a class that is in a stretch raises no false alarm there."""
    rows = {(r.model, r.haystack, r.length_s): r for r in measure(run, run.cells(), [60.0])}
    ear = rows["ear", "own", 30.0]
    assert ear.hours == pytest.approx(8 / 60)
    assert ear.outcome == "resolved"
    assert ear.recall == 1.0
    free = run.read_scores(ear.needle_free_cell)
    assert free.excluded.any()
    assert not free.targets.any()


def test_rank_correlation_is_spearmans_with_an_exact_p_value() -> None:
    five, others = np.arange(5.0), np.array([5.0, 6.0, 7.0, 8.0, 7.0])  # with a tie
    assert spearman(five, others) == pytest.approx(0.8207826816681233)
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=6), rng.normal(size=6)
    drawn = a + 0.01 * rng.normal(size=(200, 6))
    same = rank_correlation(a, 2 * a, drawn, 2 * drawn)
    assert [same.rho, same.low, same.high] == pytest.approx([1.0, 1.0, 1.0])
    assert same.p == pytest.approx(2 / 720)
    assert np.isnan(rank_correlation(a, np.ones(6), drawn, np.ones((200, 6))).rho)
    of_one_recording = rank_correlation(a, 2 * a, np.tile(a, (9, 1)), np.tile(2 * a, (9, 1)))
    assert np.isnan([of_one_recording.low, of_one_recording.high]).all()
    many, none = np.arange(12.0), np.empty((0, 12))
    assert rank_correlation(many, many, none, none).p == pytest.approx(1 / 20_001)  # its own order
    with pytest.raises(NiahError, match="three models"):
        rank_correlation(a[:2], b[:2], drawn[:, :2], drawn[:, :2])


def test_models_whose_lengths_are_equal_have_no_correlation_and_no_p() -> None:
    nan = float("nan")
    lengths = dict.fromkeys("abc", (300.0, 300.0))
    made = [
        Agreement("zero", 0.5, RankCorrelation(nan, nan, nan, nan, 3), lengths),
        Agreement("zero", 0.5, RankCorrelation(1.0, nan, nan, 1 / 20_001, 9), lengths),
    ]
    table = agreement_table(made)
    assert table is not None
    assert [row[3:5] for row in table.rows] == [("all equal", ""), ("+1.00", "< 0.001")]
