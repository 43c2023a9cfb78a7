"""The sweep, end to end on a tiny tagger: truths, resuming and amending, kills, and what is not a score."""

import hashlib
import json
import random
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

import niah
from niah import audio
from niah.errors import NiahError
from niah.frontends.kaldi import KaldiFrontend
from niah.records.run_directory import RunDirectory
from niah.records.schema import CELL_COLUMNS
from niah.sweep.evaluator import ModelEvaluator
from niah.sweep.loop import sweep
from niah.sweep.options import RunOptions
from niah.sweep.plan import plan
from niah.sweep.setup import EvalSetup
from tests.helpers import tiny
from tests.helpers.preloaded import Preloaded, Process

VARYING = ["latency_s", "rtf", "peak_memory_bytes"]  # what no two runs have in common


@dataclass(frozen=True)
class Material:
    """What a run is asked for."""

    folder: Path
    card: Path
    weights: Path
    clips: Path

    def options(self, out: Path, **given: Any) -> dict[str, Any]:
        return {
            "models": str(self.card),
            "checkpoint": str(self.weights),
            "needles": str(self.clips),
            "haystack": ["zero", "gaussian"],
            "lengths": [10, 12, 20],
            "protocol": "dass-v1",
            "device": "cpu",
            "out": out,
            **given,
        }

    def run(
        self, out: Path, **given: Any
    ) -> Any:  # a table; the types of pandas' look-ups are in the way
        return niah.run(**self.options(out, **given))


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("material")
    return Material(folder, tiny.card(folder), tiny.checkpoint(folder), tiny.manifest(folder))


@pytest.fixture(scope="module")
def done(material: Material) -> Path:
    """A finished run; tests that change it copy it first."""
    out = material.folder / "done"
    material.run(out)
    return out


