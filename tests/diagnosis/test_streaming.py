"""`niah stream`: planted listeners through the real scenes, each fault in its own column; what is stored and shown."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from niah import run as run_sweep
from niah.diagnosis.run_scenes import WantedScenes, open_scenes
from niah.diagnosis.streaming import figure
from niah.diagnosis.streaming.figure import draw
from niah.diagnosis.streaming.listening import listen
from niah.diagnosis.streaming.measure import StreamOptions, stream
from niah.diagnosis.streaming.rows import FOLDER, StreamScores, read, read_curves
from niah.diagnosis.streaming.scores import HeardScenes, Sound, scores_at
from niah.diagnosis.streaming.table import stream_tables
from niah.errors import NiahError
from niah.scenes.lazy import Scene
from tests.diagnosis.test_events import steady_tones
from tests.helpers import planted, tiny
from tests.helpers.command_line import Niah
from tests.helpers.planted_streams import Listener

FAULTS: dict[str, dict[str, Any]] = {
    "fair": {},
    "late": {"late_s": 3.0},
    "flickers": {"flickers": True},
    "drifts": {"drift": 0.2},
    "hoards": {"hoards": True},
    "remembers": {"keeps_s": 6.0},
}
LENGTH_S, START_S = 40.0, 20.0  # the clip of 10 s begins at the hop that ends at 20 s


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streams")
    clips, weights = steady_tones(folder), planted.checkpoint(folder)
    cards = {}
    for name, fault in FAULTS.items():
        card = planted.card(folder / name, name, **fault)
        card.write_text(
            card.read_text().replace("planted:Planted", "planted_streams:PlantedStream")
        )
        cards[name] = str(card)
    run_sweep(
        models=cards["fair"],
        checkpoint=weights,
        needles=clips,
        haystack="silence",
        lengths=[10, LENGTH_S],
        positions=START_S / (LENGTH_S - 10.24),
        device="cpu",
        out=folder / "run",
    )
    for card_path in cards.values():
        stream(open_scenes(WantedScenes(folder / "run", models=(card_path,))), StreamOptions())
    return folder / "run"


@pytest.fixture(scope="module")
def rows(run: Path) -> dict[str, StreamScores]:
    return {row.model: row for row in read(run)}


def test_one_that_hears_at_once(rows: dict[str, StreamScores]) -> None:
    fair = rows["fair"]
    assert (fair.method, fair.outcome, fair.pairs, fair.repeats) == ("state", "one scene", 3, 1)
    assert fair.sound_s == pytest.approx(9.98)  # frames of 25 ms
    assert (fair.within_1, fair.answered, fair.early) == (1.0, 1.0, 0.0)
    assert fair.wait_s is not None
    assert fair.wait_s <= 1.0
    assert (fair.hold, fair.flips, fair.drift) == (1.0, 0.0, 0.0)
    assert fair.release_s is not None
    assert fair.release_s <= 2.1  # its own second, and what is left of the hop
    assert fair.state_growth == 1.0
    assert fair.state_bytes == 100 * 128 * 4
    assert fair.rtf > 1.0


def test_one_that_fires_after_3_s_is_unmasked_by_the_wait(rows: dict[str, StreamScores]) -> None:
    fair, late = rows["fair"], rows["late"]
    assert fair.wait_s is not None
    assert late.wait_s == pytest.approx(fair.wait_s + 3.0)
    assert (late.within_1, late.within_2, late.within_5) == (0.0, 0.0, 1.0)
    assert late.answered == 1.0
    assert late.flips == 0.0


def test_one_that_flickers_is_unmasked_by_flips(rows: dict[str, StreamScores]) -> None:
    flickers = rows["flickers"]
    assert flickers.flips is not None
    assert flickers.flips >= 7
    assert flickers.hold is not None
    assert 0.4 <= flickers.hold <= 0.6
    assert flickers.within_2 == 1.0  # and the wait hides it
    assert flickers.wobble is not None
    assert flickers.wobble > 5 * (rows["fair"].wobble or 0.1)


def test_one_that_drifts_is_unmasked_by_drift_and_its_threshold(
    rows: dict[str, StreamScores],
) -> None:
    drifts = rows["drifts"]
    assert drifts.drift == pytest.approx(0.2 * LENGTH_S / 3, rel=0.1)
    assert rows["fair"].answered == 1.0
    assert drifts.hold is not None
    assert drifts.hold < 0.7  # its own silence is louder by the end of the scene


def test_one_that_hoards_is_unmasked_by_the_growth_of_its_state(
    rows: dict[str, StreamScores],
) -> None:
    assert rows["hoards"].state_growth == pytest.approx(2.0, abs=0.1)
    assert rows["hoards"].state_bytes == LENGTH_S * 100 * 128 * 4
    assert rows["hoards"].answered == 1.0


def test_one_that_remembers_is_unmasked_by_the_release(rows: dict[str, StreamScores]) -> None:
    fair, remembers = rows["fair"], rows["remembers"]
    assert fair.release_s is not None
    assert remembers.release_s == pytest.approx(fair.release_s + 5.0, abs=1.01)
    assert remembers.hold == 1.0


def test_the_future_cannot_be_heard() -> None:
    """Two scenes that part at 20 s: the same logits until then, in every way of feeding."""
    scenes = torch.randn(2, 3000, 128, generator=torch.Generator().manual_seed(0))
    scenes[1, :2000] = scenes[0, :2000]
    fair = Listener(3)
    heard = [listen(fair, Scene.of_rows(rows), 130, 3) for rows in scenes]
    same = [float(end) <= 20.0 for end in heard[0].ends_s]
    np.testing.assert_array_equal((heard[0].logits == heard[1].logits).all(axis=1), same)
    assert heard[0].ends_s[-1] == 30.0
    assert sum(same) == 15

    class Whole(Listener):
        """Looks for the end of the scene, which it is never given."""

        def step(self, state: Any, x: Tensor) -> Any:
            assert x.shape == (1, 130, 128) or x.shape == (1, 10, 128)  # a hop, or what is left
            assert x.untyped_storage().nbytes() == x.nbytes  # and no view of more
            return super().step(state, x)

    listen(Whole(3), Scene.of_rows(scenes[0]), 130, 3)


def test_windows_of_any_model_and_a_long_sound(run: Path) -> None:
    options = StreamOptions(
        hop_s=2.0, method="windows", window_s=4.0, per_hour=(1.0, 10.0), repeats=(1, 3)
    )
    scenes = open_scenes(WantedScenes(run, models=(str(run.parent / "fair" / "fair.toml"),)))
    notes: list[str] = []
    stream(scenes, replace(options, repeats=(1, 3, 4)), notes.append)
    assert notes == ["model 'fair': left out as too short: --repeat 4: scenes of 40 s"]
    own = {(row.repeats, row.per_hour): row for row in read(run) if row.method == "windows"}
    assert set(own) == {(1, 1.0), (1, 10.0), (3, 1.0), (3, 10.0)}
    long = own[3, 1.0]
    assert long.sound_s == pytest.approx(3 * 9.98)
    assert (long.hold, long.flips, long.state_bytes) == (1.0, 0.0, 400 * 128 * 4)
    with pytest.raises(NiahError, match="long enough for --repeat"):
        stream(scenes, replace(options, repeats=(4,)))
    with pytest.raises(NiahError, match="--window is for --method windows"):
        stream(scenes, replace(options, method="state"))


def test_a_second_call_measures_nothing_and_a_damaged_cell_is_named(run: Path) -> None:
    files = sorted((run / FOLDER).iterdir())
    before = {file.name: file.stat().st_mtime_ns for file in files}
    stream(open_scenes(WantedScenes(run)), StreamOptions())
    assert {file.name: file.stat().st_mtime_ns for file in (run / FOLDER).iterdir()} == before
    whole = files[0].read_text()
    content = json.loads(whole)
    content["scores"][0]["within_1"] = "soon"
    for text in (json.dumps(content), whole[:100], "[]"):
        files[0].write_text(text)
        with pytest.raises(NiahError, match=f"{files[0].name}.*"):
            read(run)
    files[0].write_text(whole)


def test_other_rates_and_fewer_clips_beside_what_is_stored(run: Path, tmp_path: Path) -> None:
    """One row a rate, whatever it was asked for with; rows and lines of other numbers of scenes tell so."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    card = (str(run.parent / "fair" / "fair.toml"),)
    fair = [row for row in read(copy) if row.model == "fair" and row.method == "state"]
    stream(open_scenes(WantedScenes(copy, models=card)), StreamOptions(per_hour=(5.0, 10.0)))
    more = [row for row in read(copy) if row.model == "fair" and row.method == "state"]
    assert {row.per_hour for row in more} == {5.0, 10.0}
    assert len(more) == 2 * len(fair)
    stream(open_scenes(WantedScenes(copy, models=card, limit=2)), StreamOptions())
    answers, _ = stream_tables([row for row in read(copy) if row.per_hour == 10.0])
    sounds = {row[5] for row in answers.rows if row[:2] == ("fair", "1 s, state")}
    assert sounds == {f"10.0 s, {fair[0].scenes} scenes", "10.0 s, 2 scenes"}
    points = [p for p in read_curves(copy) if p.model == "fair" and p.method == "state"]
    (drawn,) = draw(points, tmp_path)
    assert "2 scenes, at 10 false alarms/h: " in drawn.alt
    assert len({point.curve for point in points}) == 3


