"""niah-v2.1: the SNR, the fixed level and the sum of waveforms are what docs/protocols.md says, for every front end."""

import csv
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from niah import audio
from niah.errors import NiahError
from niah.frontends import Frontend
from niah.frontends.kaldi import AST, BEATS
from niah.frontends.stft import HTSAT, PASST
from niah.haystacks import load_haystack
from niah.haystacks.clip_noise import HAYSTACK_DBFS, Noise
from niah.haystacks.haystack import Haystack
from niah.haystacks.sound_bank import SampleBank
from niah.haystacks.sources import Tiled
from niah.metrics.average_precision import average_precision
from niah.needles import synthetic
from niah.needles.active_part import active_rms
from niah.needles.features import NeedleFeatures
from niah.scenes.builder import Piece, SceneBuilder
from tests.helpers import niah_v2_1 as slow

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "niah-v2.1.json").read_text())
FITTED = HTSAT.with_zero_row([-30.0 - mel for mel in range(64)])
ALL: dict[str, Frontend] = {"ast": AST, "beats": BEATS, "passt": PASST, "htsat": FITTED}
each = pytest.mark.parametrize("frontend", ALL.values(), ids=list(ALL))


sounds = functools.cache(load_haystack)


def builder(
    haystack: str = "gaussian", level: str | None = None, frontend: Frontend = AST
) -> SceneBuilder:
    return SceneBuilder(frontend, "niah-v2.1", sounds(haystack), level=level)


def clip(rate: int = 16000, seconds: float = 3.0, gain: float = 1.0) -> NDArray[np.float32]:
    """A second of sound, then a tail 50 dB below it."""
    t = np.arange(round(rate * seconds)) / rate
    sound = np.sin(2 * np.pi * (300 + 200 * t) * t) * np.where(t < 1, 0.2, 0.2 * 10**-2.5)
    return (gain * sound).astype(np.float32)


def noise_of(build: SceneBuilder, clip_id: str, total: int) -> Noise:
    noise = build.noise(None, clip_id, total=total, snr_db=None)
    assert noise is not None
    return noise


def decibels(ratio: float) -> float:
    return float(20 * np.log10(ratio))


def features_of(frontend: Frontend, wave: NDArray[np.float32]) -> NDArray[np.float32]:
    energies = frontend.energies(torch.from_numpy(wave)[None])[0]
    return np.asarray(frontend.normalise(frontend.log_mel(energies)).numpy())


# --- the active part


def test_pauses_and_padding_do_not_count() -> None:
    sound = clip()
    loud = sound[:16000]
    assert decibels(active_rms(sound, 16000) / audio.rms(loud)) == pytest.approx(0, abs=0.01)
    padded = np.concatenate([sound, np.zeros(80_000, dtype=np.float32)])
    assert active_rms(padded, 16000) == pytest.approx(active_rms(sound, 16000), rel=1e-4)
    assert decibels(active_rms(padded, 16000) / audio.rms(padded)) > 9  # the whole-clip rms is off


def test_frames_within_30_db_of_the_loudest_are_active() -> None:
    level = np.repeat(10.0 ** (-np.array([0, 29, 31]) / 20), 1600)
    square = np.where(np.arange(4800) % 2, 1.0, -1.0) * level
    expected = np.sqrt((1 + 10**-2.9) / 2)
    assert active_rms(square, 16000) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("count", [1, 2, 1599, 3199, 3200, 4000])
def test_what_is_left_over_belongs_to_the_last_frame(count: int) -> None:
    sound = np.random.default_rng(0).standard_normal(count)
    centred = sound - sound.mean()
    assert active_rms(sound, 16000) == pytest.approx(np.sqrt(np.mean(centred**2)))
    assert active_rms(sound + 5, 16000) == pytest.approx(active_rms(sound, 16000))  # no offset


def test_nothing_has_no_level() -> None:
    assert active_rms(np.zeros(0), 16000) == active_rms(np.full(5000, 0.3), 16000) == 0


# --- SNR and level


