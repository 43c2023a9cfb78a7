"""ONNX by card: every layout, 8-bit ends, poolings and activations against numpy; what does not fit is one line."""

import dataclasses
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import niah
from niah.adapters.onnx import Onnx
from niah.adapters.onnx_tagger import OnnxSettings
from niah.adapters.verify import verify
from niah.adapters.wrappers.pooled import Pooled, has_position_logits
from niah.errors import NiahError
from niah.frontends.log_mel import LogMelFrontend
from niah.networks.layers.pooling import pool
from tests.helpers.tiny import REPOSITORY
from tests.helpers.tiny_onnx import CLASSES, MELS, TinyOnnx, card, write_waveform_graph

PLAIN = 'axes = ["batch", "frames", "mels"]'
PATCHES = "patch_frames = 20\npatch_hop = 10"


def features(frames: int, batch: int = 2) -> torch.Tensor:
    return 2 * torch.randn(batch, frames, MELS, generator=torch.Generator().manual_seed(frames)) - 1


def loaded(path: Path) -> Onnx:
    adapter = niah.load_model(path)
    assert isinstance(adapter, Onnx)
    return adapter


@pytest.mark.parametrize(
    ("axes", "shape", "quantised"),
    [
        (("batch", "frames", "mels"), (None, None, MELS), False),
        (("batch", "channel", "mels", "frames"), (None, 1, MELS, None), False),
        (("batch", "frames", "mels"), (1, None, MELS), True),
        (("mels", "frames"), (MELS, None), False),
        (("channel", "frames", "mels"), (1, None, MELS), True),
    ],
)
def test_whole_inputs_in_every_layout(
    tmp_path: Path, axes: tuple[str, ...], shape: tuple[int | None, ...], quantised: bool
) -> None:
    graph = TinyOnnx(axes, shape, quantised)
    graph.write(tmp_path / "tiny.onnx")
    adapter = loaded(card(tmp_path, f"axes = {list(axes)}"))
    clips = features(37)
    expected = np.stack([graph.expected(clip.numpy()) for clip in clips])
    np.testing.assert_allclose(adapter.logits(clips).numpy(), expected, atol=1e-5)
    assert adapter.logits(clips).dtype == torch.float32
    assert not has_position_logits(adapter)


@pytest.mark.parametrize("quantised", [False, True])
@pytest.mark.parametrize("batch", [None, 1])
def test_patches_are_scored_one_by_one_and_pooled(
    tmp_path: Path, batch: int | None, quantised: bool
) -> None:
    axes = ("batch", "channel", "frames", "mels")
    graph = TinyOnnx(axes, (batch, 1, 20, MELS), quantised)
    graph.write(tmp_path / "tiny.onnx")
    path = card(tmp_path, f'axes = {list(axes)}\npooling = "mean-probability"', frontend=PATCHES)
    adapter, clips = loaded(path), features(95)
    silence = np.full((5, MELS), adapter.frontend.silence, np.float32)
    filled = [np.concatenate([clip.numpy(), silence]) for clip in clips]
    expected = torch.tensor(
        np.array([[graph.expected(clip[i : i + 20]) for i in range(0, 81, 10)] for clip in filled])
    )
    positions = adapter.position_logits(clips.mT.contiguous().mT.requires_grad_())
    assert positions.shape == (2, 9, CLASSES)
    torch.testing.assert_close(positions.double(), expected, atol=1e-5, rtol=0)
    pooled = pool(expected, "mean-probability", 1.0).float()
    torch.testing.assert_close(adapter.logits(clips), pooled, atol=1e-5, rtol=0)
    assert has_position_logits(adapter)


def test_an_output_of_frames_and_probabilities(tmp_path: Path) -> None:
    graph = TinyOnnx(("frames", "mels"), (None, MELS), by_frame=True, probabilities=True)
    graph.write(tmp_path / "tiny.onnx", output="again")
    config = 'axes = ["frames", "mels"]\nactivation = "probabilities"\noutput = "again"\n'
    adapter, clips = loaded(card(tmp_path, f'{config}pooling = "max"')), features(30)
    expected = np.stack([graph.expected(clip.numpy()).max(0) for clip in clips])
    np.testing.assert_allclose(adapter.logits(clips).numpy(), expected, atol=1e-3)
    certain = adapter.logits(clips + 1000).abs()
    assert float(certain.max()) == pytest.approx(
        np.log(1e7), rel=1e-4
    )  # the clamp of probabilities


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        (("batch", "frames", "mels"), (None, None, MELS)),
        (("batch", "frames", "mels"), (1, None, MELS)),
        (("frames", "mels"), (None, MELS)),
    ],
)
def test_an_output_of_frames_without_a_pooling_is_refused_at_once(
    tmp_path: Path, axes: tuple[str, ...], shape: tuple[int | None, ...]
) -> None:
    """Every cell of a run failed, after its clips were read."""
    TinyOnnx(axes, shape, by_frame=True).write(tmp_path / "tiny.onnx")
    config = f"axes = {list(axes)}"
    with pytest.raises(NiahError, match=r"has several scores of each class: set config.pooling"):
        loaded(card(tmp_path, config))
    assert loaded(card(tmp_path, f'{config}\npooling = "max"')).logits(features(30)).shape == (
        2,
        10,
    )


