"""BEATs: the official scores, classes put into AudioSet's order, and attention that is exact block by block."""

import json
import math
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

import niah
from niah.adapters.beats import Beats
from niah.errors import NiahError
from niah.networks import beats
from niah.networks.beats import Attention, BeatsConfig, bucket
from niah.training.initial_weights import start_from
from niah.training.loop import Trained
from niah.training.recipes import Recipe
from niah.training.trained_model import write_weights
from niah.vocabularies import vocabulary
from tests.helpers.goldens import load_golden
from tests.helpers.largest import LargestTensor
from tests.helpers.small_card import small_card

TOLERANCE = 1e-4
SMALL = {
    "width": 24,
    "depth": 2,
    "heads": 3,
    "hidden": 40,
    "patch_width": 16,
    "conv_kernel": 8,
    "conv_groups": 4,
    "buckets": 32,
    "max_distance": 40,
}
LABELS = vocabulary("esc-10")
SHUFFLED = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]  # official row -> label
CFG = {"encoder_layers": 2, "encoder_attention_heads": 3, "max_distance": 40, "deep_norm": True}


def small_beats(folder: Path, checkpoint: Path | str = "random") -> Beats:
    config = "\n".join(f"{key} = {value}" for key, value in SMALL.items())
    card = small_card(folder, "niah.adapters.beats:Beats", config)
    adapter = niah.load_model(card, checkpoint=checkpoint)
    assert isinstance(adapter, Beats)
    return adapter


def official_layout(network: nn.Module) -> dict[str, Tensor]:
    """Our keys to the authors': the convolution inside a Sequential, the position table under every layer."""
    state = {}
    for key, value in network.state_dict().items():
        if "relative_attention_bias" in key:
            for layer in range(SMALL["depth"]):
                name = f"encoder.layers.{layer}.self_attn.relative_attention_bias.weight"
                state[name] = value.clone()
        else:
            state[key.replace("pos_conv.", "pos_conv.0.")] = value.clone()
    return state


def official_file(path: Path, network: nn.Module, **changed: Any) -> Path:
    """{cfg, model, label_dict} whose outputs stand in the order `SHUFFLED`."""
    state = official_layout(network)
    for key in ("predictor.weight", "predictor.bias"):
        state[key] = state[key][SHUFFLED]
    label_dict = {row: LABELS.ids[label] for row, label in enumerate(SHUFFLED)}
    torch.save({"cfg": CFG, "model": state, "label_dict": label_dict, **changed}, path)
    return path


def features_of(frames: int, batch: int = 2, seed: int = 0) -> Tensor:
    return torch.randn(batch, frames, 128, generator=torch.Generator().manual_seed(seed))


@pytest.mark.slow  # a whole ViT-B; `.ci/run` has a line for all official logits
def test_logits_are_the_official_ones_in_audiosets_order(tmp_path: Path) -> None:
    golden = load_golden("beats-iter3")
    ids = vocabulary("audioset-527").ids
    order = np.random.default_rng(0).permutation(len(ids))
    for key in ("predictor.weight", "predictor.bias"):
        golden.state[key] = golden.state[key][torch.from_numpy(order)]
    file = tmp_path / "BEATs_iter3_finetuned_on_AS2M_cpt1.pt"
    label_dict = {row: ids[label] for row, label in enumerate(order.tolist())}
    whole = {"cfg": golden.document["config"], "model": golden.state, "label_dict": label_dict}
    torch.save(whole, file)
    adapter = niah.load_model("beats-iter3", checkpoint=file)
    assert isinstance(adapter, Beats)
    file.unlink()  # hundreds of megabytes
    assert adapter.parameters == adapter.card.parameters
    for features, expected in golden.cases():
        assert np.abs(adapter.logits(features).numpy() - expected).max() <= TOLERANCE


def test_the_other_card_is_of_the_same_network() -> None:
    from niah.cards import find_model

    cards = [find_model(name)[0] for name in ("beats-iter3", "beats-iter3-plus")]
    assert cards[0].fingerprint == cards[1].fingerprint
    assert [card.published["audioset_mAP"] for card in cards] == [48.0, 48.6]


