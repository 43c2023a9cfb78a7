"""Adapters: the official logits from the official key layouts, and the refusal of everything else."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import niah
from niah.adapters.dass import Dass
from niah.adapters.importing import import_adapter
from niah.adapters.loading import make_adapter
from niah.adapters.network_adapter import NetworkAdapter
from niah.adapters.protocol import Adapter
from niah.adapters.wrappers.sliding_window import SlidingWindow, window_starts
from niah.cards import ModelCard, find_model, model_cards
from niah.errors import NiahError
from niah.scan import Backend
from niah.vocabularies import vocabulary
from tests.helpers.goldens import load_golden

DASS, AST = 1e-5, 5e-5
GOLDENS = [
    ("dass-small", "dass-small", DASS),
    ("dass-small-strong", "dass-small", DASS),
    ("dass-medium", "dass-medium", DASS),
    ("dass-medium-strong", "dass-medium", DASS),
    ("ast", "ast", AST),
    ("ast-interp", "ast-interp", AST),
    ("ast-sine", "ast-sin-base", AST),
]
QUICK = "dass-small-strong"  # the others are whole networks too: `.ci/run` has a line for all official logits


@pytest.mark.parametrize(
    ("golden", "model", "tolerance"),
    [
        pytest.param(*row, marks=[] if row[0] == QUICK else pytest.mark.slow, id=row[0])
        for row in GOLDENS
    ],
)
def test_logits_are_the_official_ones(
    tmp_path: Path, golden: str, model: str, tolerance: float
) -> None:
    file = tmp_path / "official.pth"
    official = load_golden(golden)
    torch.save({f"module.{key}": value for key, value in official.state.items()}, file)
    adapter = niah.load_model(model, checkpoint=file)
    file.unlink()  # hundreds of megabytes
    for features, expected in official.cases():
        found = adapter.logits(features).numpy()
        assert found.dtype == np.float32
        assert np.abs(found - expected).max() <= tolerance


def test_no_outline_imports_torchs_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch does for some operations on the meta device, and it takes seconds."""
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # an import fails
    for card in {card.adapter: card for card in model_cards()}.values():
        adapter = make_adapter(card)
        assert adapter.name == card.name
        if isinstance(adapter, NetworkAdapter):
            assert adapter.parameters == card.parameters, card.name


@pytest.mark.parametrize("backend", ["reference", "chunked"])
def test_every_scan_gives_the_same_logits(backend: Backend) -> None:
    adapter = niah.load_model("dass-nano")
    assert isinstance(adapter, Dass)
    features = torch.randn(1, 300, 128, generator=torch.Generator().manual_seed(0))
    fast = adapter.logits(features)
    assert adapter.kernel == "scan-cpu"
    adapter.network.set_scan_backend(backend)
    assert adapter.kernel == f"scan-{backend}"
    torch.testing.assert_close(adapter.logits(features), fast, atol=1e-5, rtol=0)


def nano_state() -> dict[str, Tensor]:
    adapter = niah.load_model("dass-nano", checkpoint="random")
    assert isinstance(adapter, NetworkAdapter)
    return {f"v.{key}": value.clone() for key, value in adapter.network.state_dict().items()}