def state_of(run: Path) -> dict[str, tuple[int, bytes]]:
    """Time and content of every file that a cell has."""
    files = [*run.glob("cells/*.json"), *run.glob("scores/*.parquet")]
    return {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


def cells_of(run: Path) -> pd.DataFrame:
    return pd.read_csv(run / "cells.csv").drop(columns=VARYING)


def average_precisions(targets: NDArray[Any], scores: NDArray[Any]) -> list[float]:
    return [
        float(average_precision_score(targets[:, c], scores[:, c]))
        for c in range(targets.shape[1])
        if targets[:, c].any()
    ]


# --- truths


def test_the_ten_second_cell_is_a_plain_evaluation(material: Material, done: Path) -> None:
    adapter = niah.load_model(material.card, checkpoint=material.weights)
    rows = pd.read_csv(material.clips)
    scores, targets = [], []
    for path, label in zip(rows["path"], rows["labels"], strict=True):
        samples = audio.load(material.clips.parent / path, adapter.sample_rate).samples
        frames = adapter.frontend(torch.from_numpy(samples)[None])
        raw = adapter.frontend.normalise(torch.zeros(1, 1024 - frames.shape[1], 128))
        scores.append(adapter.logits(torch.cat([frames, raw], dim=1))[0].numpy())
        targets.append([id_ == label for id_ in tiny.IDS])
    expected = np.mean(average_precisions(np.array(targets), np.array(scores)))
    base: Any = pd.read_csv(done / "cells.csv").set_index("length_s").loc[10.0]
    assert base["mAP"] == pytest.approx(expected, abs=1e-12)
    assert base["mAP"] == base["base_mAP"]
    assert base["drop"] == 0
    assert base["relative"] == 1
    stored = RunDirectory(done).read_scores(base["cell"])
    order = [list(rows["path"]).index(f"{id_}.wav") for id_ in stored.ids]
    np.testing.assert_allclose(stored.logits, np.array(scores)[order], atol=5e-3)


def test_every_cell_is_scikit_learns_of_its_stored_scores(done: Path) -> None:
    table: Any = pd.read_csv(done / "cells.csv")
    assert len(table) == 5
    for row in table.itertuples():
        stored = RunDirectory(done).read_scores(str(row.cell))
        expected = np.mean(average_precisions(stored.targets, stored.logits))
        assert row.mAP == pytest.approx(expected, abs=1e-12)
        assert row.drop == pytest.approx(1 - row.mAP / row.base_mAP)
        assert row.mAP_lo <= row.mAP <= row.mAP_hi


def test_batches_do_not_change_scores(material: Material, done: Path) -> None:
    out = material.folder / "batches"
    by_four = material.run(out, batch_size=4)
    assert set(by_four["batch_size"]) == {4}
    assert set(by_four["cell"]) == set(cells_of(done)["cell"])  # a batch is no determinant
    for cell in by_four["cell"]:
        one, four = (RunDirectory(run).read_scores(cell) for run in (done, out))
        assert one.ids == four.ids
        np.testing.assert_allclose(one.probabilities, four.probabilities, atol=1e-3)


def test_the_sliding_window_is_the_largest_score_over_windows(material: Material) -> None:
    out = material.folder / "window"
    table = material.run(out, window=10, haystack="zero", lengths=[10, 20])
    assert set(table["window_s"]) == {10.0}
    assert set(table["kernel"]) == {"torch"}
    assert set(table["window_pool"]) == {"max"}
    plain = niah.load_model(material.card, checkpoint=material.weights)
    sound = audio.load(material.clips.parent / "clip00.wav", 16000).samples
    needle = plain.frontend(torch.from_numpy(sound)[None])
    needle = torch.cat([needle, plain.frontend.normalise(torch.zeros(1, 26, 128))], dim=1)
    scene = torch.cat([torch.zeros(1, 976, 128), needle], dim=1)  # int(2000 / 2) overruns: the end
    windows = torch.cat([plain.logits(scene[:, s : s + 1024]) for s in (0, 512, 976)])
    row = table.set_index("length_s").loc[20.0]
    stored = RunDirectory(out).read_scores(row["cell"])
    expected = torch.sigmoid(windows.amax(dim=0)).numpy()
    np.testing.assert_allclose(
        stored.probabilities[stored.ids.index("clip00")], expected, atol=1e-3
    )


# --- what a run holds


def test_run_returns_the_table(done: Path, material: Material) -> None:
    table = material.run(done)
    assert isinstance(table, pd.DataFrame)
    assert list(table.columns)[: len(CELL_COLUMNS)] == list(CELL_COLUMNS)
    assert set(table["status"]) == {"ok"}
    pd.testing.assert_series_equal(
        table["mAP"], pd.read_csv(done / "cells.csv")["mAP"], check_dtype=False
    )


def test_columns_of_cells_csv_are_the_contracts(done: Path) -> None:
    header = (
        "cell,model,checkpoint_sha256,protocol,needles,n_clips,haystack,snr_db,length_s,frames,"
        "position,window_s,seed,status,mAP,mAP_lo,mAP_hi,auc,d_prime,base_mAP,chance_mAP,relative,"
        "drop,drop_lo,drop_hi,classes_scored,latency_s,rtf,peak_memory_bytes,batch_size,device,"
        "dtype,kernel,niah_version,error"
    )
    further = ",noise_base_mAP,relative_noise_base,adjusted,adjusted_lo,adjusted_hi,scores_sha256"
    assert (done / "cells.csv").read_text().splitlines()[0] == header + further


def test_rows_tell_what_was_done(done: Path, material: Material) -> None:
    table: Any = pd.read_csv(done / "cells.csv").set_index(["haystack", "length_s"])
    assert set(table.index) == {
        ("none", 10.0),
        ("zero", 12.0),
        ("zero", 20.0),
        ("gaussian", 12.0),
        ("gaussian", 20.0),
    }
    row = table.loc[("gaussian", 20.0)]
    assert (row["model"], row["protocol"], row["n_clips"]) == ("tiny", "dass-v1", 6)
    assert (row["snr_db"], row["position"], row["frames"]) == (10.0, 0.5, 2000)
    assert row["checkpoint_sha256"] == hashlib.sha256(material.weights.read_bytes()).hexdigest()
    assert row["rtf"] == pytest.approx(20 / row["latency_s"])
    assert row["peak_memory_bytes"] > 1e6
    assert np.isnan(table.loc[("none", 10.0), "snr_db"])
    assert table.loc[("none", 10.0), "frames"] == 1024


def test_scores_are_readable_by_pandas(done: Path) -> None:
    files = list((done / "scores").glob("*.parquet"))
    assert len(files) == len(cells_of(done))
    for file in files:
        scores = pd.read_parquet(file)
        assert list(scores.columns) == ["id", "labels", "logits"]
        assert sorted(scores["id"]) == [f"clip{index:02d}" for index in range(6)]
        assert {label for labels in scores["labels"] for label in labels} == set(tiny.IDS)
        matrix = np.stack(list(scores["logits"]))
        assert matrix.dtype == np.float16
        assert matrix.shape == (6, 3)
        assert np.isfinite(matrix).all()


def test_run_json_says_how_it_was_made(done: Path, material: Material) -> None:
    told = json.loads((done / "run.json").read_text())
    assert told["arguments"]["lengths_s"] == [10.0, 12.0, 20.0]
    assert told["identity"]["protocol"] == "dass-v1"
    assert told["identity"]["seed"] == 0
    assert len(told["identity"]["ids_sha256"]) == 64
    assert told["models"]["tiny"]["random"] is False
    assert told["models"]["tiny"]["checkpoint"] == material.weights.name
    assert len(told["models"]["tiny"]["checkpoint_sha256"]) == 64
    assert {"python", "torch", "numpy"} <= set(told["versions"])
    assert {"cores", "device", "processor"} <= set(told["hardware"])
    assert told["excluded_clips"] == []
    assert {"git", "niah_version", "needles"} <= set(told)


def test_random_weights_report_no_accuracy(done: Path, material: Material) -> None:
    """Not even in a run that has the same model with trained weights."""
    out = copied(done)
    table = material.run(out, checkpoint="random", haystack="zero", lengths=[10, 20])
    by_model = table.groupby("model")["mAP"].count()
    assert dict(by_model) == {"tiny": 5, "tiny:random": 0}
    assert (table.loc[table["model"] == "tiny:random", "latency_s"] > 0).all()
    assert json.loads((out / "run.json").read_text())["models"]["tiny:random"]["random"] is True
    pd.testing.assert_frame_equal(
        cells_of(done),
        cells_of(out).query("model == 'tiny'").reset_index(drop=True),
        check_dtype=False,  # a column with a gap is read as float
    )


# --- resuming and amending


def copied(run: Path) -> Path:
    """A copy of a run, its files' times kept."""
    import shutil
    import tempfile

    out = Path(tempfile.mkdtemp(dir=run.parent)) / "run"
    shutil.copytree(run, out)
    return out


def test_the_same_command_again_does_nothing_new(done: Path, material: Material) -> None:
    out = copied(done)
    before = state_of(out)
    material.run(out)
    assert state_of(out) == before


def test_more_lengths_and_models_keep_what_is_there(done: Path, material: Material) -> None:
    out = copied(done)
    before = state_of(out)
    table = material.run(out, lengths=[10, 12, 20, 30])
    assert set(table["length_s"]) == {10.0, 12.0, 20.0, 30.0}
    other = tiny.checkpoint(material.folder, seed=1)
    table = material.run(out, checkpoint=str(other), haystack="zero")
    assert table["checkpoint_sha256"].nunique() == 2
    after = state_of(out)
    assert {name: after[name] for name in before} == before
    assert len(table) == 5 + 2 + 3


def test_a_run_in_another_order_is_the_same(done: Path, material: Material) -> None:
    out = material.folder / "another-order"
    material.run(out, lengths=[20], haystack="gaussian")
    material.run(out, lengths=[12], haystack=["gaussian", "zero"])
    material.run(out)
    pd.testing.assert_frame_equal(cells_of(out), cells_of(done))


def test_the_committed_default_run_would_be_resumed_whole() -> None:
    """The keys of `results/embedded` are what `dass-v1` computes now: none of its cells would be made again."""
    committed = pd.read_csv(tiny.REPOSITORY / "results" / "embedded" / "cells.csv")
    options = RunOptions(protocol="dass-v1")
    setup = EvalSetup(options)
    keys = set()
    for loaded in setup.loaded():
        model = ModelEvaluator(options, loaded, setup.device)
        keys |= {model.key(cell) for cell in plan(options, [loaded.name])}
    assert keys == set(committed["cell"])


def test_damaged_scores_are_made_again(done: Path, material: Material) -> None:
    out = copied(done)
    victim = sorted((out / "scores").glob("*.parquet"))[0]
    victim.write_bytes(victim.read_bytes()[:100])
    material.run(out)
    pd.testing.assert_frame_equal(cells_of(out), cells_of(done))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"protocol": "niah-v2"}, "protocol is dass-v1 there, niah-v2.1 now"),
        ({"seed": 1}, "seed is 0 there, 1 now"),
        ({"limit": 3}, r"holds another run \(other clips: 6 there, 3 now\)"),
        ({"noise_seed": 1}, "noise_seed is absent there, 1 now"),
    ],
)
def test_another_run_does_not_go_in_the_same_folder(
    done: Path, material: Material, given: dict[str, Any], told: str
) -> None:
    before = state_of(done)
    run_json = (done / "run.json").read_bytes()
    with pytest.raises(NiahError, match=told):
        material.run(done, **given)
    assert state_of(done) == before
    assert (done / "run.json").read_bytes() == run_json


