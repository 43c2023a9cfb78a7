"""Scenes for every front end: the same truths as for AST's, in its own samples and frames, and one run of several."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

import niah
from niah import audio
from niah.cards import ModelCard
from niah.errors import NiahError
from niah.frontends import Frontend
from niah.frontends.kaldi import AST, BEATS
from niah.frontends.stft import HTSAT, PASST
from niah.haystacks import load_haystack
from niah.haystacks.segments import official_hops
from niah.needles import load_needles
from niah.needles.feature_cache import FeatureCache
from niah.needles.features import needle_features
from niah.needles.prepared import prepare_alike
from niah.scenes.builder import SceneBuilder
from niah.vocabularies import vocabulary
from tests.helpers import tiny

FITTED = HTSAT.with_zero_row([-30.0 - mel for mel in range(64)])
ALL: dict[str, Frontend] = {"ast": AST, "beats": BEATS, "passt": PASST, "htsat": FITTED}
each = pytest.mark.parametrize("frontend", ALL.values(), ids=list(ALL))


def clip(frontend: Frontend, seconds: float = 10.0) -> NDArray[np.float32]:
    rng = np.random.default_rng(1)
    t = np.arange(round(frontend.sample_rate * seconds)) / frontend.sample_rate
    sound = 0.2 * np.sin(2 * np.pi * (300 + 40 * t) * t) + 0.01 * rng.standard_normal(len(t))
    return sound.astype(np.float32)


def features_of(frontend: Frontend, wave: NDArray[np.float32]) -> NDArray[np.float32]:
    """Whole frames, the plain way."""
    energies = frontend.energies(torch.from_numpy(wave)[None])[0]
    return np.asarray(frontend.normalise(frontend.log_mel(energies)).numpy())


def close(result: Tensor, expected: NDArray[np.float32], frontend: Frontend) -> None:
    tolerance = 2e-3 if frontend is FITTED else 5e-4  # decibels; of float32 sums over a window
    assert result.shape == expected.shape
    assert np.abs(result.numpy() - expected).max() < tolerance


# --- truths


@each
@pytest.mark.parametrize("protocol", ["dass-v1", "niah-v2"])
def test_the_measured_snr_is_the_snr_asked_for(frontend: Frontend, protocol: str) -> None:
    build = SceneBuilder(frontend, protocol, load_haystack("gaussian"))
    wave = clip(frontend)
    noise = build.noise(build.needle(wave), "a", total=3000, snr_db=7)
    assert noise is not None
    around = 3000 - frontend.needle_frames
    ratio = len(wave) / frontend.frames(len(wave))
    heard = int(ratio * around) + 1 if protocol == "dass-v1" else around * frontend.frame_shift
    samples = build.noise_samples(noise, 0, heard)
    assert 20 * np.log10(audio.rms(wave) / audio.rms(samples)) == pytest.approx(7, abs=1e-3)


@each
@pytest.mark.parametrize("snr_db", [0.0, 80.0])
def test_a_scene_is_the_noise_of_whole_frames_around_the_clip(
    frontend: Frontend, snr_db: float
) -> None:
    """At 80 dB the noise lies at the floor or the offset of the logarithm."""
    build = SceneBuilder(frontend, "niah-v2", load_haystack("gaussian"))
    needle = build.needle(clip(frontend))
    scene = build.scene(needle, "a", length_s=14, position=0.5, snr_db=snr_db)
    start = round(0.5 * (1400 - frontend.needle_frames))
    end = start + frontend.needle_frames
    assert torch.equal(
        scene[start:end], frontend.needle(torch.from_numpy(clip(frontend) - mean(frontend)))
    )
    noise = build.noise(needle, "a", total=1400, snr_db=snr_db)
    assert noise is not None
    # within one stretch of the bank the frames are those of the noise as it sounds
    count = frontend.samples(100)
    assert len(noise.path.segments) == 1 or noise.path.segments[0][1] > 100
    close(scene[:100], features_of(frontend, build.noise_samples(noise, 0, count)), frontend)


def mean(frontend: Frontend) -> np.float32:
    return np.float32(clip(frontend).mean(dtype=np.float64) if frontend.removes_mean else 0)


@each
def test_mixing_is_adding_waveforms(frontend: Frontend) -> None:
    """Level "mix": every frame is that of one long sound, the noise with the clip added `lead` samples in."""
    build = SceneBuilder(frontend, "niah-v2", load_haystack("gaussian"), level="mix")
    wave = clip(frontend, seconds=9.0)
    needle = build.needle(wave)
    scene = build.scene(needle, "b", length_s=12, position=0.25, snr_db=3)
    start = round(0.25 * (1200 - frontend.needle_frames))
    noise = build.noise(needle, "b", total=1200, snr_db=3)
    assert noise is not None
    sound = build.noise_samples(noise, 0, frontend.samples(1200)).copy()
    first = start * frontend.frame_shift + frontend.lead
    sound[first : first + len(wave)] += wave
    expected = features_of(frontend, sound)
    whole = np.ones(1200, dtype=bool)
    seams = [start, *np.cumsum([hops for _, hops in noise.path.segments])]
    for seam in seams:  # frames across one: in the scene of one side alone, in the sound of both
        whole[max(0, seam - 4) : seam] = False
    close(scene[whole], expected[whole], frontend)


@each
def test_zero_is_the_mean_log_mel_and_silence_the_floor(frontend: Frontend) -> None:
    for name, protocol in (("zero", "dass-v1"), ("silence", "niah-v2")):
        build = SceneBuilder(frontend, protocol, load_haystack(name))
        scene = build.scene(build.needle(clip(frontend)), "a", length_s=20, position=0.0)
        rest = scene[frontend.needle_frames :]
        row = frontend.zero_row if name == "zero" else (frontend.silence,)
        assert torch.equal(rest, torch.tensor(row).expand(len(rest), frontend.mels))


def test_a_front_end_without_a_mean_makes_no_zero_haystack() -> None:
    with pytest.raises(NiahError, match="mean log-mel, which this model's front end does not know"):
        SceneBuilder(HTSAT, "dass-v1", load_haystack("zero"))
    SceneBuilder(HTSAT, "dass-v1", load_haystack("gaussian"))


@pytest.mark.parametrize(("frontend", "lost"), [(AST, 2), (BEATS, 2), (PASST, 2), (HTSAT, 3)])
def test_official_blocks_are_400_seconds_at_any_rate(frontend: Frontend, lost: int) -> None:
    """The frames across an edge are lost: ceil(frame_length / frame_shift) - 1 of them."""
    length, shift = frontend.frame_length, frontend.frame_shift
    runs = list(official_hops(0, 41_000, length, shift, frontend.sample_rate))
    assert runs[0] == (0, 40_000 - lost)
    assert runs[1][0] == 40_000


# --- one run, several front ends


class Loudness:
    """A tagger that inherits nothing: logits are the largest of three mel rows, at its own front end."""

    labels = vocabulary("audioset-527")
    kernel = "torch"
    frontend: Frontend = AST
    rows = (8, 40, 80)

    def __init__(self, card: ModelCard, *, device: torch.device, dtype: torch.dtype) -> None:  # noqa: ARG002
        self.name = card.name
        self.labels = vocabulary(card.labels_source)
        self.sample_rate = self.frontend.sample_rate

    def logits(self, features: Tensor) -> Tensor:
        return features[:, :, list(self.rows)].amax(dim=1)


class LoudnessBeats(Loudness):
    frontend = BEATS


class LoudnessHtsat(Loudness):
    frontend = FITTED
    rows = (4, 20, 40)


def cards(folder: Path) -> list[str]:
    made = []
    for name in ("Loudness", "LoudnessBeats", "LoudnessHtsat"):
        path = tiny.card(folder, name.lower())
        path.write_text(
            path.read_text().replace("tests.helpers.tiny:TinyTagger", f"{__name__}:{name}")
        )
        made.append(str(path))
    return made


def test_a_run_holds_models_of_several_front_ends(tmp_path: Path) -> None:
    rate = 22_050  # neither 16 nor 32 kHz
    folder = tmp_path / "clips"
    tiny.manifest(folder, clips=4)
    for index in range(4):
        soundfile.write(folder / f"clip{index:02d}.wav", tiny.tone(index, rate=rate), rate)
    table: Any = niah.run(
        models=cards(tmp_path),
        needles=folder / "clips.csv",
        haystack=["zero", "gaussian"],
        lengths=[10, 12],
        device="cpu",
        out=tmp_path / "out",
    )
    assert set(table["status"]) == {"ok"}
    assert set(table["n_clips"]) == {4}
    assert table["cell"].is_unique
    base = table[table["haystack"] == "none"].set_index("model")["frames"]
    assert dict(base) == {"loudness": 1024, "loudnessbeats": 998, "loudnesshtsat": 1001}
    assert set(table.loc[table["length_s"] == 12, "frames"]) == {1200}
    again = niah.run(
        models=cards(tmp_path)[2],
        needles=folder / "clips.csv",
        haystack="gaussian",
        lengths=[12],
        window=10,
        hop=2.5,
        pool="noisy-or",
        device="cpu",
        out=tmp_path / "out",
    )
    windowed = again[again["window_s"] == 10]
    assert set(windowed["kernel"]) == {"torch"}
    assert set(windowed["window_pool"]) == {"noisy-or, hop 2.5 s"}
    assert len(again) == len(table) + 3  # the base, the base in noise, 12 s
    pd.testing.assert_frame_equal(  # what was there is as it was
        again.loc[again["window_s"].isna(), table.columns].reset_index(drop=True),
        table,
        check_dtype=False,
    )


def test_a_clip_that_one_front_end_cannot_use_is_out_of_all(tmp_path: Path) -> None:
    """16 ms: 352 samples at 22.05 kHz are a frame of HTS-AT's (reflected), and none of Kaldi's 25 ms."""
    path = tiny.manifest(tmp_path, clips=2, extra=[("short.wav", tiny.IDS[0])])
    soundfile.write(tmp_path / "short.wav", tiny.tone(1, seconds=0.02), 16000)
    needles = load_needles(path, vocabulary=vocabulary(tiny.card(tmp_path).parent / "labels.csv"))
    frontends: dict[str, Frontend] = {"passt": PASST, "ast": AST}
    prepared = prepare_alike(needles, frontends, FeatureCache(tmp_path / "cache"))
    ids = {name: [needle.id for needle in p.needles.needles] for name, p in prepared.items()}
    assert (
        ids["passt"] == ids["ast"] == [i for i in (n.id for n in needles.needles) if i != "short"]
    )
    assert [clip.id for clip in prepared["ast"].excluded] == ["short"]
    assert "25 ms" in prepared["ast"].excluded[0].reason
    digests = [each.source.digest() for each in prepared["ast"].needles.needles]
    content = prepared["ast"].needles.content_sha256(digests)
    assert prepared["passt"].content_sha256 == prepared["ast"].content_sha256 == content
    for index in range(2):  # keys follow their clips
        assert prepared["passt"].features(index).features.shape == (1000, 128)
        expected = needle_features(
            AST,
            needles.needles[[n.id for n in needles.needles].index(ids["ast"][index])]
            .source.waveform(16000)
            .samples,
        )
        assert torch.equal(prepared["ast"].features(index).features, expected.features)