def test_wrappers_and_layouts_load_alike(tmp_path: Path) -> None:
    state = nano_state()
    hub = {}
    for key, value in state.items():
        name = key.removeprefix("v.")
        for ours, theirs in (
            ("patch_embed.0.", "dass.patch_embeddings.projection.0."),
            ("patch_embed.2.", "dass.patch_embeddings.projection.1."),
            ("patch_embed.5.", "dass.patch_embeddings.projection.3."),
            ("patch_embed.7.", "dass.patch_embeddings.projection.4."),
            ("patch_embed.10.", "dass.patch_embeddings.projection.10."),
            ("patch_embed.12.", "dass.patch_embeddings.projection.12."),
            ("classifier.norm.", "dass.norm."),
            ("classifier.head.", "head."),
            ("layers.", "dass.layers."),
        ):
            if name.startswith(ours):
                name = theirs + name.removeprefix(ours)
                break
        name = name.replace("downsample.1.", "downsample.down.").replace(
            "downsample.3.", "downsample.norm."
        )
        if name.endswith(("x_proj_weight", "dt_projs_weight")):
            name, value = name.replace("_weight", ".weight"), value.flatten(0, 1)
        hub[name] = value
    linear_as_convolution = {
        key: value[..., None, None] if key.endswith("proj.weight") and value.ndim == 2 else value
        for key, value in state.items()
    }
    variants = {
        "module.pth": {f"module.{k}": v for k, v in state.items()},
        "nested.ckpt": {"model": {f"sed_model.{k}": v for k, v in state.items()}},
        "plain.pt": state,
        "convolutions.pth": linear_as_convolution,
        "hub.bin": hub,
    }
    features = torch.randn(1, 100, 128, generator=torch.Generator().manual_seed(0))
    expected = None
    for name, variant in variants.items():
        torch.save(variant, tmp_path / name)
        logits = niah.load_model("dass-nano", checkpoint=tmp_path / name).logits(features)
        expected = logits if expected is None else expected
        assert torch.equal(logits, expected), name


def test_hub_layout_of_ast_loads(tmp_path: Path) -> None:
    adapter = niah.load_model("ast-sin-nano", checkpoint="random")
    assert isinstance(adapter, NetworkAdapter)
    prefix = "audio_spectrogram_transformer."
    hub = {}
    for key, value in adapter.network.state_dict().items():
        name = key
        for ours, theirs in (
            ("v.cls_token", f"{prefix}embeddings.cls_token"),
            ("v.dist_token", f"{prefix}embeddings.distillation_token"),
            ("v.patch_embed.proj", f"{prefix}embeddings.patch_embeddings.projection"),
            ("v.blocks.", f"{prefix}encoder.layer."),
            ("v.norm.", f"{prefix}layernorm."),
            ("mlp_head.0.", "classifier.layernorm."),
            ("mlp_head.1.", "classifier.dense."),
            (".norm1.", ".layernorm_before."),
            (".norm2.", ".layernorm_after."),
            (".attn.proj.", ".attention.output.dense."),
            (".mlp.fc1.", ".intermediate.dense."),
            (".mlp.fc2.", ".output.dense."),
        ):
            name = name.replace(ours, theirs)
        if ".attn.qkv." in name:
            for part, third in zip(("query", "key", "value"), value.chunk(3), strict=True):
                hub[name.replace(".attn.qkv.", f".attention.attention.{part}.")] = third.clone()
        else:
            hub[name] = value
    save_file(hub, tmp_path / "model.safetensors")
    features = torch.randn(1, 200, 128, generator=torch.Generator().manual_seed(0))
    loaded = niah.load_model("ast-sin-nano", checkpoint=tmp_path / "model.safetensors")
    assert torch.equal(loaded.logits(features), adapter.logits(features))


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code was run",)