def test_another_sound_under_the_same_name_is_refused(tmp_path: Path, material: Material) -> None:
    """The ids of the clips are the same: it is their content that the run's numbers rest on."""
    clips = tiny.manifest(tmp_path / "clips", clips=3)
    given = {"needles": clips, "haystack": "zero", "lengths": [10]}
    material.run(tmp_path / "out", **given)
    before = state_of(tmp_path / "out")
    run_json = json.loads((tmp_path / "out" / "run.json").read_text())
    soundfile.write(tmp_path / "clips" / "clip01.wav", tiny.tone(7), tiny.SAMPLE_RATE)
    with pytest.raises(NiahError, match="the sound or the labels of its clips have changed since"):
        material.run(tmp_path / "out", **given)
    assert state_of(tmp_path / "out") == before
    identity = run_json["identity"]
    assert identity["content_sha256"] == run_json["needles"]["content_sha256"]
    del identity["content_sha256"]  # a run of before there was a hash is taken up by its ids
    (tmp_path / "out" / "run.json").write_text(json.dumps(run_json))
    material.run(tmp_path / "out", **given)


def test_other_labels_under_the_same_names_are_refused(tmp_path: Path, material: Material) -> None:
    clips = tiny.manifest(tmp_path / "clips", clips=3)
    given = {"needles": clips, "haystack": "zero", "lengths": [10]}
    material.run(tmp_path / "out", **given)
    before = state_of(tmp_path / "out")
    original = clips.read_text()
    for label in tiny.IDS[1:]:  # of these some move the clips in their order, and some do not
        clips.write_text(original.replace(f"clip00.wav,{tiny.IDS[0]}", f"clip00.wav,{label}"))
        with pytest.raises(
            NiahError,
            match=r"holds another run .*(labels of its clips have changed|other labels of them)",
        ):
            material.run(tmp_path / "out", **given)
    with pytest.raises(NiahError, match="other clips: 3 there, 2 now"):
        material.run(tmp_path / "out", **given, limit=2)
    assert state_of(tmp_path / "out") == before