@each
@pytest.mark.parametrize(("haystack", "snr_db"), [("gaussian", -5.0), ("babble", 10.0)])
def test_the_measured_snr_is_over_the_active_part(
    frontend: Frontend, haystack: str, snr_db: float
) -> None:
    build = builder(haystack, frontend=frontend)
    sound = clip(frontend.sample_rate)
    noise = noise_of(build, "a", 6000)
    heard = build.noise_samples(noise, 0, 6000 * frontend.frame_shift)
    gain = build.needle_gain(build.needle(sound), snr_db)
    active = gain * audio.rms(sound[: frontend.sample_rate])
    near = 0.05 if haystack == "gaussian" else 0.5  # a minute of talkers against two
    assert decibels(active / audio.rms(heard)) == pytest.approx(snr_db, abs=near)
    assert decibels(audio.rms(heard)) == pytest.approx(HAYSTACK_DBFS, abs=near)


@pytest.mark.parametrize("period", [2, 16_000, 320_080, 960_001])
def test_noise_of_a_recording_is_what_the_page_says(period: int) -> None:
    """Rule 5 gave no reader the segments of a recording whose samples are no whole number of hops, or below 10 s."""
    recording = np.linspace(-0.5, 0.4, period, dtype=np.float32)
    haystack = Haystack("street", "noise", "", make_sound=lambda _: Tiled(recording))
    build = SceneBuilder(AST, "niah-v2.1", haystack, seed=3)
    count = 160 * 9000
    heard = build.noise_samples(noise_of(build, "a", 9000), 0, count)
    expected = slow.recorded(recording.astype(np.float64), "street", 3, "a", count)
    gain = 10 ** (HAYSTACK_DBFS / 20) / audio.rms(recording)
    np.testing.assert_allclose(heard, gain * expected, rtol=1e-5)


@pytest.mark.parametrize("period", [45_000_000, 45_000_001, 170_000_000, 170_000_001])
def test_room_of_hours_is_what_the_page_says(period: int) -> None:
    bank = SampleBank(Tiled(np.broadcast_to(np.float32(0), period)), AST)
    assert slow.room(period) == (bank.hops if bank.wraps else bank.hops - 4000)


def test_the_noise_knows_nothing_of_the_needle() -> None:
    """One gain for all clips, SNRs and lengths, and the same rows wherever they are read."""
    build = builder()
    loud, faint = build.needle(clip(gain=3)), build.needle(clip(gain=0.01))
    scenes = [
        build.scene(needle, "a", length_s=length_s, position=1, snr_db=snr_db)
        for needle, length_s, snr_db in ((loud, 45, 0), (faint, 60, 20), (loud, 60, -10))
    ]
    control = build.scene(None, "a", length_s=60, position=0)
    for scene in scenes:
        before = len(scene) - 1024 - 2  # the needle's first windows reach two frames back
        assert torch.equal(scene[:before], control[:before])
    assert noise_of(build, "a", 3000).gain == noise_of(build, "b", 9000).gain


@each
def test_a_scene_does_not_depend_on_a_clips_own_level(frontend: Frontend) -> None:
    build = builder(frontend=frontend)
    scenes = [
        build.scene(
            build.needle(clip(frontend.sample_rate, gain=gain)),
            "a",
            length_s=12,
            position=0.5,
            snr_db=5,
        )
        for gain in (0.02, 1.0, 4.0)
    ]
    for scene in scenes[1:]:
        torch.testing.assert_close(scene, scenes[0], atol=2e-4, rtol=1e-4)


def test_a_long_clip_is_measured_where_it_is_hidden() -> None:
    """10 s of quiet sound, then 50 s that are 30 dB louder and never heard."""
    build = builder()
    rng = np.random.default_rng(0)
    sound = (0.01 * rng.standard_normal(60 * 16000)).astype(np.float32)
    sound[10 * 16000 + 3840 :] *= 30
    needle = build.needle(sound)
    hidden = sound[: 1024 * 160]
    level = build.needle_gain(needle, 10) * audio.rms(hidden - hidden.mean())
    assert decibels(level) == pytest.approx(HAYSTACK_DBFS + 10, abs=0.01)


