"""A folder of scenes of six clips, the run of the same plan, and a system that reads files alone."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import soundfile
import torch

import niah
from niah.exchange.scene_plan import scene_options
from niah.exchange.writing import Forecast, write_scenes
from tests.helpers import tiny
from tests.helpers.waveform_tagger import by_pitch

PLAN: dict[str, Any] = {
    "haystacks": ("silence", "gaussian"),
    "snrs_db": (-25.0,),
    "lengths_s": (5.0, 10.0, 20.0),
    "controls": ("needle-free",),
}


@dataclass(frozen=True)
class Material:
    folder: Path
    clips: Path
    labels: Path

    def write(
        self, out: str, format_name: str = "flac16", plan: dict[str, Any] = PLAN, **given: Any
    ) -> Forecast:
        """Write the scenes of the plan into `out`."""
        settings = {**plan, "needles": str(self.clips), "out": self.folder / out}
        options = scene_options(settings, str(self.labels), 16000)
        return write_scenes(options, format_name=format_name, **given)

    def run(self, out: str, model: Callable[..., Any]) -> pd.DataFrame:
        """Run a function of waveforms over the same plan."""
        return niah.run(
            **PLAN,
            models=[model],
            labels=str(self.labels),
            sample_rate=16000,
            needles=str(self.clips),
            device="cpu",
            out=self.folder / out,
        )


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("exchange")
    clips = tiny.manifest(folder / "clips")
    return Material(folder, clips, tiny.card(folder).parent / "labels.csv")


@pytest.fixture(scope="session")
def scenes(material: Material) -> Path:
    """A folder of scenes that no test changes."""
    material.write("scenes")
    return material.folder / "scenes"


def answers_of(scenes: Path) -> pd.DataFrame:
    """The logits of `by_pitch` for every file of a manifest, in wide form."""
    manifest = pd.read_csv(scenes / "manifest.csv")
    rows = []
    for scene, file in zip(manifest["scene"], manifest["file"], strict=True):
        wave, _ = soundfile.read(scenes / file, dtype="float32")
        rows.append([scene, *by_pitch(torch.from_numpy(wave)[None])[0].tolist()])
    return pd.DataFrame(rows, columns=["scene", *tiny.IDS])