@pytest.mark.parametrize("at_once", [True, False])
def test_haystacks_of_one_file_name_are_rows_of_their_own(
    tmp_path: Path, material: Material, at_once: bool
) -> None:
    rng = np.random.default_rng(0)
    recordings = []
    for name, rate in (("a/street.wav", 16000), ("b/street.flac", 8000), ("b/street.wav", 8000)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, 0.1 * rng.standard_normal(2 * rate), rate)
        recordings.append(str(tmp_path / name))
    out = tmp_path / "out"
    for recording in [recordings] if at_once else recordings:
        material.run(out, haystack=recording, lengths=[12], limit=3)
    table = pd.read_csv(out / "cells.csv").query("length_s == 12")
    names = sorted(table["haystack"])
    assert len(set(names)) == 3
    assert names[0] == ("a/street" if at_once else "b/street")
    assert names[-1].startswith("street")
    before = state_of(out)
    material.run(out, haystack=recordings[::-1], lengths=[12], limit=3)  # all are there already
    assert state_of(out) == before
    for recording in recordings:  # a run alone has the plain name, and the same scores
        alone = material.run(
            tmp_path / recording.replace("/", "-"), haystack=recording, lengths=[12], limit=3
        )
        row = alone.query("length_s == 12").iloc[0]
        assert row["haystack"] == "street"
        assert row["mAP"] in list(table["mAP"])