def test_label_dict_puts_the_classes_into_order(tmp_path: Path) -> None:
    ours = small_beats(tmp_path)
    features = features_of(80)
    expected = ours.logits(features)
    file = official_file(tmp_path / "official.pt", ours.network)
    assert torch.equal(small_beats(tmp_path, file).logits(features), expected)
    as_text = {
        str(row): LABELS.ids[label] for row, label in enumerate(SHUFFLED)
    }  # as JSON keeps keys
    file = official_file(tmp_path / "text.pt", ours.network, label_dict=as_text)
    assert torch.equal(small_beats(tmp_path, file).logits(features), expected)


def test_training_starts_from_the_classes_in_order(tmp_path: Path) -> None:
    ours = small_beats(tmp_path)
    file = official_file(tmp_path / "official.pt", ours.network)
    fresh = small_beats(tmp_path).network
    for parameter in fresh.parameters():
        torch.nn.init.zeros_(parameter)
    start_from(fresh, str(ours.card.path), LABELS, str(file))
    assert torch.equal(fresh.predictor.weight, ours.network.predictor.weight)


def test_without_label_dict_the_order_is_the_vocabularys(tmp_path: Path) -> None:
    ours = small_beats(tmp_path)
    features = features_of(80)
    expected = ours.logits(features)
    save_file(ours.network.state_dict(), tmp_path / "own.safetensors")
    torch.save(official_layout(ours.network), tmp_path / "bare.pt")
    legacy = tmp_path / "legacy.pt"
    torch.save(official_layout(ours.network), legacy, _use_new_zipfile_serialization=False)
    for file in (tmp_path / "own.safetensors", tmp_path / "bare.pt", legacy):
        assert torch.equal(small_beats(tmp_path, file).logits(features), expected)


def test_audiosets_classes_in_an_order_that_nothing_says_are_refused(tmp_path: Path) -> None:
    """The released outputs are permuted: a state without its label_dict may be theirs."""
    labels = vocabulary("audioset-527")
    config = "\n".join(f"{key} = {value}" for key, value in SMALL.items())
    card = small_card(tmp_path, "niah.adapters.beats:Beats", config, "audioset-527")
    ours = niah.load_model(card, checkpoint="random")
    assert isinstance(ours, Beats)
    features, state = features_of(40), official_layout(ours.network)
    expected = ours.logits(features)
    torch.save({"cfg": CFG, "model": state}, tmp_path / "partial.pt")
    save_file(ours.network.state_dict(), tmp_path / "model.safetensors")
    for file in ("partial.pt", "model.safetensors"):
        with pytest.raises(NiahError, match=rf"{file} has no label_dict.* a card whose labels are"):
            niah.load_model(card, checkpoint=tmp_path / file)
    label_dict = dict(enumerate(labels.ids))
    torch.save({"model": state, "label_dict": label_dict}, tmp_path / "whole.pt")
    (tmp_path / "outputs.csv").write_text("\n".join(["mid", *labels.ids]))
    own = small_card(tmp_path, "niah.adapters.beats:Beats", config, "outputs.csv")
    accepted = [niah.load_model(own, checkpoint=tmp_path / "partial.pt")]
    trained = Trained(ours.network.state_dict(), {})
    write_weights(tmp_path, trained, Recipe(model=str(card)))  # in the card's order
    card = small_card(tmp_path, "niah.adapters.beats:Beats", config, "audioset-527")
    accepted += [
        niah.load_model(card, checkpoint=tmp_path / name)
        for name in ("whole.pt", "weights.safetensors")
    ]
    outputs = {str(row): name for row, name in enumerate(labels.names)}
    (tmp_path / "config.json").write_text(json.dumps({"id2label": outputs}))
    accepted.append(niah.load_model(card, checkpoint=tmp_path / "model.safetensors"))
    for adapter in accepted:
        assert torch.equal(adapter.logits(features), expected)


@pytest.mark.parametrize(
    ("label_dict", "told"),
    [
        ({row: LABELS.ids[row] for row in range(9)}, "its 9 labels are not those of 'esc-10'"),
        ({row: f"/m/{row}" for row in range(10)}, "/m/0"),
        ({row + 1: id_ for row, id_ in enumerate(LABELS.ids)}, "its 10 labels are not"),
        (list(LABELS.ids), "must map outputs to AudioSet ids"),
    ],
)
def test_other_labels_are_refused(tmp_path: Path, label_dict: object, told: str) -> None:
    network = small_beats(tmp_path).network
    file = official_file(tmp_path / "other.pt", network, label_dict=label_dict)
    with pytest.raises(NiahError, match=told):
        small_beats(tmp_path, file)


