"""SSAMBA: the official logits, pairs against a network that flips copies, self-supervised files, other strides."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import niah
from niah.adapters.ssamba import Ssamba
from niah.errors import NiahError
from niah.networks.layers.mamba_mixer import MambaMixer
from niah.networks.ssamba import Ssamba as Network
from niah.networks.ssamba import SsambaConfig
from niah.training.initial_weights import start_from
from niah.vocabularies import Vocabulary, vocabulary
from tests.helpers.goldens import load_golden

TOLERANCE = 1e-4
CARD = """
name = "mine"
adapter = "niah.adapters.ssamba:Ssamba"
labels = "esc-10"
[config]
width = 16
depth = 4
"""
PRETRAINING = {
    "mask_embed": torch.zeros(1, 1, 16),
    "p_input_fdim": torch.tensor(128),
    "p_input_tdim": torch.tensor(1024),
    "cpredlayer.0.weight": torch.zeros(16, 16),
    "gpredlayer.2.bias": torch.zeros(256),
    "v.head.weight": torch.zeros(1000, 16),
}


@pytest.fixture
def card(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(CARD)
    return path


def network_of(**options: object) -> Network:
    torch.manual_seed(2)
    network = Network(SsambaConfig(width=16, depth=4, classes=10, **options))  # type: ignore[arg-type]
    return network.eval().requires_grad_(False)


def pretrained(network: Network, folder: Path) -> Path:
    state = {k: v for k, v in network.state_dict().items() if not k.startswith("mlp_head.")}
    path = folder / "ssamba_400.pth"
    torch.save({f"module.{k}": v for k, v in {**state, **PRETRAINING}.items()}, path)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "ssamba-tiny",
        pytest.param("ssamba-small", marks=pytest.mark.slow),
        pytest.param("ssamba-base", marks=pytest.mark.slow),
    ],
)
def test_logits_are_the_official_ones(tmp_path: Path, name: str) -> None:
    official = load_golden(name)
    file = tmp_path / "audio_model.pth"
    torch.save(official.state, file)
    features = official.features(1024)
    for model, key in ((name, "logits_1024"), (f"{name}-cls", "logits_1024_ft_cls_s16")):
        found = niah.load_model(model, checkpoint=file).logits(features).numpy()
        assert np.abs(found - official.arrays[key]).max() <= TOLERANCE


def flipping(network: Network, x: Tensor) -> Tensor:
    """The official loop over pairs, copies flipped, every block with a residual of its own."""
    v = network.v
    h, residual = v.embed(x), torch.zeros(())
    for first, second in zip(v.layers[0::2], v.layers[1::2], strict=True):
        forward, backward = residual + h, (residual + h).flip(1)
        one = first.mixer(first.norm(forward))  # type: ignore[operator]
        other = second.mixer(second.norm(backward))  # type: ignore[operator]
        h, residual = one + other.flip(1), forward + backward.flip(1)
    y = v.norm_f(v.norm_f(residual + h))
    read = y[:, 0] if network.config.pooling == "cls" else y[:, 1:].mean(1)
    out: Tensor = network.mlp_head(read)
    return out


@pytest.mark.parametrize("pooling", ["avgtok", "cls"])
@pytest.mark.parametrize("frames", [64, 512, 1024])
def test_pairs_are_the_official_loop(pooling: str, frames: int) -> None:
    network = network_of(pooling=pooling)
    with torch.no_grad():
        for parameter in network.v.layers.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    x = torch.randn(2, frames, 128)
    expected = flipping(network, x)
    for tile in (2048, 33):
        for module in network.modules():
            if isinstance(module, MambaMixer):
                module.tile = tile
        with torch.no_grad():
            torch.testing.assert_close(network(x), expected, atol=2e-6, rtol=0)


def test_gradients_are_those_of_the_official_loop() -> None:
    network = network_of().requires_grad_(True)
    x = torch.randn(1, 64, 128)
    grads = []
    for forward in (network, lambda x: flipping(network, x)):
        network.zero_grad()
        forward(x).square().sum().backward()
        grads.append(
            {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
        )
    assert len(grads[0]) == len(list(network.parameters()))
    for name, gradient in grads[0].items():
        torch.testing.assert_close(gradient, grads[1][name], atol=1e-4, rtol=1e-3)


def test_a_self_supervised_file_is_told_to_need_a_head(tmp_path: Path, card: Path) -> None:
    file = pretrained(network_of(), tmp_path)
    with pytest.raises(
        NiahError, match=r"needs a fine-tuned head.*mlp_head.0.weight.*mlp_head.1.bias"
    ):
        niah.load_model(card, checkpoint=file)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_fine_tuned_file_loads_and_its_unused_head_is_left_out(
    tmp_path: Path, card: Path, prefix: str
) -> None:
    network = network_of()
    state = {**network.state_dict(), **PRETRAINING}
    torch.save({prefix + k: v for k, v in state.items()}, tmp_path / "tuned.pth")
    adapter = niah.load_model(card, checkpoint=tmp_path / "tuned.pth")
    x = torch.randn(1, 100, 128)
    with torch.no_grad():
        torch.testing.assert_close(adapter.logits(x), network(x))


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("v.layers.0.norm.bias", "LayerNorm"),
        ("v.layers.3.norm.bias", r"1 missing \(v.layers.3.norm.bias\)"),
        ("mlp_head.1.bias", r"1 missing \(mlp_head.1.bias\)"),
        ("v.pos_embed", r"1 missing \(v.pos_embed\)"),
    ],
)
def test_what_lacks_a_key_is_refused(tmp_path: Path, card: Path, key: str, told: str) -> None:
    state = dict(network_of().state_dict())
    del state[key]
    torch.save(state, tmp_path / "lacking.pth")
    with pytest.raises(NiahError, match=told):
        niah.load_model(card, checkpoint=tmp_path / "lacking.pth")


def test_a_body_is_where_fine_tuning_starts(tmp_path: Path) -> None:
    body, fresh = network_of(), network_of()
    with torch.no_grad():
        for parameter in body.parameters():
            parameter.add_(1.0)
    head = {k: v.clone() for k, v in fresh.mlp_head.state_dict().items()}
    Ssamba.load_body(fresh, pretrained(body, tmp_path))
    for name, value in fresh.v.state_dict().items():
        assert torch.equal(value, body.v.state_dict()[name])
    for name, value in fresh.mlp_head.state_dict().items():
        assert torch.equal(value, head[name])


def test_a_head_is_kept_where_it_fits(tmp_path: Path) -> None:
    tuned, fresh = network_of(), network_of()
    torch.nn.init.ones_(tuned.state_dict()["mlp_head.1.bias"])
    torch.save(tuned.state_dict(), tmp_path / "tuned.pth")
    Ssamba.load_body(fresh, tmp_path / "tuned.pth")
    assert torch.equal(fresh.mlp_head[1].bias, tuned.mlp_head[1].bias)  # type: ignore[arg-type]
    other = Network(SsambaConfig(width=16, depth=4, classes=7))
    Ssamba.load_body(other, tmp_path / "tuned.pth")
    assert not other.mlp_head[1].bias.any()  # type: ignore[operator]
    assert torch.equal(other.v.cls_token, tuned.v.cls_token)


def test_training_starts_from_a_self_supervised_file(tmp_path: Path, card: Path) -> None:
    body, fresh = network_of(), network_of()
    torch.nn.init.ones_(body.v.cls_token)
    start_from(fresh, str(card), vocabulary("esc-10"), str(pretrained(body, tmp_path)))
    assert bool((fresh.v.cls_token == 1).all())


@pytest.mark.parametrize("same", [True, False])
def test_a_fine_tuned_head_of_other_labels_is_left_out(
    tmp_path: Path, card: Path, same: bool
) -> None:
    tuned, fresh = network_of(), network_of()
    torch.nn.init.ones_(tuned.state_dict()["mlp_head.1.bias"])
    torch.save(tuned.state_dict(), tmp_path / "tuned.pth")
    labels = vocabulary("esc-10")
    if not same:
        labels = Vocabulary("turned", labels.ids[::-1], labels.names[::-1])
    start_from(fresh, str(card), labels, str(tmp_path / "tuned.pth"))
    assert bool(fresh.state_dict()["mlp_head.1.bias"].all()) is same


def test_a_body_with_another_key_is_refused(tmp_path: Path) -> None:
    network = network_of()
    network.v.stray = torch.nn.Parameter(torch.zeros(2))
    with pytest.raises(NiahError, match=r"1 not known \(v.stray\)"):
        Ssamba.load_body(network_of(), pretrained(network, tmp_path))


def test_overlapping_patches_take_the_table_of_the_pre_training_and_their_own(
    tmp_path: Path, card: Path
) -> None:
    card.write_text(CARD + "stride = [10, 10]\n")
    before, own = network_of(), network_of(stride=(10, 10))
    x = torch.randn(1, 700, 128)
    logits = {}
    for name, network in (("before", before), ("own", own)):
        torch.save(network.state_dict(), tmp_path / f"{name}.pth")
        adapter = niah.load_model(card, checkpoint=tmp_path / f"{name}.pth")
        assert isinstance(adapter, Ssamba)
        logits[name] = adapter.logits(x)
        assert adapter.network.config.stored == network.config.stored
    tuned = network_of(stride=(10, 10))
    Ssamba.load_body(tuned, pretrained(before, tmp_path))  # the table is brought to 12 x 101 once
    assert tuned.v.pos_embed.shape == own.v.pos_embed.shape
    tuned.mlp_head.load_state_dict(before.mlp_head.state_dict())
    at_trained_length = torch.randn(1, 1024, 128)
    adapter = niah.load_model(card, checkpoint=tmp_path / "before.pth")
    with torch.no_grad():
        torch.testing.assert_close(
            adapter.logits(at_trained_length), tuned(at_trained_length), atol=1e-5, rtol=0
        )


def test_a_table_of_overlapping_patches_does_not_fit_stride_16(tmp_path: Path, card: Path) -> None:
    torch.save(network_of(stride=(10, 10)).state_dict(), tmp_path / "s10.pth")
    with pytest.raises(NiahError, match=r"v.pos_embed is \(1, 1213, 16\), not \(1, 513, 16\)"):
        niah.load_model(card, checkpoint=tmp_path / "s10.pth")


def test_float16_holds_the_doubled_residual() -> None:
    """Doubled twelve times it is past float16's 65504; it stays in float32."""
    torch.manual_seed(0)
    network = Network(SsambaConfig(width=16, depth=24, classes=10)).eval().requires_grad_(False)
    x = 10 * torch.randn(1, 64, 128)
    expected = network(x)
    found = network.half()(x.half())
    assert bool(torch.isfinite(found).all())
    torch.testing.assert_close(found.float(), expected, atol=0.05, rtol=0.05)