def test_a_haystack_changed_under_its_name_is_measured_again(
    tmp_path: Path, material: Material
) -> None:
    file = tmp_path / "street.wav"
    names = []
    for seed in (0, 1):
        noise = 0.1 * np.random.default_rng(seed).standard_normal(32000)
        soundfile.write(file, noise, 16000)
        table = material.run(tmp_path / "out", haystack=str(file), lengths=[12], limit=3)
        names.append(set(table["haystack"]) - {"none"})
    assert names[0] == {"street"}
    assert len(names[1]) == 2


def test_the_part_that_is_hidden_is_of_the_runs_identity(
    tmp_path: Path, material: Material
) -> None:
    clips = tiny.manifest(tmp_path / "clips", clips=3)
    soundfile.write(tmp_path / "clips" / "clip01.wav", tiny.tone(1, seconds=14), tiny.SAMPLE_RATE)
    given = {"needles": clips, "haystack": "gaussian", "lengths": [12]}
    first = material.run(tmp_path / "first", **given)
    centre = material.run(tmp_path / "centre", **given, needle_part="centre")
    assert not set(first["cell"]) & set(centre["cell"])
    content = {
        name: json.loads((tmp_path / name / "run.json").read_text()) for name in ("first", "centre")
    }
    assert "needle_part" not in content["first"]["identity"]
    assert content["centre"]["identity"]["needle_part"] == "centre"
    noted = [any("over the whole clip" in n for n in each["notes"]) for each in content.values()]
    assert noted == [True, False]
    with pytest.raises(NiahError, match="needle_part is "):
        material.run(tmp_path / "first", **given, needle_part="centre")


def test_the_seed_of_noise_is_apart_from_the_choice_of_clips(
    tmp_path: Path, material: Material
) -> None:
    first = material.run(tmp_path / "a", haystack="gaussian", lengths=[12], limit=4)
    other = material.run(tmp_path / "b", haystack="gaussian", lengths=[12], limit=4, noise_seed=3)
    identities = [
        json.loads((tmp_path / name / "run.json").read_text())["identity"] for name in ("a", "b")
    ]
    assert "noise_seed" not in identities[0]
    assert identities[1].pop("noise_seed") == 3
    assert identities[0] == identities[1]
    ids = [set(table["cell"]) for table in (first, other)]
    assert len(ids[0] & ids[1]) == 1  # the needle alone knows no noise
    noisy = [
        RunDirectory(tmp_path / name).read_scores(table.query("length_s == 12")["cell"].iloc[0])
        for name, table in (("a", first), ("b", other))
    ]
    assert noisy[0].ids == noisy[1].ids
    assert (noisy[0].logits != noisy[1].logits).any(axis=1).all()


def test_the_same_clips_in_another_order_have_one_hash(tmp_path: Path, material: Material) -> None:
    needles = []
    for seed in (0, 2):
        material.run(tmp_path / str(seed), haystack="zero", lengths=[10], seed=seed)
        needles.append(json.loads((tmp_path / str(seed) / "run.json").read_text()))
    identities = [each["identity"] for each in needles]
    assert identities[0]["ids_sha256"] != identities[1]["ids_sha256"]
    assert needles[0]["needles"] == needles[1]["needles"]
    assert len(needles[0]["needles"]["clips_sha256"]) == 64


def test_an_unknown_option_of_run_is_named() -> None:
    with pytest.raises(NiahError, match="no option lenghts"):
        niah.run(lenghts=[10])  # type: ignore[call-arg]


