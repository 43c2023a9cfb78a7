"""Further questions about a run are about its own models and sounds, by the names in its tables."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import niah
from niah.diagnosis.localisation.locate import LocateOptions, locate
from niah.diagnosis.localisation.rows import read
from niah.diagnosis.run_scenes import WantedScenes, open_scenes
from niah.errors import NiahError
from tests.helpers import tiny
from tests.helpers.loopback_hub import Repository, serving_hub
from tests.helpers.shards import encoded, parquet_shard

LOUDNESS = """
import torch

def loudness(waveforms):
    powers = torch.fft.rfft(waveforms).abs().square()
    return torch.stack([part.mean(dim=1) for part in powers.tensor_split(3, dim=1)], dim=1).add(1e-6).log()
"""


def hum(file: Path, hertz: float) -> Path:
    t = np.arange(3 * tiny.SAMPLE_RATE) / tiny.SAMPLE_RATE
    soundfile.write(file, 0.1 * np.sin(2 * np.pi * hertz * t), tiny.SAMPLE_RATE)
    return file


def ran(folder: Path, haystacks: list[str], **changes: Any) -> Path:
    material = tiny.Material.make(folder)
    options = {
        "models": [str(material.card)],
        "checkpoint": str(material.weights),
        "needles": str(material.clips),
        **changes,
    }
    niah.run(
        haystacks=haystacks,
        lengths=[10, 40],
        device="cpu",
        out=folder / "run",
        **options,
    )
    return folder / "run"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return ran(tmp_path, [str(hum(tmp_path / "street.wav", 90.0))])


def test_a_model_and_a_recording_go_by_their_names_in_the_tables(run: Path) -> None:
    scenes = open_scenes(WantedScenes(run, models=("tiny",), haystacks=("street",)))
    assert [model.name for model in scenes.setup.models] == ["tiny"]
    assert [each.name for each in scenes.setup.haystacks.values()] == ["street"]
    assert scenes.notes == ()
    with pytest.raises(NiahError, match="unknown haystack 'strete'"):
        open_scenes(WantedScenes(run, haystacks=("strete",)))


def test_a_recording_that_has_changed_since_is_refused(run: Path, tmp_path: Path) -> None:
    hum(tmp_path / "street.wav", 120.0)
    with pytest.raises(NiahError, match=r"the sound of haystack .*street\.wav is not that of its"):
        open_scenes(WantedScenes(run))
    (other,) = open_scenes(WantedScenes(run, haystacks=("zero",))).setup.haystacks
    assert other == "zero"  # another haystack may be asked about


def test_clips_that_have_changed_since_are_refused(run: Path, tmp_path: Path) -> None:
    shutil.copy(tmp_path / "clip01.wav", tmp_path / "clip00.wav")
    with pytest.raises(NiahError, match="the sound or the labels of the clips"):
        open_scenes(WantedScenes(run))


def test_a_part_of_the_clips_that_has_changed_since_is_refused(run: Path, tmp_path: Path) -> None:
    (first,) = open_scenes(WantedScenes(run, limit=1)).setup.clips.needles
    other = "clip01" if first.id == "clip00" else "clip00"
    shutil.copy(tmp_path / f"{first.id}.wav", tmp_path / f"{other}.wav")
    open_scenes(WantedScenes(run, limit=1))  # not asked about
    hum(tmp_path / f"{first.id}.wav", 120.0)
    with pytest.raises(NiahError, match=rf"1 of the first 1 clips .* changed since \({first.id}\)"):
        open_scenes(WantedScenes(run, limit=1))


def test_clips_that_joined_the_list_since_are_not_of_the_run(run: Path, tmp_path: Path) -> None:
    clips = tmp_path / "clips.csv"
    rows = clips.read_text().splitlines()
    hum(tmp_path / "new.wav", 200.0)
    clips.write_text("\n".join([rows[0], f"new.wav,{tiny.IDS[0]}", ""]))
    with pytest.raises(NiahError, match=r"1 of the first 1 clips are not in .*run"):
        open_scenes(WantedScenes(run, limit=1))


def test_the_first_clips_of_a_set_of_the_hub_are_the_first_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path / "niah"))
    parts = ((tiny.IDS[0], tiny.IDS[1]), (tiny.IDS[0], tiny.IDS[0]))
    files = {}
    for shard, labels in enumerate(parts):
        clips = [
            (f"clip{2 * shard + i}", encoded(2 * shard + i), each) for i, each in enumerate(labels)
        ]
        file = parquet_shard(tmp_path / f"{shard}.parquet", clips)
        files[f"data/test-{shard:05d}-of-00002.parquet"] = file.read_bytes()
    with serving_hub(tmp_path / "hub", monkeypatch) as server:
        server.repositories["datasets/some/tones"] = Repository(files)
        run = ran(tmp_path, ["zero"], needles="hf:some/tones", limit=4)
        (first,) = open_scenes(WantedScenes(run, limit=1)).setup.clips.needles
    assert first.labels == (
        tiny.IDS[1],
    )  # rarest of the run's four; of the first shard's two it is not


def test_a_clip_that_the_run_left_out_is_left_out(run: Path) -> None:
    first, second, *_ = open_scenes(WantedScenes(run)).setup.clips.needles
    content = json.loads((run / "run.json").read_text())
    # as where another model of the run could not take it
    content["excluded_clips"] = [{"id": first.id, "reason": "too short"}]
    (run / "run.json").write_text(json.dumps(content))
    (now,) = open_scenes(WantedScenes(run, limit=1)).setup.clips.needles
    assert now.id == second.id


def test_a_run_of_an_earlier_version_has_no_marks(run: Path, tmp_path: Path) -> None:
    content = json.loads((run / "run.json").read_text())
    assert len(content["needles"].pop("marks")) == 8 * content["needles"]["clips"]
    (run / "run.json").write_text(json.dumps(content))
    for clip in tmp_path.glob("clip*.wav"):
        hum(clip, 120.0)
    assert len(open_scenes(WantedScenes(run, limit=1)).setup.clips) == 1


def test_what_only_earlier_calls_had_is_named(run: Path, tmp_path: Path) -> None:
    ran(tmp_path, ["gaussian"], snr=[0.0])
    (said,) = open_scenes(WantedScenes(run)).notes
    assert said.endswith("the run also has --haystack street; --snr 10")
    with pytest.raises(
        NiahError, match=r"'street' of .* is of an earlier `niah run` than the last"
    ):
        open_scenes(WantedScenes(run, haystacks=("street",)))
    file = str(tmp_path / "street.wav")
    (said,) = open_scenes(WantedScenes(run, haystacks=(file,))).notes
    assert said.endswith("the run also has --snr 10")


def test_a_haystack_that_a_model_does_not_play_is_left_out_as_in_the_run(tmp_path: Path) -> None:
    (tmp_path / "loudness.py").write_text(LOUDNESS)
    function = {"models": [f"{tmp_path / 'loudness.py'}:loudness"], "checkpoint": None}
    labels = {"labels": str(tmp_path / "labels.csv"), "sample_rate": tiny.SAMPLE_RATE}
    run = ran(tmp_path, ["zero", "silence"], **function, **labels)
    notes: list[str] = []
    locate(LocateOptions(run, models=("loudness",), limit=2), notes.append)
    assert {row.haystack for row in read(run)} == {"silence"}
    assert [note for note in notes if "haystack 'zero' is the data set's mean log-mel" in note]


def test_answers_in_another_dtype_are_other_answers(run: Path) -> None:
    """Stored ones of float32 stood for those of a run that went on in bfloat16."""

    setup = open_scenes(WantedScenes(run, limit=2)).setup
    keys = []
    for dtype in ("float32", "bfloat16"):
        setup.options = replace(setup.options, dtype=dtype)
        keys.append(next(setup.loaded()).key(None))
    assert keys[0] != keys[1]