@pytest.mark.parametrize(
    ("key", "value"),
    [("max_distance", 1280), ("deep_norm", False), ("layer_norm_first", True)],
)
def test_another_design_of_the_same_shapes_is_refused(
    tmp_path: Path, key: str, value: object
) -> None:
    network = small_beats(tmp_path).network
    file = official_file(tmp_path / "other.pt", network, cfg={**CFG, key: value})
    with pytest.raises(NiahError, match=f"another design.*{key} = {value}"):
        small_beats(tmp_path, file)


TABLE = "encoder.layers.1.self_attn.relative_attention_bias.weight"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: s.update({TABLE: s[TABLE] + 1}), "layers.1.*shares one table"),
        (lambda s: s.pop("layer_norm.bias"), r"1 missing \(layer_norm.bias\)"),
        (lambda s: s.update(extra=torch.zeros(1)), r"1 not known \(extra\)"),
        (
            lambda s: s.update({"layer_norm.bias": torch.zeros(3)}),
            r"layer_norm.bias is \(3,\), not \(16,\)",
        ),
        (
            lambda s: [s.pop(key) for key in ("predictor.weight", "predictor.bias")],
            "pre-trained only",
        ),
    ],
)
def test_a_state_that_does_not_fit_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], object], told: str
) -> None:
    state = official_layout(small_beats(tmp_path).network)
    change(state)
    torch.save({"cfg": CFG, "model": state}, tmp_path / "changed.pt")
    with pytest.raises(NiahError, match=told):
        small_beats(tmp_path, tmp_path / "changed.pt")


def test_a_file_that_lists_the_shared_table_once_loads(tmp_path: Path) -> None:
    ours = small_beats(tmp_path)
    state = official_layout(ours.network)
    del state[TABLE]
    torch.save({"cfg": CFG, "model": state}, tmp_path / "once.pt")
    features = features_of(40)
    once = small_beats(tmp_path, tmp_path / "once.pt")
    assert torch.equal(once.logits(features), ours.logits(features))


def t5_bucket(offset: int, buckets: int, max_distance: int) -> int:
    """T5's bidirectional rule for one offset, in double precision."""
    half, exact, distance = buckets // 2, buckets // 4, abs(offset)
    side = half if offset > 0 else 0
    if distance < exact:
        return side + distance
    far = exact + int(math.log(distance / exact) / math.log(max_distance / exact) * (half - exact))
    return side + min(far, half - 1)


def test_buckets_are_t5s_and_saturate() -> None:
    config = BeatsConfig()
    offsets = torch.arange(-2000, 2001)
    found = bucket(offsets, config).tolist()
    expected = [t5_bucket(offset, 320, 800) for offset in offsets.tolist()]
    # 1e-6 from a whole number float32 and double may round apart
    assert sum(a != b for a, b in zip(found, expected, strict=True)) <= 2
    assert max(abs(a - b) for a, b in zip(found, expected, strict=True)) <= 1
    assert set(found[:1201]) == {159}  # 800 tokens back and further
    assert set(found[-1201:]) == {319}
    assert len(set(found)) == 319  # the row of a positive offset of 0 is never used


def dense_attention(attention: Attention, x: Tensor, table: Tensor) -> Tensor:
    """The official formula as written: (h, N, N) arrays, scores scaled down by 32 and back less their row's maximum."""
    config = attention.config
    batch, tokens, width = x.shape
    head = width // config.heads
    scale, alpha = head**-0.5, 32

    def heads(y: Tensor) -> Tensor:
        return y.view(batch, tokens, config.heads, head).transpose(1, 2)

    q = heads(attention.q_proj(x)) * scale / alpha
    k, v = heads(attention.k_proj(x)), heads(attention.v_proj(x))
    scores = q @ k.transpose(-2, -1)
    scores = (scores - scores.max(dim=-1, keepdim=True)[0]) * alpha
    position = torch.arange(tokens)
    offset = position[None, :] - position[:, None]
    rows = torch.tensor(
        [[t5_bucket(int(o), config.buckets, config.max_distance) for o in row] for row in offset]
    )
    bias = table[rows].permute(2, 0, 1)
    parts = attention.grep_linear(q * alpha / scale).view(batch, config.heads, tokens, 2, 4)
    a, b = torch.sigmoid(parts.sum(-1)).chunk(2, dim=-1)
    gate = a * (b * attention.grep_a - 1.0) + 2.0
    y = F.softmax(scores + gate * bias, dim=-1) @ v
    out: Tensor = attention.out_proj(y.transpose(1, 2).reshape(batch, tokens, width))
    return out