def test_scales_of_the_card_stand_for_the_graphs(tmp_path: Path) -> None:
    TinyOnnx(shape=(1, None, MELS), quantised=True).write(tmp_path / "tiny.onnx")
    plain = loaded(card(tmp_path, PLAIN)).logits(features(40))
    shifted = loaded(card(tmp_path, f"{PLAIN}\noutput_scale = 0.04\noutput_zero_point = 90"))
    torch.testing.assert_close(shifted.logits(features(40)), 2 * (plain + 0.2))


def test_weights_beside_the_graph_are_in_its_checksum(tmp_path: Path) -> None:
    aside = {"save_as_external_data": True, "location": "tiny.data", "size_threshold": 100}
    prints = []
    for classes in (10, 25):
        graph = TinyOnnx(classes=classes)
        graph.write(tmp_path / "tiny.onnx", save=aside)
        adapter = loaded(card(tmp_path, PLAIN, labels={10: "esc-10", 25: "synthetic"}[classes]))
        expected = graph.expected(features(9)[0].numpy())
        np.testing.assert_allclose(adapter.logits(features(9))[0].numpy(), expected, atol=1e-5)
        prints.append(adapter.weights_sha256)
        (tmp_path / "tiny.data").write_bytes((tmp_path / "tiny.data").read_bytes()[:-1] + b"\x01")
        prints.append(loaded(tmp_path / "tiny.toml").weights_sha256)
    assert len(set(prints)) == 4


