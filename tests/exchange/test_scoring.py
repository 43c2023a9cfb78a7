"""`niah score`: a waveform model through files and predictions is the same model run by niah."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from niah.compare.paired import compare
from niah.errors import NiahError
from niah.exchange.scoring import score_predictions
from niah.pages.leaderboard import boards, read
from niah.records.run_directory import RunDirectory
from tests.exchange.conftest import PLAN, Material, answers_of
from tests.helpers import tiny
from tests.helpers.waveform_tagger import by_pitch

PLACE = ["haystack", "snr_db", "length_s", "position", "control"]


@pytest.fixture(scope="module")
def answers(scenes: Path) -> pd.DataFrame:
    return answers_of(scenes)


@pytest.fixture(scope="module")
def run(material: Material) -> Path:
    """The run by niah of the same plan."""
    material.run("run", by_pitch)
    return material.folder / "run"


def scored(
    scenes: Path, answers: pd.DataFrame, out: Path, model: str = "files", **given: Any
) -> Any:
    file = out.parent / f"{out.name}-{model}.csv"
    answers.to_csv(file, index=False)
    return score_predictions(scenes, file, model, out, **given)


def logits_by_place(run: Path, model: str) -> dict[tuple[Any, ...], Any]:
    directory = RunDirectory(run)
    return {
        tuple(row.get(name) for name in PLACE): directory.read_scores(str(row["cell"]))
        for row, _ in directory.rows()
        if row["model"] == model
    }


def test_a_model_through_files_is_the_model_that_niah_runs(
    material: Material, scenes: Path, answers: pd.DataFrame, run: Path
) -> None:
    """Amended into the very run: the same identity, places, frames, clips, labels and mAP."""
    amended = material.folder / "both"
    shutil.copytree(run, amended)
    cells = scored(scenes, answers, amended).cells
    native, files = (
        cells[cells["model"] == name].sort_values(PLACE, ignore_index=True)
        for name in ("by_pitch", "files")
    )
    assert len(files) == 12
    same = ["protocol", "needles", "n_clips", *PLACE, "frames", "seed", "status", "chance_mAP"]
    pd.testing.assert_frame_equal(files[same], native[same])
    np.testing.assert_allclose(files["mAP"], native["mAP"], atol=0.01)
    assert files["mAP"].notna().sum() == 6
    assert 0.4 < files["mAP"].min() < 0.9  # no ceiling
    assert files[["latency_s", "rtf", "peak_memory_bytes"]].isna().all(axis=None)
    ours, theirs = (logits_by_place(amended, name) for name in ("by_pitch", "files"))
    for place, stored in ours.items():
        assert stored.ids == theirs[place].ids
        assert stored.labels == theirs[place].labels
    whole = [place for place in ours if place[0] == "gaussian"]
    worst = max(np.abs(ours[p].logits - theirs[p].logits).max() for p in whole)
    assert worst < 0.02
    (*_, board) = boards(read([amended]))
    assert {entry.system.model for entry in board.entries} >= {"by_pitch", "files"}
    rows = compare(amended, None, models=("by_pitch", "files")).differences
    assert len(rows) >= 6
    assert all(abs(row.difference) < 0.02 for row in rows)
    entry = RunDirectory(amended).run_json()["models"]["files"]
    assert (entry["adapter"], entry["scores"]) == ("predictions", "logit")


def test_floats_give_the_same_bits(material: Material, run: Path) -> None:
    plan = {**PLAN, "haystacks": ("gaussian",), "lengths_s": (20.0,), "controls": ()}
    material.write("floats", "wav-float", plan)
    out = material.folder / "of-floats"
    folder = material.folder / "floats"
    notes: list[str] = []
    assert scored(folder, answers_of(folder), out, note=notes.append).incomplete == 0
    assert any("read as logit" in note for note in notes)
    record = json.loads((out / "run.json").read_text())
    assert record["arguments"]["models"] == ["files"]
    assert str(material.folder) not in json.dumps(record)
    native, files = logits_by_place(run, "by_pitch"), logits_by_place(out, "files")
    assert len(files) == 3
    for place, stored in files.items():
        np.testing.assert_array_equal(stored.logits, native[place].logits)


def test_missing_scenes_are_counted_and_their_cells_are_errors(
    scenes: Path, answers: pd.DataFrame, tmp_path: Path
) -> None:
    manifest = pd.read_csv(scenes / "manifest.csv")
    is_long = manifest["length_s"] == 20
    few = answers[~is_long.to_numpy() | (manifest["clip"] == "clip00000").to_numpy()]
    with pytest.raises(NiahError, match=r"\d+ of 57 scenes have no prediction.*--allow-missing"):
        scored(scenes, few, tmp_path / "run")
    result = scored(scenes, few, tmp_path / "run", allow_missing=True)
    errors = result.cells[result.cells["status"] == "error"]
    assert result.incomplete == len(errors) == 3
    assert set(errors["error"]) == {"5 of 6 clips have no prediction"}
    assert set(errors["length_s"]) == {20.0}
    complete = scored(scenes, answers, tmp_path / "run").cells
    assert (complete["status"] == "ok").all()
    assert len(complete) == 12
    again = scored(scenes, few, tmp_path / "run", allow_missing=True).cells
    assert (again["status"] == "ok").all()  # an incomplete cell does not replace a complete one


def test_words_and_probabilities(scenes: Path, answers: pd.DataFrame, tmp_path: Path) -> None:
    """Named labels above all others; probabilities rank as their logits."""
    logits = answers[list(tiny.IDS)].to_numpy()
    words = pd.DataFrame(
        {"scene": answers["scene"], "label": np.array(tiny.IDS)[logits.argmax(axis=1)]}
    )
    cells = scored(scenes, words, tmp_path / "run", "words").cells
    base = cells[cells["haystack"] == "none"]
    assert base["mAP"].tolist() == [1.0]
    p = pd.DataFrame(1 / (1 + np.exp(-logits)), columns=list(tiny.IDS))
    scored(scenes, p.assign(scene=answers["scene"]), tmp_path / "run", "p")
    stored = logits_by_place(tmp_path / "run", "p")["none", None, 10.0, None, None]
    np.testing.assert_allclose(stored.logits, logits[:6], rtol=1e-2)


def test_refusals(scenes: Path, answers: pd.DataFrame, run: Path, tmp_path: Path) -> None:
    for model in ("", "a\nb", "x" * 101):
        with pytest.raises(NiahError, match="--model must be a name"):
            score_predictions(scenes, tmp_path / "p.csv", model, tmp_path / "run")
    with pytest.raises(NiahError, match="holds no scenes"):
        score_predictions(tmp_path, tmp_path / "p.csv", "files", tmp_path / "run")
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    with pytest.raises(NiahError, match="a model 'by_pitch' that niah ran"):
        scored(scenes, answers, copy, "by_pitch")
    changed = json.loads((copy / "run.json").read_text())
    changed["haystacks"]["gaussian"]["sha256"] = "0" * 64
    (copy / "run.json").write_text(json.dumps(changed))
    with pytest.raises(NiahError, match=r"the haystack 'gaussian' of .* is another sound"):
        scored(scenes, answers, copy)
    changed["identity"]["seed"] = 1
    (copy / "run.json").write_text(json.dumps(changed))
    with pytest.raises(NiahError, match=r"holds another run .*seed is 1 there, 0 now"):
        scored(scenes, answers, copy)
