"""Preview: the three files tell of one scene, and are written together or not at all."""

import csv
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import numpy as np
import pytest
import soundfile
import torch
from matplotlib.figure import Figure

from niah import audio
from niah.adapters.loading import load_model
from niah.adapters.sources import find_source
from niah.adapters.waveform import WaveformAdapter
from niah.errors import NiahError
from niah.frontends.kaldi import KaldiFrontend
from niah.haystacks import load_haystack
from niah.plots.medium import COLUMN_IN
from niah.plots.style import write_as
from niah.preview.files import frontend_of, preview, weights_at_hand
from niah.preview.picture import draw
from niah.preview.scene import PreviewScene, drawn_as, drawn_features
from niah.scenes.builder import SceneBuilder
from tests.helpers import tiny
from tests.helpers.waveform_tagger import PitchTagger


@pytest.fixture
def needle(tmp_path: Path) -> Path:
    path = tmp_path / "bell.wav"
    t = np.arange(160_000) / 16000
    soundfile.write(path, 0.5 * np.exp(-t) * np.sin(2 * np.pi * 900 * t), 16000)
    return path


def test_features_are_what_an_adapter_gets(needle: Path, tmp_path: Path) -> None:
    paths = preview(
        needle, "gaussian", snr_db=10, length_s=40, position=0.25, out=tmp_path / "new" / "out"
    )
    assert [path.name for path in paths] == ["features.npy", "spectrogram.png", "scene.wav"]
    features = np.load(paths[0])
    builder = SceneBuilder(KaldiFrontend(), "niah-v2.1", load_haystack("gaussian"))
    made = builder.needle(audio.load(needle, 16000).samples)
    scene = builder.scene(made, "bell", length_s=40, position=0.25, snr_db=10).numpy()
    assert features.dtype == np.float32
    assert np.array_equal(features, scene)
    assert paths[1].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert {path.name for path in paths[0].parent.iterdir()} == {path.name for path in paths}


def test_a_sound_of_the_user_is_not_written_over(needle: Path, tmp_path: Path) -> None:
    scene: dict[str, Any] = {"snr_db": None, "length_s": 20, "position": 0.5, "out": tmp_path}
    own = Path(shutil.copy(needle, tmp_path / "scene.wav"))
    content = own.read_bytes()
    for sound, reason in ((own, "is the needle itself"), (needle, "is no preview's")):
        with pytest.raises(NiahError, match=reason):
            preview(sound, "silence", **scene)
    assert own.read_bytes() == content
    assert {file.name for file in tmp_path.iterdir()} == {"scene.wav", "bell.wav"}
    for name in ("features.npy", "curve.csv"):
        mine = own.rename(tmp_path / name)
        with pytest.raises(NiahError, match=rf"{name} is no preview's and would be lost"):
            preview(needle, "silence", **scene)
        own = mine
    own.unlink()
    preview(needle, "silence", **scene)
    (tmp_path / "curve.csv").touch()
    preview(needle, "silence", **scene)  # over its own, whose curve was of another scene
    assert not (tmp_path / "curve.csv").exists()


def test_the_sound_is_the_needle_in_noise_at_that_snr(needle: Path, tmp_path: Path) -> None:
    paths = preview(
        needle,
        "gaussian",
        snr_db=10,
        length_s=20,
        position=0.5,
        out=tmp_path / "out",
        protocol="dass-v1",
    )
    sound, rate = soundfile.read(paths[2])
    assert (rate, len(sound), soundfile.info(paths[2]).subtype) == (16000, 320_000, "PCM_16")
    start = 976 * 160
    clip = soundfile.read(needle)[0]
    np.testing.assert_allclose(sound[start : start + 160_000], clip, atol=1e-4)
    noise = sound[:start]
    assert 20 * np.log10(audio.rms(clip) / audio.rms(noise)) == pytest.approx(10, abs=0.05)


def test_zero_plays_as_silence_and_a_loud_needle_does_not_clip(
    needle: Path, tmp_path: Path
) -> None:
    quiet = preview(needle, "zero", snr_db=0, length_s=12, position=0, out=tmp_path / "a")
    assert not soundfile.read(quiet[2])[0][1024 * 160 :].any()
    loud = preview(needle, "gaussian", snr_db=40, length_s=12, position=0, out=tmp_path / "b")
    assert 0.98 < np.abs(soundfile.read(loud[2])[0]).max() < 1