@pytest.mark.parametrize(
    ("graph", "config", "frontend", "problem"),
    [
        (TinyOnnx(), 'axes = ["batch", "channel", "frames", "mels"]', "", "has 3 axes, and config.axes names 4"),
        (TinyOnnx(shape=(None, None, 8), mels=8), PLAIN, "", "has 8 mels, and frontend.n_mels is 16"),
        (TinyOnnx(shape=(4, None, MELS)), PLAIN, "", "takes 4 at once"),
        (TinyOnnx(shape=(None, 96, MELS)), PLAIN, "", "takes 96 frames: set frontend.patch_frames = 96"),
        (TinyOnnx(("batch", "channel", "frames", "mels"), (None, 2, None, MELS)),
         'axes = ["batch", "channel", "frames", "mels"]', "", "has 2 channels"),
        (TinyOnnx(classes=11), PLAIN, "", "has 11 classes, and 'esc-10' has 10"),
        (TinyOnnx(), f'{PLAIN}\noutput = "none"', "", "has no output 'none'; it has logits"),
        (TinyOnnx(by_frame=True), f'{PLAIN}\npooling = "max"', PATCHES, "several scores of each class for a patch"),
        (TinyOnnx(), PLAIN, PATCHES, "key 'config.pooling' is missing: it says how patches are pooled"),
        (TinyOnnx(), 'axes = ["frames"]', "", "key 'config.axes' must hold frames and mels"),
        (TinyOnnx(), f'{PLAIN}\npooling = "maks"', "", "none or average .*'maks' was given. Did you mean 'max'"),
        (TinyOnnx(), f'{PLAIN}\nactivation = "softmax"', "", "key 'config.activation' must be logits or probabilities"),
        (TinyOnnx(), f"{PLAIN}\nlayers = 3", "", "unknown key 'config.layers'"),
        (TinyOnnx(), "", "", "key 'config.axes' is missing"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(
    tmp_path: Path, graph: TinyOnnx, config: str, frontend: str, problem: str
) -> None:
    graph.write(tmp_path / "tiny.onnx")
    with pytest.raises(NiahError, match=problem) as refused:
        loaded(card(tmp_path, config, frontend=frontend)).logits(features(40))
    assert "tiny" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_files_that_are_no_graph_of_one_input(tmp_path: Path) -> None:
    path = card(tmp_path, PLAIN)
    (tmp_path / "tiny.onnx").write_text("no graph")
    with pytest.raises(NiahError, match=r"tiny.onnx is no ONNX graph that onnxruntime runs"):
        loaded(path)
    TinyOnnx().write(tmp_path / "tiny.onnx", extra=True)
    with pytest.raises(NiahError, match=r"must have one input but it has 2 \(sound, extra\)"):
        loaded(path)
    TinyOnnx().write(tmp_path / "tiny.onnx", output="more")
    with pytest.raises(NiahError, match=r"several outputs \(logits, more\)"):
        loaded(path)
    with pytest.raises(NiahError, match="leave --checkpoint random out"):
        niah.load_model(path, "random")
    with pytest.raises(NiahError, match="leave --dtype out"):
        niah.load_model(path, dtype="bfloat16")
    path.write_text(path.read_text().replace("hop_length = 160", "hop_length = 200"))
    with pytest.raises(
        NiahError,
        match=r"hop_length is 12.5 ms, and frames of scenes lie 10 ms apart: take adapter",
    ):
        loaded(path)


@pytest.mark.parametrize("module", ["onnx", "onnxruntime"])
def test_a_missing_extra_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    TinyOnnx().write(tmp_path / "tiny.onnx")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(NiahError, match=rf"needs {module}: pip install 'audio-niah\[onnx\]'"):
        loaded(card(tmp_path, PLAIN))


def test_a_graph_of_waveforms(tmp_path: Path) -> None:
    weight = torch.from_numpy(write_waveform_graph(tmp_path / "tiny.onnx"))
    path = tmp_path / "tiny.toml"
    head = (
        'name = "tiny"\nadapter = "niah.adapters.onnx:OnnxWaveform"\nlabels = "esc-10"\n[config]\n'
    )
    tail = '\n[weights.own]\nfile = "tiny.onnx"\n'
    path.write_text(f'{head}axes = ["batch", "samples"]\nsample_rate = 8000{tail}')
    wave = torch.randn(2, 8000, generator=torch.Generator().manual_seed(0))
    means = torch.stack([wave.mean(dim=1), wave.abs().mean(dim=1)], dim=1)
    adapter, rows = niah.load_model(path), wave.reshape(2, 100, 80)
    torch.testing.assert_close(adapter.logits(rows), means @ weight, atol=1e-5, rtol=0)
    write_waveform_graph(tmp_path / "tiny.onnx", 16000)
    adapter = niah.load_model(path)
    torch.testing.assert_close(adapter.logits(rows), means @ weight / 2, atol=1e-5, rtol=0)
    with pytest.raises(NiahError, match=r"crops to 2 s, so 3 s have no native mode"):
        adapter.logits(torch.zeros(1, 300, 80))
    path.write_text(f'{head}axes = ["batch", "samples"]{tail}')
    with pytest.raises(NiahError, match=r"key 'config.sample_rate' is missing"):
        niah.load_model(path)
    path.write_text(f'{head}axes = ["batch", "frames", "mels"]\nsample_rate = 8000{tail}')
    with pytest.raises(NiahError, match=r"key 'config.axes' must hold samples"):
        niah.load_model(path)


def test_features_of_any_hop_are_computed_from_waveforms(tmp_path: Path) -> None:
    """Scenes are waveforms then; with a hop of 10 ms the scores are those of feature scenes."""
    TinyOnnx(shape=(None, 20, MELS)).write(tmp_path / "tiny.onnx")
    path = card(tmp_path, f'{PLAIN}\npooling = "max"', frontend=PATCHES)
    wave = 0.1 * torch.randn(2, 32000, generator=torch.Generator().manual_seed(0))
    plain = loaded(path)
    expected = plain.logits(plain.frontend(wave))
    path.write_text(path.read_text().replace("onnx:Onnx", "onnx:OnnxWaveform"))
    of_waves, rows = niah.load_model(path), wave.reshape(2, 200, 160)
    torch.testing.assert_close(of_waves.logits(rows), expected)
    poolings = ("max", "average")  # any other pooling of the same scores
    pooled = [Pooled(plain, *poolings).logits(plain.frontend(wave))]
    pooled.append(Pooled(of_waves, *poolings).logits(rows))
    torch.testing.assert_close(pooled[1][:, :CLASSES], expected)
    assert pooled[0].shape == pooled[1].shape == (2, 2 * CLASSES)
    path.write_text(path.read_text().replace("hop_length = 160", "hop_length = 125"))
    shorter_hop = niah.load_model(path).logits(wave.reshape(2, 200, 160))
    assert shorter_hop.shape == (2, CLASSES)
    assert not torch.allclose(shorter_hop, expected)


def test_the_page_names_every_key() -> None:
    page = (REPOSITORY / "docs" / "onnx.md").read_text("utf-8")
    named = set(re.findall(r"`(\w+)`", page))
    fields = [
        field.name for kind in (OnnxSettings, LogMelFrontend) for field in dataclasses.fields(kind)
    ]
    assert len(fields) > 30
    assert set(fields) - named == set()


def test_the_protocol_is_met_and_a_run_has_its_poolings(tmp_path: Path) -> None:
    axes = ["batch", "frames", "mels"]
    TinyOnnx(shape=(1, 20, MELS), quantised=True, classes=25).write(tmp_path / "tiny.onnx")
    config = f'axes = {axes}\npooling = "mean-probability"'
    path = card(tmp_path, config, frontend=PATCHES, labels="synthetic")
    findings = list(verify(str(path), None, [10, 20], "cpu"))
    assert [finding.text for finding in findings if not finding.met] == []
    assert "protocol: met" in findings[1].text
    table = niah.run(
        models=[path],
        haystacks=["silence", "gaussian"],
        lengths=[10, 20],
        limit=3,
        pooling=["mean-probability", "max"],
        device="cpu",
        out=tmp_path / "run",
    )
    assert set(table.status) == {"ok"}
    assert sorted(table.pooling.value_counts().tolist()) == [4, 4]
    assert set(table.kernel) == {"onnxruntime"}
    assert (table.checkpoint_sha256.str.len() == 64).all()