def test_a_needle_that_is_silent_where_it_is_hidden_is_refused() -> None:
    build = builder()
    sound = np.zeros(20 * 16000, dtype=np.float32)
    sound[12 * 16000 :] = 0.1
    sound[15 * 16000 :] = -0.1
    needle = build.needle(sound)
    with pytest.raises(NiahError, match="silent where it is hidden"):
        build.scene(needle, "a", length_s=20, position=0, snr_db=0)
    for snr_db in (None, float("nan")):
        with pytest.raises(NiahError, match="needs an SNR"):
            build.scene(build.needle(clip()), "a", length_s=20, position=0, snr_db=snr_db)


# --- the sum


@each
@pytest.mark.parametrize("position", [0.0, 0.4])
def test_every_frame_is_that_of_noise_plus_needle(frontend: Frontend, position: float) -> None:
    """Also across the needle's edges, and where two segments of the bank meet."""
    build = builder(frontend=frontend)
    sound = clip(frontend.sample_rate, 9.0)
    needle = build.needle(sound)
    scene = build.scene(needle, "b", length_s=60, position=position, snr_db=3)
    noise = noise_of(build, "b", 6000)
    assert len(noise.path.seams(1, 6000)) in (1, 2)
    wave = build.noise_samples(noise, 0, frontend.samples(6000)).copy()
    start = round(position * (6000 - frontend.needle_frames))
    first = start * frontend.frame_shift + frontend.lead
    centred = sound - (sound.mean(dtype=np.float64) if frontend.removes_mean else 0)
    wave[first : first + len(sound)] += (build.needle_gain(needle, 3) * centred).astype(np.float32)
    tolerance = 2e-3 if frontend is FITTED else 5e-4  # decibels, of float32 sums
    assert np.abs(scene.numpy() - features_of(frontend, wave)).max() < tolerance


def test_blocks_across_a_seam_agree() -> None:
    build = builder()
    whole = build.scene(None, "b", length_s=60, position=0)
    (seam, *_) = noise_of(build, "b", 6000).path.seams(1, 6000)
    lazy = build.laid_out(None, "b", length_s=60, position=0)
    for first in range(seam - 4, seam + 3):
        assert torch.equal(lazy.render(torch.empty(1, 128), first), whole[first : first + 1])


@each
def test_ten_seconds_is_clean_or_in_noise(frontend: Frontend) -> None:
    build = builder(frontend=frontend)
    sound = clip(frontend.sample_rate)
    needle = build.needle(sound)
    clean = build.scene(needle, "a", length_s=10, position=0.5)
    assert torch.equal(clean, needle.features)  # at its own level
    noisy = build.scene(needle, "a", length_s=10, position=0.5, snr_db=0)
    noise = build.noise_samples(noise_of(build, "a", 1024), 0, frontend.samples(len(noisy)))
    alone = build.scene(None, "a", length_s=10, position=0)
    assert noisy.shape == clean.shape == alone.shape
    after = frontend.frames(len(sound)) + 5  # behind the clip lies noise, not padding
    assert torch.equal(noisy[after:], torch.from_numpy(features_of(frontend, noise))[after:])
    assert (noisy[:80] - alone[:80]).abs().max() > 0.1


def test_close_pieces_are_one_sum() -> None:
    """Two cut clips, the second a frame behind the first: their windows overlap."""
    build = builder()
    first, second = build.needle(clip()), build.needle(clip(seconds=5, gain=0.3))
    pieces = [Piece(first, 500, 20, 100), Piece(second, 601, 0, 90)]
    scene = build.arranged(pieces, "c", length_s=20, snr_db=6).whole()
    wave = build.noise_samples(noise_of(build, "c", 2000), 0, AST.samples(2000)).copy()
    for piece in pieces:
        assert piece.needle.waveform is not None
        cut = piece.needle.waveform[piece.first * 160 : (piece.first + piece.count) * 160]
        gain = build.needle_gain(piece.needle, 6)
        wave[piece.start * 160 : piece.stop * 160] += (gain * cut).astype(np.float32)
    assert np.abs(scene.numpy() - features_of(AST, wave)).max() < 5e-4


