"""Clips from sound and from stored features."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest
import torch

from niah.needles import load_needles
from niah.training.command import train_recipe
from niah.training.data import loading
from niah.training.data.batch import log_mel_of
from niah.training.data.batch_plan import BatchPlanner
from niah.training.data.clips import SoundClips
from niah.training.data.stored_features import load_features
from niah.vocabularies import vocabulary
from tests.helpers.tiny_training import FRONTEND, PLAIN, Material, recipe


def test_sound_and_stored_features_are_the_same_clips(material: Material, tmp_path: Path) -> None:
    """Without augmentation the two pipelines give the network the same input, but for float16."""
    needles = load_needles(material.clips, vocabulary=vocabulary(material.folder / "labels.csv"))
    stored = load_features(needles, FRONTEND, tmp_path)
    sound = SoundClips(needles, FRONTEND, stored.labels)
    step = BatchPlanner(recipe(batch_size=5, **PLAIN), stored.labels, frames=1024, mels=128)[0]
    a, b = stored.batch(step), sound.batch(step)
    on_device = dataclasses.replace(sound, on_device=True).batch(step)
    assert a.log_mel is not None
    assert b.log_mel is not None
    torch.testing.assert_close(a.log_mel, b.log_mel, rtol=0, atol=0.01)
    torch.testing.assert_close(a.targets, b.targets)
    device = torch.device("cpu")
    torch.testing.assert_close(
        log_mel_of(on_device, FRONTEND, device), b.log_mel, rtol=0, atol=1e-4
    )
    assert not b.log_mel[:, 998:].any()  # raw zeros after the sound's end


def test_sound_is_mixed_moved_and_read_by_any_number_of_workers(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And through pipes, where a container's shared memory is too small for batches."""
    small_recipe = material.recipe(
        "sound", pipeline="waveform", mixup_rate=0.7, gain_db=6.0, epochs=2
    )
    made = []
    for number, (workers, least) in enumerate([(0, 0), (2, 0), (2, 1 << 62)]):
        monkeypatch.setattr(loading, "LEAST_SHARED_BYTES", least)
        out = tmp_path / str(number)
        weights = train_recipe(str(small_recipe), out, device="cpu", workers=workers)
        made.append(weights.read_bytes())
    assert made[0] == made[1] == made[2]
    features = material.recipe("features", mixup_rate=0.7, gain_db=6.0, epochs=2)
    logs = [
        float(pd.read_csv(folder / "log.csv")["loss"].iloc[0])
        for folder in (
            tmp_path / "0",
            train_recipe(str(features), tmp_path / "f", device="cpu").parent,
        )
    ]
    assert logs[0] == pytest.approx(logs[1], rel=0.05)  # the power domain's mixup is close to it
