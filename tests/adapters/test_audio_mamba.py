"""Audio Mamba (Lin and Hu): what the paper says of it, any length, and that it learns."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

import niah
from niah.adapters.audio_mamba import AudioMamba
from niah.cards import find_model
from niah.errors import NiahError
from niah.networks.audio_mamba import AudioMambaConfig
from niah.networks.dass.blocks import Block
from niah.networks.dass.network import Stage
from niah.scan import Backend
from tests.helpers.small_card import small_card

SMALL = "side = 32\nleast_chunks = 2\ndims = [16, 32]\ndepths = [1, 2]\ninitial_std = 0"


def small(tmp_path: Path, checkpoint: Path | str = "random") -> AudioMamba:
    card = small_card(tmp_path, "niah.adapters.audio_mamba:AudioMamba", SMALL)
    adapter = niah.load_model(card, checkpoint=checkpoint)
    assert isinstance(adapter, AudioMamba)
    return adapter


def features_of(frames: int, batch: int = 2, seed: int = 0) -> Tensor:
    """Decibels, as HTS-AT's front end gives them."""
    noise = torch.randn(batch, frames, 64, generator=torch.Generator().manual_seed(seed))
    return 10 * noise - 30


def test_the_card_says_what_it_is() -> None:
    card, weights = find_model("audio-mamba")
    assert 38e6 < card.parameters < 42e6  # "about 40 million"
    assert not card.weights
    assert weights == ""
    assert "neither weights nor model code" in card.note
    with pytest.raises(NiahError, match="no released weights"):
        niah.load_model("audio-mamba")


def test_the_bounded_path_is_the_differentiable_one(tmp_path: Path) -> None:
    adapter = small(tmp_path)
    x = features_of(333)
    with torch.enable_grad():
        whole = adapter.network(x)
    torch.testing.assert_close(adapter.logits(x), whole, atol=1e-5, rtol=1e-5)


def test_inputs_are_stretched_to_whole_chunks() -> None:
    config = AudioMambaConfig()
    assert [config.chunks(n) for n in (1, 1001, 1024, 1025, 5000, 30_000)] == [4, 4, 4, 5, 20, 118]


def test_the_head_hears_the_chunks_in_time(tmp_path: Path) -> None:
    """With blocks that pass their input on, a column of the head's map depends on its own frames alone."""
    network = small(tmp_path).network
    for layer in network.backbone.layers:
        assert isinstance(layer, Stage)
        for block in layer.blocks:
            assert isinstance(block, Block)
            torch.nn.init.zeros_(block.op.out_proj.weight)
            torch.nn.init.zeros_(block.mlp.fc2.weight)
            torch.nn.init.zeros_(block.mlp.fc2.bias)
    maps: list[Tensor] = []
    network.tscam_conv.register_forward_pre_hook(lambda _, inputs: maps.append(inputs[0]))
    x = features_of(128, 1)
    changed = x.clone()
    changed[:, 76] += (
        50  # chunk 2, patch 3, and so column 2 * 4 + 1 of 16, or its neighbour by the halving
    )
    with torch.inference_mode():
        network(x)
        network(changed)
    assert maps[0].shape == (1, 32, 8, 16)
    # not the lowest mel row: the halving sees the highest of the chunk before beside it
    differs = (maps[0] != maps[1])[0, :, 1:].any(0).any(0)
    assert differs.nonzero().flatten().tolist() in ([9], [9, 10])


def test_weights_survive_a_file_and_scans_agree(tmp_path: Path) -> None:
    adapter = small(tmp_path)
    x = features_of(200)
    expected = adapter.logits(x)
    norm = adapter.network.bn0
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.add_(3.0)
    norm.running_var.mul_(2.0)
    save_file(adapter.network.state_dict(), tmp_path / "own.safetensors")
    again = small(tmp_path, tmp_path / "own.safetensors")
    assert (
        again.frontend.zero_row == (3.0,) * 64
    )  # the learned mean, which the haystack `zero` plays
    assert not torch.equal(again.logits(x), expected)
    assert torch.equal(again.logits(x), adapter.logits(x))
    backends: tuple[Backend, ...] = ("reference", "chunked")
    for backend in backends:
        adapter.network.set_scan_backend(backend)
        assert adapter.kernel == f"scan-{backend}"
        torch.testing.assert_close(adapter.logits(x), again.logits(x), atol=1e-5, rtol=1e-5)


def test_a_few_steps_overfit_a_batch(tmp_path: Path) -> None:
    """Gradients reach every weight, and the loss goes from chance to nearly nothing."""
    network = small(tmp_path).network.train().requires_grad_(True)
    x = features_of(64, batch=6)
    wanted = F.one_hot(torch.arange(6), 10).float()
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3, weight_decay=0)
    losses: list[float] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # of drop path
        for _ in range(60):
            optimiser.zero_grad()
            loss = F.binary_cross_entropy_with_logits(network(x), wanted)
            loss.backward()  # type: ignore[no-untyped-call]
            if not losses:
                silent = [n for n, p in network.named_parameters() if p.grad is None]
                assert silent == []
            optimiser.step()
            losses.append(float(loss.detach()))
    assert losses[0] > 0.5
    assert losses[-1] < 0.05