@each
def test_surround_splices_the_scaled_needle_into_the_same_noise(frontend: Frontend) -> None:
    build = builder(level="surround", frontend=frontend)
    sound = clip(frontend.sample_rate)
    needle = SceneBuilder(frontend, "niah-v2.1", build.haystack).needle(sound)
    scene = build.scene(needle, "a", length_s=20, position=0.5, snr_db=0)
    control = build.scene(None, "a", length_s=20, position=0.5)
    start = round(0.5 * (2000 - frontend.needle_frames))
    assert torch.equal(scene[:start], control[:start])
    rest = 2000 - start - frontend.needle_frames
    assert torch.equal(scene[2000 - rest :], control[start : start + rest])  # cut open there
    gain = np.float32(build.needle_gain(needle, 0))
    centred = sound - (sound.mean(dtype=np.float64) if frontend.removes_mean else 0)
    alone = frontend.needle(torch.from_numpy((gain * centred).astype(np.float32)))
    torch.testing.assert_close(scene[start : start + len(alone)], alone, atol=2e-4, rtol=1e-5)


def test_constants_leave_the_needle_at_its_own_level() -> None:
    for name, value in (("zero", 0.0), ("silence", AST.silence)):
        build = builder(name)
        needle = build.needle(clip())
        scene = build.scene(needle, "a", length_s=20, position=0.5)
        assert (build.level, needle.waveform) == ("surround", None)
        assert torch.equal(scene[488 : 488 + 1024], needle.features)
        assert torch.equal(scene[:488], torch.full((488, 128), value))


def test_controls() -> None:
    build = builder()
    needle = build.needle(clip(seconds=10))
    scene = build.scene(needle, "a", length_s=30, position=0.25, snr_db=10)
    bare = build.scene(None, "a", length_s=30, position=0.25)
    sham = build.scene(None, "a", length_s=30, position=0.25, sham=True)
    rows = torch.zeros(3000, dtype=torch.bool)
    rows[492 : 494 + 1024] = True
    assert torch.equal(bare[~rows], scene[~rows])
    assert torch.equal(sham[~rows], scene[~rows])
    assert not torch.equal(sham[rows], bare[rows])
    for other in (bare, sham):
        assert abs(float(other[rows].mean() - bare[~rows].mean())) < 0.02


# --- an independent implementation, and its test vectors


@pytest.mark.parametrize("case", slow.CASES, ids=[case["id"] for case in slow.CASES])
def test_equals_a_slow_implementation(case: dict[str, Any]) -> None:
    snr_db, clip_id = slow.SNRS_DB[str(case["id"])], str(case["id"])
    expected = slow.slow_case(case)
    build = builder()
    needle = build.needle(slow.clip_of(case).astype(np.float32))
    length_s = 10 if case["frames"] == 1024 else case["frames"] / 100
    scene = build.scene(
        needle, clip_id, length_s=length_s, position=case["position"], snr_db=snr_db
    )
    assert build.needle_gain(needle, snr_db) == pytest.approx(expected.needle_gain, rel=1e-5)
    assert noise_of(build, clip_id, 3000).gain == pytest.approx(expected.noise_gain, rel=1e-12)
    assert np.abs(scene.numpy() - expected.features).max() < 2e-3
    active = slow.active_rms(expected.needle[expected.start * 160 :][: int(case["clip_s"] * 16000)])
    level = np.sqrt(np.mean(expected.noise**2))
    assert decibels(active / level) == pytest.approx(snr_db, abs=0.05)