def test_the_sound_is_what_the_features_are_of(needle: Path, tmp_path: Path) -> None:
    """Noise under the needle, both at their levels: the front end of scene.wav gives features.npy.

    Of a clip with a DC offset, which the front end removes, the offset is not played.
    """
    soundfile.write(needle, soundfile.read(needle)[0] + 0.3, 16000)
    paths = preview(needle, "gaussian", snr_db=0, length_s=12, position=0.5, out=tmp_path / "a")
    sound = soundfile.read(paths[2], dtype="float32")[0]
    frontend = KaldiFrontend()
    energies = frontend.energies(torch.from_numpy(sound)[None])[0]
    heard = frontend.normalise(frontend.log_mel(energies)).numpy()
    features = np.load(paths[0])
    assert len(features) - len(heard) == 2  # the wave ends with the last hop
    apart = np.abs(features[: len(heard)] - heard)
    loud = heard > -0.9  # not the lowest mels, whose filters hold hardly an FFT bin
    assert loud.mean() > 0.9
    assert apart[loud].max() < 0.02  # 16 bits
    assert 20 * np.log10(audio.rms(sound[: 80 * 160])) == pytest.approx(-30, abs=0.5)


def test_the_picture_has_a_time_axis(
    needle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Figure] = []

    def spy(figure: Figure, *_: object) -> None:
        figures.append(figure)

    monkeypatch.setattr("niah.preview.files.write_as", spy)
    monkeypatch.delenv("NIAH_FIGURES")  # as for a user
    preview(needle, "zero", snr_db=None, length_s=40, position=0.5, out=tmp_path / "out")
    assert [each.get_figwidth() for each in figures] == [11, COLUMN_IN, COLUMN_IN]  # PNG, SVG, PDF
    whole, close, *_ = figures[0].axes
    for axes, low, high in ((whole, 0, 40), (close, 9, 31)):
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert len(ticks) > 3
        assert axes.get_xlim() == pytest.approx((low, high), abs=1.5)


@pytest.mark.parametrize(
    ("haystack", "length_s", "padded"),
    [("zero", 20, (586, 1512)), ("gaussian", 20, None), ("zero", 10, (98, 1024))],
)
def test_padding_is_marked_where_there_is_some(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    haystack: str,
    length_s: float,
    padded: tuple[int, int] | None,
) -> None:
    """A clip of 1 s has 98 frames: the rest of its 1024 is padding, or noise that goes on under it."""
    path = tmp_path / "short.wav"
    soundfile.write(path, tiny.tone(1)[:16000], 16000)
    scenes: list[PreviewScene] = []

    def spy(scene: PreviewScene, *rest: Any) -> Figure:
        scenes.append(scene)
        return draw(scene, *rest)

    monkeypatch.setattr("niah.preview.files.draw", spy)
    preview(path, haystack, snr_db=5, length_s=length_s, position=0.5, out=tmp_path / "out")
    assert scenes[0].padding == padded


@pytest.mark.parametrize("length_s", [10, 10.26, 60])
@pytest.mark.parametrize("position", [0.0, 1.0])
def test_any_length_and_place(
    needle: Path, tmp_path: Path, length_s: float, position: float
) -> None:
    paths = preview(
        needle, "zero", snr_db=None, length_s=length_s, position=position, out=tmp_path / "a"
    )
    total = 1024 if length_s == 10 else round(100 * length_s)
    assert np.load(paths[0]).shape == (total, 128)
    assert soundfile.info(paths[2]).frames == total * 160


