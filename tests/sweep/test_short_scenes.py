"""Scenes below 10 s: the needle's loudest stretch, in the model's native mode or padded, beside a base of 10 s."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import niah
from niah.adapters.wrappers.padded import Padded
from niah.errors import NiahError
from niah.frontends import Frontend
from niah.frontends.kaldi import AST, BEATS
from niah.frontends.stft import PASST
from niah.frontends.waveform import WaveformFrontend
from niah.haystacks import load_haystack
from niah.needles.features import loudest_segment
from niah.placement import scene_frames
from niah.scenes.builder import SceneBuilder
from niah.sweep.options import RunOptions
from niah.sweep.plan import plan
from niah.tables.curves import length_curves
from niah.tables.effective_lengths import effective_lengths
from tests.helpers import tiny
from tests.helpers.waveform_tagger import LABELS, PitchTagger

WAVES = WaveformFrontend(16000)


class Whole(PitchTagger):
    """Takes nothing below 3 s."""

    def waveform_logits(self, waveforms: Tensor) -> Tensor:
        if waveforms.shape[1] < 48_000:
            raise RuntimeError("Kernel size can't be greater than actual input size")
        return super().waveform_logits(waveforms)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("short")
    return niah.run(
        models=[PitchTagger(), Whole("whole")],
        needles=tiny.manifest(folder),
        haystacks=["silence", "gaussian"],
        lengths=[1, 5, 10, 20],
        control=["needle-free"],
        device="cpu",
        out=folder / "out",
    )


def test_native_or_padded_is_in_the_row(table: Any) -> None:
    assert set(table["status"]) == {"ok"}
    short = table[(table["length_s"] < 10) & table["control"].isna()]
    assert set(short["frames"]) == {100, 500}
    padded = short[short["padded_to"].notna()]
    assert set(zip(padded["model"], padded["length_s"], padded["padded_to"], strict=True)) == {
        ("whole", 1.0, 1000)
    }
    assert len(padded) == 2  # in silence and in noise
    assert (short["base_mAP"] == 1.0).all()
    assert (short.loc[short["haystack"] == "silence", "mAP"] == 1.0).all()
    free = table[table["control"] == "needle-free"]
    assert {1.0, 5.0} <= set(free["length_s"])


def test_short_scenes_are_on_the_curve_and_no_ones_base(table: Any) -> None:
    curves = [c for c in length_curves(table) if c.model == "pitch" and c.haystack == "gaussian"]
    (curve,) = curves
    assert sorted(curve.by_length) == [1, 5, 10, 20]
    assert curve.base is not None
    assert curve.base["haystack"] == "none"
    noisy = table[(table["haystack"] == "gaussian") & table["control"].isna()]
    at_ten = noisy.loc[noisy["length_s"] == 10, "mAP"].iloc[0]
    assert (noisy["noise_base_mAP"] == at_ten).all()
    worse = {**curve.by_length, 1.0: {**curve.by_length[1.0], "relative": 0.1, "mAP": 0.1}}
    (length, _) = effective_lengths(type(curve)(**{**vars(curve), "by_length": worse})).values()
    assert length is not None
    assert length.length.at.length_s == 20  # a short scene is no dip of a long one
    assert not length.length.dips


@pytest.mark.parametrize("protocol", ["niah-v2.1", "niah-v2"])
def test_a_short_scene_is_the_loudest_stretch_with_noise_under_it(protocol: str) -> None:
    wave = tiny.tone(4).astype(np.float32)
    silent = SceneBuilder(WAVES, protocol, load_haystack("silence"))
    needle = silent.needle(wave)
    first = loudest_segment(needle, 200, of_samples=True)
    alone = silent.part(needle, first, "a", length_s=2, snr_db=None).whole()
    assert np.array_equal(alone.reshape(-1), wave[160 * first : 160 * (first + 200)])
    noisy = SceneBuilder(WAVES, protocol, load_haystack("gaussian"), level="mix")
    kept = noisy.needle(wave)
    rows = noisy.part(kept, first, "a", length_s=2, snr_db=6).whole()
    noise = noisy.noise(kept, "a", total=200, snr_db=6, hidden=200)
    assert noise is not None
    under = torch.from_numpy(noisy.noise_samples(noise, 0, 32_000)).reshape(200, 160)
    assert (rows - under - alone * noisy.needle_gain(kept, 6)).abs().max() < 1e-6
    around = SceneBuilder(WAVES, protocol, load_haystack("gaussian"), level="surround")
    assert torch.equal(around.part(kept, first, "a", length_s=2, snr_db=6).whole(), alone)


@pytest.mark.parametrize("frontend", [AST, BEATS, PASST, WAVES])
def test_padding_is_the_front_ends_own(frontend: Frontend) -> None:
    class Rows:
        name = kernel = "rows"
        sample_rate = frontend.sample_rate
        labels = LABELS

        def logits(self, features: Tensor) -> Tensor:
            return features

    Rows.frontend = frontend  # type: ignore[attr-defined]
    wave = torch.from_numpy(tiny.tone(1, seconds=3, rate=frontend.sample_rate).astype(np.float32))
    whole = frontend.needle(wave)
    sounding = frontend.frames(len(wave)) - 4  # a frame at the end hears both
    padded = Padded(Rows()).logits(whole[None, :sounding])[0]  # type: ignore[arg-type]
    assert padded.shape == whole.shape
    assert torch.equal(padded[:sounding], whole[:sounding])
    assert torch.allclose(padded[sounding + 8 :], whole[sounding + 8 :])


def test_what_short_scenes_are_not(tmp_path: Path) -> None:
    with pytest.raises(NiahError, match=r"length 5 s: below 10 s.*not part of dass-v1"):
        RunOptions(lengths_s=(5.0,), protocol="dass-v1")
    for length, reason in ((0.005, "whole number"), (-1.0, "shorter"), (10.1, "shorter")):
        with pytest.raises(NiahError, match=reason):
            RunOptions(lengths_s=(length,))
    assert scene_frames(0.01) == 1
    options = RunOptions(
        lengths_s=(2.0,),
        haystacks=("gaussian",),
        needle_s=(1.0, 5.0),
        controls=("sham",),
        out=tmp_path,
    )
    cells = [cell for cell in plan(options, ["m"]) if cell.length_s == 2]
    assert [cell.needle_s for cell in cells] == [1.0]  # 5 s have no room, and there is no seam