@pytest.mark.parametrize(
    "vector", GOLDEN["cases"], ids=[vector["id"] for vector in GOLDEN["cases"]]
)
def test_test_vectors(vector: dict[str, Any]) -> None:
    """The committed numbers are those of the slow implementation, whatever becomes of either."""
    case = next(case for case in slow.CASES if case["id"] == vector["id"])
    made = slow.vector_of(case)
    for name in ("features", "noise"):
        np.testing.assert_allclose(made.pop(name), vector[name], atol=2e-5)
    for name in ("noise_gain", "needle_gain", "mean"):
        assert made.pop(name) == pytest.approx(vector[name], rel=1e-5)
    assert made == {name: vector[name] for name in made}


# --- nothing but the needle tells the class


def test_the_noise_is_equally_loud_for_every_synthetic_clip() -> None:
    gains = {}
    for protocol in ("dass-v1", "niah-v2.1"):
        build = SceneBuilder(AST, protocol, load_haystack("gaussian"))
        waves = [synthetic.clip("evaluation", index)[0] for index in range(6)]
        needles = [build.needle(wave) for wave in waves]
        noises = [build.noise(n, "a", total=2000, snr_db=10) for n in needles]
        gains[protocol] = {noise.gain for noise in noises if noise is not None}
    assert len(gains["dass-v1"]) == 6
    assert len(gains["niah-v2.1"]) == 1


def test_one_number_of_the_haystack_tells_no_class(shared: Path) -> None:
    """A classifier that hears only how loud the haystack is (ESC-10, five folds, chance .145)."""
    folder = shared / "data" / "esc50"
    with (folder / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["esc10"] == "True"]
    levels: dict[str, list[float]] = {"niah-v2": [], "niah-v2.1": []}
    builders = {
        protocol: SceneBuilder(AST, protocol, load_haystack("gaussian"), level="mix")
        for protocol in levels
    }
    for row in rows:
        wave = soundfile.read(folder / row["path"], dtype="float32")[0]
        needle = NeedleFeatures(torch.empty(0), audio.rms(wave), len(wave), AST.frames(len(wave)))
        for protocol, build in builders.items():
            noise = build.noise(needle, row["path"], total=2000, snr_db=10)
            assert noise is not None
            heard = build.noise_samples(noise, 0, 32_000)
            levels[protocol].append(decibels(audio.rms(heard)))
    classes = np.array([row["label"] for row in rows])
    folds = np.array([row["fold"] for row in rows])
    assert len(rows) == 400
    assert one_number_map(np.array(levels["niah-v2"]), classes, folds) > 0.28
    assert 0.10 < one_number_map(np.array(levels["niah-v2.1"]), classes, folds) < 0.19


def one_number_map(
    levels_db: NDArray[np.float64], classes: NDArray[np.str_], folds: NDArray[np.str_]
) -> float:
    """Mean AP over folds of class posteriors by kernel density of one number, learnt on the other folds."""
    width = max(0.3 * float(levels_db.std()), 1e-6)
    result = []
    for fold in np.unique(folds):
        test = folds == fold
        kernel = np.exp(-0.5 * ((levels_db[test][:, None] - levels_db[~test]) / width) ** 2) + 1e-12
        for name in np.unique(classes):
            share = kernel[:, classes[~test] == name].sum(axis=1) / kernel.sum(axis=1)
            targets = (classes[test] == name)[:, None]
            result.append(float(average_precision(targets, share[:, None])[0]))
    return float(np.mean(result))


@each
def test_frames_across_seams_are_the_same_whichever_scene_comes_first(frontend: Frontend) -> None:
    """They are computed once for all lengths: after a longer scene, or another clip's, as by a new builder."""
    shared = builder("babble", frontend=frontend)
    needle = shared.needle(clip(frontend.sample_rate))
    for clip_id, length_s in (("a", 130.0), ("b", 60.0), ("a", 60.0), ("a", 130.0)):
        scene, alone = (
            build.scene(needle, clip_id, length_s=length_s, position=0.5, snr_db=10.0)
            for build in (shared, builder("babble", frontend=frontend))
        )
        assert torch.equal(scene, alone)
