"""Causal networks fed piece by piece: the logits of one pass over the same frames, from a state that does not grow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from niah.adapters.streaming import state_bytes
from niah.networks.aum import Aum, AumConfig
from niah.networks.layers.frame_buffer import FrameBuffer
from niah.networks.layers.mamba_mixer import MambaMixer
from niah.networks.layers.mixer_step import step_mixer
from niah.networks.ssamba import Ssamba, SsambaConfig

TOLERANCE = 1e-5
MELS = 32
PIECES = (5, 0, 16, 1, 37, 100, 3, 0)  # no patch's multiples, and nothing at the end
NETWORKS: dict[str, Callable[[], Aum | Ssamba]] = {
    "aum": lambda: Aum(
        AumConfig(width=16, depth=3, design="fo-fo", mels=MELS, classes=5, causal=True)
    ),
    "ssamba": lambda: Ssamba(SsambaConfig(width=16, depth=4, mels=MELS, classes=5, causal=True)),
    "ssamba, overlapping patches": lambda: Ssamba(
        SsambaConfig(width=16, depth=4, mels=MELS, stride=(10, 10), classes=5, causal=True)
    ),
}


def made(name: str) -> Any:
    torch.manual_seed(len(name))
    network = NETWORKS[name]()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    network.eval().requires_grad_(False)
    return network


def features(frames: int, seed: int = 0) -> Tensor:
    return torch.randn(2, frames, MELS, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_pieces_give_the_logits_of_one_pass(name: str) -> None:
    network, x = made(name), features(sum(PIECES))
    state, end = network.start(), 0
    for piece in PIECES:
        state, logits = network.step(state, x[:, end : end + piece])
        end += piece
        if end < 16:
            assert logits is None  # not one full patch
            continue
        torch.testing.assert_close(logits, network(x[:, :end].clone()), atol=TOLERANCE, rtol=0)
    assert end == x.shape[1]
    (_, once) = network.step(network.start(), x)
    torch.testing.assert_close(once, logits, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_a_step_leaves_the_state_before_it_alone(name: str) -> None:
    network, x = made(name), features(90)
    before, _ = network.step(network.start(), x[:, :50])
    network.step(before, features(40, seed=1))
    _, logits = network.step(before, x[:, 50:])
    torch.testing.assert_close(logits, network(x.clone()), atol=TOLERANCE, rtol=0)


@torch.inference_mode()
def test_the_official_order_of_tokens_reads_the_future() -> None:
    """In the official order the first second's tokens read the last second: no state could be carried."""
    official = Aum(AumConfig(width=16, depth=3, design="fo-fo", mels=MELS, classes=5)).eval()
    causal = made("aum")
    assert isinstance(causal, Aum)
    assert (causal.streams, official.streams) == (True, False)
    assert not first_column_changes(causal, [0, 1])
    assert first_column_changes(official, [0, 4])


def first_column_changes(network: Aum, tokens: list[int]) -> bool:
    """Return whether the first column's tokens in the last block but one differ where only the last column does."""
    x, seen = features(64), []
    changed = x.clone()
    changed[:, 48:] += 1.0
    hook = network.layers[-2].register_forward_hook(lambda *args: seen.append(args[2]))
    for each in (x, changed):
        network(each)
    hook.remove()
    return bool((seen[0][:, tokens] != seen[1][:, tokens]).any())


def test_buffer_has_the_frames_of_the_next_patch() -> None:
    x = features(30)
    buffer, ready = FrameBuffer(16, 10).add(x)
    assert ready is not None
    assert buffer.frames is not None
    assert ready.shape[1] == 26  # patches at 0 and 10
    assert torch.equal(buffer.frames, x[:, 20:])
    assert buffer.frames.untyped_storage().nbytes() == buffer.frames.nbytes  # no view of the rest


def test_what_looks_ahead_has_no_step() -> None:
    with pytest.raises(ValueError, match="scans from the end"):
        step_mixer(MambaMixer(8, "fo-bi"), torch.zeros(1, 1, 8), None)
    with pytest.raises(ValueError, match="causal needs design fo-fo"):
        AumConfig(causal=True)
    with pytest.raises(ValueError, match="causal needs pooling avgtok"):
        SsambaConfig(causal=True, pooling="cls")


@pytest.mark.slow  # 20 s
@pytest.mark.parametrize("name", ["aum", "ssamba"])
@torch.inference_mode()
def test_an_hour_takes_no_more_memory_than_a_minute(name: str) -> None:
    network = made(name)
    state, bytes_of, resident = network.start(), [], []
    for number in range(3600):
        state, _ = network.step(state, torch.randn(1, 100, MELS))
        if number in (59, 1799, 3599):
            bytes_of.append(state_bytes(state))
            resident.append(int(Path("/proc/self/statm").read_text().split()[1]) * 4096)
    # a patch's 16 frames do not divide a hop's 100: up to 15 of them wait
    assert max(bytes_of) - min(bytes_of) <= 15 * MELS * 4
    assert resident[-1] - resident[0] < 4 * 2**20