def test_streams_are_measured_again_where_the_card_of_a_haystack_names_other_labels(
    run: Path, tmp_path: Path
) -> None:
    """Pairs of labels that the card lists since went on to count here, while every other table left them out."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (before,) = (row for row in read(copy) if row.model == "fair" and row.method == "state")
    edited = json.loads((copy / "run.json").read_text())
    edited["haystacks"]["silence"]["contains"] = [tiny.IDS[0]]
    (copy / "run.json").write_text(json.dumps(edited))
    wanted = WantedScenes(copy, models=(str(run.parent / "fair" / "fair.toml"),))
    stream(open_scenes(wanted), StreamOptions())
    (row,) = (row for row in read(copy) if row.model == "fair" and row.method == "state")
    assert row.pairs < before.pairs


def test_a_score_is_drawn_once_and_a_decision_for_each_rate(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canvases: list[Any] = []
    monkeypatch.setattr(figure, "save", lambda canvas, *_: canvases.append(canvas))
    fair = [p for p in read_curves(run) if p.model == "fair" and p.method == "state"]
    draw([*fair, *(replace(point, per_hour=100.0, above=0.5) for point in fair)], tmp_path)
    draw([replace(point, above=None) for point in fair], tmp_path)

    def curves(panel: Any) -> list[Any]:
        return [line for line in panel.lines if len(line.get_xdata()) > 2]

    score, decision = canvases[0].axes
    assert len(curves(score)) == 1
    assert len({line.get_linestyle() for line in curves(decision)}) == 2
    assert len({line.get_color() for line in curves(decision)}) == 1
    entries = [text.get_text() for text in canvases[0].legends[0].get_texts()]
    assert entries[1:] == ["at 10 false alarms/h", "at 100 false alarms/h"]
    assert [text.get_text() for text in canvases[1].axes[1].texts] == [figure.NO_THRESHOLDS]


def test_tables_figure_and_csv(run: Path, tmp_path: Path) -> None:
    stored = read(run)
    answers, cost = stream_tables(stored)
    assert len(answers.rows) == len(stored)
    assert {row[0] for row in cost.rows} == set(FAULTS)
    two = [point for point in read_curves(run) if point.model in ("fair", "late")]
    (drawn,) = draw(two, tmp_path)
    assert drawn.file.name == "stream-silence.png"
    assert "late" in drawn.alt
    for name in ("streams.csv", "stream_curves.csv"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    assert read(tmp_path) == stored  # as a published run has them
    assert read_curves(tmp_path) == read_curves(run)
    fair = [p for p in read_curves(run) if p.model == "fair" and p.method == "state"]
    by_time = {p.since: p.above for p in fair}
    assert (by_time[-0.5], by_time[1.5], by_time[8.5], by_time[12.5]) == (0.0, 1.0, 1.0, 0.0)


def test_too_few_hours_have_costs_and_no_answers() -> None:
    heard = listen(Listener(3), Scene.of_rows(torch.zeros(3000, 128)), 100, 3)
    scenes = HeardScenes(
        [heard] * 2, [heard] * 2, [[Sound(0, 10.0, 20.0)]] * 2, ["a", "b"], 1.0, False
    )
    fields = scores_at(scenes, 10.0)
    assert fields["outcome"] == "too few hours"
    assert fields["more_hours"] == pytest.approx(0.369 - 60 / 3600, abs=1e-3)
    assert fields["answered"] is None
    assert fields["compute_s"] > 0
    assert scores_at(scenes, 1000.0)["outcome"] == "resolved"


def test_the_command(run: Path, niah: Niah) -> None:
    (run / FOLDER).rename(run.parent / FOLDER)
    done = niah("stream", run, "--hop", "2", "--limit", "2")
    assert done.status == 0, done.stderr
    assert "Streaming, answers" in done.stdout
    assert "stream-silence.png" in done.stdout
    assert [row.hop_s for row in read(run)] == [2.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hop_s": 0.0}, "--hop must be 0.01"),
        ({"hop_s": 0.125}, "hundredths"),
        ({"method": "occlusion"}, "--method"),
        ({"window_s": -1.0}, "--window"),
        ({"per_hour": (0.0,)}, "--false-alarms"),
        ({"repeats": (0,)}, "--repeat"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(NiahError, match=message):
        StreamOptions(**options)


def test_run_refuses_a_wrong_stream_before_it_begins(niah: Niah, tmp_path: Path) -> None:
    refused = niah("run", "--stream", "0", "--out", tmp_path / "run").refusal()
    assert refused.startswith("--hop must be 0.01 to 3600 s")
    refused = niah("run", "--stream", "1", "--shard", "1/2", "--out", tmp_path / "run").refusal()
    assert refused.startswith("--stream is for one process")
    assert not (tmp_path / "run").exists()


def test_a_rate_counts_once_in_any_order() -> None:
    assert StreamOptions(per_hour=(100.0, 10.0, 100.0)) == StreamOptions(per_hour=(10.0, 100.0))