def test_a_file_with_code_in_it_is_refused_and_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"v.x": Payload()}, tmp_path / "evil.pth")
    with pytest.raises(NiahError, match="refused"):
        niah.load_model("dass-nano", checkpoint=tmp_path / "evil.pth")
    assert "code was run" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content"), [("a.pth", b"no torch file"), ("a.safetensors", b"\x00"), ("e.pth", b"")]
)
def test_a_damaged_file_is_told(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(NiahError, match=name):
        niah.load_model("dass-nano", checkpoint=tmp_path / name)


def test_learned_positions_refuse_other_lengths_and_sinusoids_refuse_learned_ones(
    tmp_path: Path,
) -> None:
    adapter = niah.load_model("ast", checkpoint="random")
    with pytest.raises(NiahError, match="ast-interp"):
        adapter.logits(torch.zeros(1, 2048, 128))
    state = {"v.pos_embed": torch.zeros(1, 1214, 768)}
    torch.save(state, tmp_path / "learned.pth")
    with pytest.raises(NiahError, match="learned positions"):
        niah.load_model("ast-sin-base", checkpoint=tmp_path / "learned.pth")


NETWORK_CARDS = [
    card for card in model_cards() if ".onnx:" not in card.adapter
]  # graphs have files


@pytest.mark.parametrize("card", NETWORK_CARDS, ids=lambda card: card.name)
def test_every_card_makes_an_adapter_of_the_size_it_says(
    card: ModelCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("trunc_normal_", "kaiming_uniform_", "xavier_uniform_", "uniform_", "normal_"):
        # shapes alone: the cards together have billions of parameters
        monkeypatch.setattr(torch.nn.init, name, lambda tensor, *_, **__: tensor)
    adapter = import_adapter(card)(card, device=torch.device("cpu"))
    assert isinstance(adapter, Adapter)
    assert isinstance(adapter, NetworkAdapter)
    assert adapter.parameters == card.parameters
    for batch, frames in ((1, 1), (1, 1024), (2, 1024), (3, 30_000), (1, 900_000)):
        elements = adapter.largest_tensor(batch, frames)
        assert elements >= batch * frames * adapter.frontend.mels
        assert elements <= adapter.largest_tensor(batch + 1, frames)


@pytest.mark.parametrize(
    ("name", "hub", "score"),
    [
        ("dass-small", "saurabhati/DASS_small_AudioSet_47.2", 47.2),
        ("dass-small:v1", "saurabhati/DASS_small_AudioSet_47.2", 47.2),
        ("dass-small:v2", "saurabhati/DASS_small_AudioSet_48.6", 48.6),
        ("dass-small:v3", "saurabhati/DASS_small_AudioSet_50.1", 50.1),
        ("dass-medium:v1", "saurabhati/DASS_medium_AudioSet_47.6", 47.6),
        ("dass-medium:v2", "saurabhati/DASS_medium_AudioSet_48.9", 48.9),
        ("dass-medium:v3", "saurabhati/DASS_medium_AudioSet_50.2", 50.2),
    ],
)
def test_every_release_of_dass_has_its_name(name: str, hub: str, score: float) -> None:
    card, weights = find_model(name)
    assert card.weights[weights].hub == hub
    assert card.published[f"{weights}_mAP"] == score


def test_sliding_window_is_the_maximum_over_windows() -> None:
    adapter = niah.load_model("dass-nano", checkpoint="random")
    window = SlidingWindow(adapter, 10)
    features = torch.randn(1, 2000, 128, generator=torch.Generator().manual_seed(0))
    by_hand = torch.stack([adapter.logits(features[:, s : s + 1024]) for s in (0, 512, 976)]).amax(
        0
    )
    assert torch.equal(window.logits(features), by_hand)
    assert torch.equal(window.logits(features[:, :1024]), adapter.logits(features[:, :1024]))


@pytest.mark.parametrize("frames", [1024, 1025, 1536, 5000])
def test_windows_cover_every_frame(frames: int) -> None:
    starts = window_starts(frames, 1024)
    covered = set().union(*(range(s, s + 1024) for s in starts))
    assert covered >= set(range(frames))
    assert starts[-1] + 1024 == frames


@pytest.mark.parametrize("name", ["dass-nano", "ast-sin-nano", "aum-nano"])
def test_logits_of_16_bits_are_not_rounded_to_16_bits(name: str) -> None:
    """Else clips that differ by less than a step of the dtype tie, and mAP depends on how ties are counted."""
    adapter = niah.load_model(name, dtype="bfloat16")
    logits = adapter.logits(torch.randn(2, 256, 128, generator=torch.Generator().manual_seed(0)))
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, logits.bfloat16().float())


def test_every_family_names_its_classifier() -> None:
    """It keeps 32 bits in a network of 16, takes labels in another order, and a recipe's bias."""
    cards = {card.adapter: card for card in model_cards()}
    families = {name: import_adapter(card) for name, card in cards.items()}
    assert len(families) > 15
    for name, family in families.items():
        if not (isinstance(family, type) and issubclass(family, NetworkAdapter)):
            continue
        card, classes = cards[name], len(vocabulary(cards[name].labels_source))
        with torch.device("meta"):
            network = family.build(card.config, classes)
        head: Any = network.get_submodule(family.head)
        assert head.weight.shape[0] == classes, name