def test_nothing_is_written_for_a_bad_request(needle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for options in (
        {"haystack": "gaussian", "snr_db": None, "length_s": 20, "position": 0.5},
        {"haystack": "zero", "snr_db": None, "length_s": 5, "position": 0.5},
        {"haystack": "zero", "snr_db": None, "length_s": 20, "position": 1.5},
        {"haystack": "zeros", "snr_db": None, "length_s": 20, "position": 0.5},
    ):
        with pytest.raises(NiahError):
            preview(needle, out=out, **options)  # type: ignore[arg-type]
    assert not out.exists()


def test_nothing_is_left_when_writing_fails(
    needle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("niah.preview.files.play", full_disk)
    with pytest.raises(NiahError, match="space"):
        preview(needle, "zero", snr_db=None, length_s=12, position=0, out=tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_out_must_be_a_folder(needle: Path) -> None:
    with pytest.raises(NiahError, match="is a file"):
        preview(needle, "zero", snr_db=None, length_s=12, position=0, out=needle)


@pytest.mark.parametrize(
    ("model", "frames", "mels", "rate"),
    [
        ("passt-s", 1000, 128, 32000),
        ("htsat", 1001, 64, 32000),
        ("beats-iter3", 998, 128, 16000),
        ("ced-tiny", 1001, 64, 16000),
    ],
)
def test_a_preview_for_another_front_end(
    tmp_path: Path, model: str, frames: int, mels: int, rate: int
) -> None:
    sound = tiny.tone(1)
    soundfile.write(tmp_path / "clip.wav", sound, tiny.SAMPLE_RATE)
    frontend = frontend_of(find_source(model))
    out = tmp_path / "out"
    paths = preview(
        tmp_path / "clip.wav",
        "gaussian",
        snr_db=5.0,
        length_s=12,
        position=0.25,
        out=out,
        protocol="dass-v1",
        frontend=frontend,
    )
    features = np.load(paths[0])
    assert features.shape == (1200, mels)
    wave = audio.load(tmp_path / "clip.wav", rate).samples
    needle = SceneBuilder(frontend, "dass-v1", load_haystack("gaussian")).needle(wave)
    start = min(int(1200 * 0.25), 1200 - frames)
    np.testing.assert_array_equal(features[start : start + frames], needle.features.numpy())
    played, played_rate = soundfile.read(out / "scene.wav")
    assert (len(played), played_rate) == (1200 * rate // 100, rate)


def test_a_front_end_of_a_users_own_has_no_picture(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.wav", tiny.tone(1), tiny.SAMPLE_RATE)
    with pytest.raises(NiahError, match="SimpleNamespace has no decibels to draw"):
        preview(
            tmp_path / "clip.wav",
            "silence",
            snr_db=None,
            length_s=12,
            position=0,
            out=tmp_path / "out",
            frontend=SimpleNamespace(needle_frames=1000),
        )


def test_a_preview_of_a_model_of_waveforms(tmp_path: Path) -> None:
    """Samples are drawn as mel bands: a tone of 1 kHz is brightest in the row of 1 kHz; windows where it is cut."""
    wave = np.sin(2 * np.pi * 1000 * np.arange(80000) / 16000).astype(np.float32)
    soundfile.write(tmp_path / "clip.wav", 0.1 * wave, 16000)
    adapter = WaveformAdapter(PitchTagger(fixed_seconds=4.0))
    paths = preview(
        tmp_path / "clip.wav",
        "silence",
        snr_db=None,
        length_s=12,
        position=0.5,
        out=tmp_path / "out",
        frontend=adapter.frontend,
        adapter=adapter,
    )
    assert [path.name for path in paths][-1] == "curve.csv"
    rows = np.load(paths[0])
    assert rows.shape == (1200, 160)
    drawn, front = drawn_features(adapter.frontend, rows), drawn_as(adapter.frontend)
    assert drawn.shape == (1200, 64)
    assert front.decibels(drawn[200:500]).mean(axis=0).argmax() == int(front.row_of(1000.0))
    assert (drawn[:90] == drawn[0]).all()  # silence before it
    played, _ = soundfile.read(paths[2], dtype="float32")
    np.testing.assert_allclose(played, rows.reshape(-1), atol=1e-4)


# --- where a model heard it


def test_a_model_adds_its_curve(needle: Path, tmp_path: Path) -> None:
    adapter = load_model("dass-nano")
    out = tmp_path / "out"
    paths = preview(
        needle, "zero", snr_db=None, length_s=30, position=0.5, out=out, adapter=adapter
    )
    assert [path.name for path in paths][-1] == "curve.csv"
    with paths[-1].open() as file:
        header, *rows = list(csv.reader(file))
    features = torch.from_numpy(np.load(out / "features.npy"))
    logits = adapter.logits(features[None])[0]
    top = [adapter.labels.names[i] for i in torch.argsort(logits, descending=True)[:4]]
    assert header == ["time_s", *top]
    means = np.array(rows, dtype=float)[:, 1:].mean(axis=0)
    assert np.allclose(means, torch.sort(logits, descending=True).values[:4], atol=1e-3)


def test_occlusion_is_drawn_for_any_model(
    needle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Figure] = []

    def write(figure: Figure, stream: BinaryIO, kind: str) -> None:
        figures.append(figure)
        write_as(figure, stream, kind)

    monkeypatch.setattr("niah.preview.files.write_as", write)
    paths = preview(
        needle,
        "gaussian",
        snr_db=10,
        length_s=12,
        position=1,
        out=tmp_path / "out",
        adapter=load_model("dass-nano"),
        method="occlusion",
    )
    with paths[-1].open() as file:
        rows = list(csv.reader(file))
    assert [float(row[0]) for row in rows[1:]] == pytest.approx([k + 0.5 for k in range(12)])
    evidence, (legend,) = figures[0].axes[1], figures[0].legends
    assert "in brackets, a class's score" in " ".join(evidence.get_title().split())
    assert legend.get_texts()[0].get_text() == "needle"
    assert legend.get_window_extent().y1 < evidence.get_window_extent().y0  # covers no curve
    with pytest.raises(NiahError, match="--method 'ear'"):
        preview(
            needle,
            "zero",
            snr_db=None,
            length_s=12,
            position=0,
            out=tmp_path / "b",
            adapter=load_model("dass-nano"),
            method="ear",
        )
    assert not (tmp_path / "b").exists()


def test_only_weights_at_hand_are_loaded(tmp_path: Path) -> None:
    assert weights_at_hand(find_source("dass-nano"), None)
    assert not weights_at_hand(find_source("dass-medium"), None)
    assert weights_at_hand(find_source("dass-medium"), tmp_path / "any.pth")
    assert not weights_at_hand(find_source("ast-sin-base"), None)
