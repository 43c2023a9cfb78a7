"""Further questions about a run are about its own models and sounds, by the names in its tables."""

import shutil
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
    options = {"models": [str(material.card)], "checkpoint": str(material.weights)} | changes
    niah.run(
        needles=str(material.clips),
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