# --- what is wrong with a model is found before anything is measured


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"dtype": "float8"}, "unknown dtype 'float8'"),
        ({"device": "tpu9"}, "unknown device|not on this machine"),
        ({"checkpoint": "nowhere.pth"}, "nowhere.pth not found"),
        ({"haystack": ["zero", "silence"]}, "'silence' is not part of dass-v1"),
        ({"level": "mix"}, "--level is not part of dass-v1"),
        ({"level": "mux"}, "--level 'mux': unknown"),
    ],
)
def test_nothing_is_written_for_what_cannot_run(
    material: Material, tmp_path: Path, given: dict[str, Any], told: str
) -> None:
    with pytest.raises(NiahError, match=told):
        material.run(tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


def test_a_model_that_does_not_load_is_told_before_the_first_is_measured(
    material: Material, tmp_path: Path
) -> None:
    wide = tiny.card(material.folder / "wide", "wide", hidden=32)
    (tmp_path / material.weights.name).write_bytes(material.weights.read_bytes())
    weights = f'[weights.own]\nfile = "{material.weights.name}"\n'
    for path in (material.card, wide):
        (tmp_path / path.name).write_text(path.read_text() + "\n" + weights)
    (tmp_path / "labels.csv").write_text((material.folder / "labels.csv").read_text())
    cards = [str(tmp_path / path.name) for path in (material.card, wide)]
    with pytest.raises(NiahError, match=r"does not fit.*hidden.weight is \(16, 128\), not \(32"):
        material.run(tmp_path / "out", models=cards, checkpoint=None)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fault", ["raises", "nan"])
def test_one_bad_cell_is_a_row_and_the_run_goes_on(
    fault: str, material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception of the adapter's own, or NaN, at 12 s alone: 10 s and 20 s are scored, the row says where."""
    logits = tiny.TinyTagger.logits

    def faulty(self: tiny.TinyTagger, features: Any) -> Any:
        if features.shape[1] != 1200:
            return logits(self, features)
        if fault == "raises":
            raise KeyError("no such state")
        return logits(self, features) * float("nan")

    monkeypatch.setattr(tiny.TinyTagger, "logits", faulty)
    notes: list[str] = []
    options = {**material.options(tmp_path / "out"), "models": (str(material.card),)}
    table = sweep(
        RunOptions(
            models=options["models"],
            checkpoint=options["checkpoint"],
            needles=options["needles"],
            haystacks=("zero",),
            lengths_s=(10.0, 12.0, 20.0),
            device="cpu",
            out=options["out"],
        ),
        notes.append,
    )
    status = dict(zip(table["length_s"], table["status"], strict=True))
    assert status == {10.0: "ok", 12.0: "error", 20.0: "ok"}
    (reason,) = table.loc[table["length_s"] == 12, "error"]
    told = "KeyError: 'no such state' (test_sweep.py, line" if fault == "raises" else "NaN"
    assert told in reason
    assert any(reason in note for note in notes)
    assert table.loc[table["length_s"] == 20, "mAP"].notna().all()


def test_a_haystack_that_one_model_cannot_play_stops_neither(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A front end without a mean log-mel has no zeros: error rows that name why, the rest is scored."""
    monkeypatch.setattr(KaldiFrontend, "zero_row", ())
    with pytest.raises(NiahError, match=r"model 'tiny': haystack 'zero' is the data set's mean"):
        material.run(tmp_path / "zero", haystack="zero")
    assert not (tmp_path / "zero").exists()
    table = material.run(tmp_path / "both", lengths=[10, 12])
    by = {(h, s): status for h, s, status in table[["haystack", "length_s", "status"]].values}
    assert by == {("none", 10.0): "ok", ("zero", 12.0): "error", ("gaussian", 12.0): "ok"}
    notes = json.loads((tmp_path / "both" / "run.json").read_text())["notes"]
    assert any(note.startswith("model 'tiny': haystack 'zero'") for note in notes)


def test_an_adapter_that_refuses_a_length_is_a_row_with_the_reason(
    material: Material, tmp_path: Path
) -> None:
    short = tiny.card(tmp_path, "short", longest=1500)
    table = material.run(tmp_path / "out", models=str(short)).set_index(["haystack", "length_s"])
    assert table.loc[("zero", 12.0), "status"] == "ok"
    row = table.loc[("zero", 20.0)]
    assert row["status"] == "error"
    assert row["error"] == "this tagger takes at most 1500 frames"
    assert pd.isna(row["mAP"])


# --- kills: a subprocess, ended at a moment that a seed chooses


def command(
    material: Material, card: Path, out: Path, lengths: str = "10,12,14,16,20"
) -> list[str]:
    return [
        *("run", "--model", str(card)),
        *("--checkpoint", str(material.weights), "--needles", str(material.clips)),
        *("--haystack", "zero", "--haystack", "gaussian", "--lengths", lengths),
        *("--protocol", "dass-v1"),  # as `Material.options`
        *("--device", "cpu", "--out", str(out)),
    ]


def wait_for(condition: Any, process: Process, patience_s: float = 300.0) -> None:
    begin = time.monotonic()
    while not condition():
        if process.poll() is not None:
            raise AssertionError(f"ended early: {process.communicate()}")
        if time.monotonic() - begin > patience_s:
            raise AssertionError("waited too long")
        time.sleep(0.01)


def killed_then_finished(material: Material, preloaded: Preloaded, folder: Path, seed: int) -> None:
    """Kill a run some while after it has made its folder, finish it, compare with one in peace."""
    slow = tiny.card(folder, delay_s=0.02)
    out, quiet = folder / "killed", folder / "quiet"
    process = preloaded.niah(*command(material, slow, out))
    wait_for((out / "cells.csv").exists, process)
    time.sleep(random.Random(seed).uniform(0.0, 2.0))
    process.kill()
    process.communicate()
    given = {"models": str(slow), "lengths": [10, 12, 14, 16, 20]}
    kept = state_of(out)
    material.run(out, **given)
    material.run(quiet, **given)
    pd.testing.assert_frame_equal(cells_of(out), cells_of(quiet))
    after = state_of(out)
    for name, content in kept.items():
        if name.endswith(".parquet"):
            assert after[name][1] == content[1]
    assert not [file for file in out.rglob("*") if file.name.endswith(".tmp")]


def test_kill_9_loses_at_most_the_cell_in_work(
    material: Material, preloaded: Preloaded, tmp_path: Path
) -> None:
    killed_then_finished(material, preloaded, tmp_path, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 9))
def test_kill_9_at_other_moments(
    material: Material, preloaded: Preloaded, tmp_path: Path, seed: int
) -> None:
    killed_then_finished(material, preloaded, tmp_path, seed)


def test_control_c_is_one_line_and_130(
    material: Material, preloaded: Preloaded, tmp_path: Path
) -> None:
    slow = tiny.card(tmp_path, delay_s=0.3)
    out = tmp_path / "out"
    process = preloaded.niah(*command(material, slow, out))
    wait_for(lambda: any((out / "cells").glob("*.json")), process)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 130
    assert stderr.strip() == ("niah: interrupted; the same command goes on from what is finished")
    assert stdout == ""
    rows = pd.read_csv(out / "cells.csv")
    assert 1 <= len(rows) < 9
    assert rows["mAP"].notna().all()


OUT_OF_MEMORY = """
import resource
import niah.cli
lines = open("/proc/self/status").read().splitlines()
size = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmSize"))
resource.setrlimit(resource.RLIMIT_AS, (size + 700 * 2**20,) * 2)
niah.cli.main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS holds on Linux alone")
def test_running_out_of_memory_is_a_result(
    material: Material, preloaded: Preloaded, tmp_path: Path
) -> None:
    """A real one: at 2000 s the wide tagger's hidden layer takes 3 GB where 0.7 GB are free."""
    wide = tiny.card(tmp_path, "wide", hidden=4096)
    narrow = tiny.card(tmp_path, "narrow", hidden=2)
    for name, width in (("wide", 4096), ("narrow", 2)):
        weights = tiny.checkpoint(tmp_path, hidden=width)
        with (tmp_path / f"{name}.toml").open("a") as file:
            file.write(f'\n[weights.own]\nfile = "{weights.name}"\n')
    out = tmp_path / "out"
    arguments = ["run", "--model", str(wide), "--model", str(narrow), "--haystack", "zero"]
    arguments += ["--needles", str(material.clips), "--lengths", "10,2000", "--limit", "3"]
    process = preloaded.start(OUT_OF_MEMORY, *arguments, "--out", out)
    stdout, stderr = process.communicate(timeout=500)
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr
    assert stderr.splitlines() == [
        "note: wide, zero, 2000 s, position 0.5: oom: out of memory",
    ]
    assert "report" in stdout
    table: Any = pd.read_csv(out / "cells.csv").set_index(["model", "length_s"])
    assert dict(table["status"]) == {
        ("wide", 10.0): "ok",
        ("wide", 2000.0): "oom",
        ("narrow", 10.0): "ok",
        ("narrow", 2000.0): "ok",
    }
    assert np.isnan(table.loc[("wide", 2000.0), "mAP"])
    assert table.loc[("wide", 2000.0), "error"] == "out of memory"