@pytest.mark.parametrize(("batch", "tokens"), [(1, 1), (2, 7), (3, 96), (1, 131)])
@pytest.mark.parametrize("rows", [1, 5, 1000])
def test_attention_in_blocks_is_the_dense_attention(
    monkeypatch: pytest.MonkeyPatch, batch: int, tokens: int, rows: int
) -> None:
    monkeypatch.setattr(beats, "LEAST_ROWS", rows)
    monkeypatch.setattr(beats, "BLOCK_ELEMENTS", 1)
    config = BeatsConfig(**SMALL)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(tokens)
        attention = Attention(config)
        attention.grep_a.normal_()
        table = torch.randn(config.buckets, config.heads)
        x = 2 * torch.randn(batch, tokens, config.width)
        offset = torch.arange(tokens - 1, -tokens, -1)
        found = attention(x, table[bucket(offset, config)].T.contiguous())
        assert config.block_rows(batch, tokens) == min(rows, tokens)
        torch.testing.assert_close(found, dense_attention(attention, x, table), atol=1e-5, rtol=0)


@pytest.mark.parametrize("frames", [16, 17, 500, 3003])
def test_logits_do_not_depend_on_the_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: int
) -> None:
    adapter = small_beats(tmp_path)
    whole = adapter.logits(features_of(frames))
    monkeypatch.setattr(beats, "LEAST_ROWS", 3)
    monkeypatch.setattr(beats, "BLOCK_ELEMENTS", 40_000)
    monkeypatch.setattr(beats, "MLP_TOKENS", 100)
    torch.testing.assert_close(adapter.logits(features_of(frames)), whole, atol=1e-5, rtol=0)


def test_frames_past_the_last_patch_are_dropped(tmp_path: Path) -> None:
    adapter = small_beats(tmp_path)
    features = features_of(79)
    assert torch.equal(adapter.logits(features), adapter.logits(features[:, :64]))


def test_the_largest_tensor_is_known_and_is_no_square(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beats, "BLOCK_ELEMENTS", 1 << 18)
    adapter = small_beats(tmp_path)
    for batch, frames in ((1, 64), (2, 1000), (1, 8000)):
        with LargestTensor() as largest:
            adapter.logits(features_of(frames, batch))
        assert largest.elements <= adapter.largest_tensor(batch, frames)
    assert largest.elements < SMALL["heads"] * (8000 // 16 * 8) ** 2 / 40


def test_speechbrain_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An independent BEATs, where it is installed: it reads the same file, and runs its own encoder on our features."""
    for name in ("torchaudio", "torchaudio.compliance", "torchaudio.compliance.kaldi"):
        module = ModuleType(name)  # for its front end alone, which this test does without
        module.__spec__ = ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    oracle = pytest.importorskip("speechbrain.lobes.models.beats", exc_type=ImportError)
    ours = small_beats(tmp_path)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in ours.network.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    torch.save(
        {"cfg": speechbrain_cfg(), "model": official_layout(ours.network)}, tmp_path / "file.pt"
    )
    theirs = oracle.BEATs(ckp_path=str(tmp_path / "file.pt"))
    ours.load(tmp_path / "file.pt")
    features = features_of(300)
    monkeypatch.setattr(theirs, "preprocess", lambda wave, *_: features)  # noqa: ARG005
    _, expected, _ = theirs(torch.zeros(2, 48_000), torch.ones(2))
    torch.testing.assert_close(torch.sigmoid(ours.logits(features)), expected, atol=1e-5, rtol=0)


def speechbrain_cfg() -> dict[str, object]:
    """The small network in the names of the official configuration."""
    return {
        "input_patch_size": 16,
        "embed_dim": SMALL["patch_width"],
        "encoder_layers": SMALL["depth"],
        "encoder_embed_dim": SMALL["width"],
        "encoder_ffn_embed_dim": SMALL["hidden"],
        "encoder_attention_heads": SMALL["heads"],
        "deep_norm": True,
        "conv_pos": SMALL["conv_kernel"],
        "conv_pos_groups": SMALL["conv_groups"],
        "relative_position_embedding": True,
        "num_buckets": SMALL["buckets"],
        "max_distance": SMALL["max_distance"],
        "gru_rel_pos": True,
        "finetuned_model": True,
        "predictor_class": len(LABELS),
    }
