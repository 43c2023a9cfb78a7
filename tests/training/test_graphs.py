"""CUDA graphs of a training step: the same weights as without them, over batches of several sizes, with drop path."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from niah.networks.layers.drop_path import DropPath
from niah.training import graphs, loop
from niah.training.graphs import ReplayedNetwork, replayed_network
from niah.training.loop import train
from niah.training.processes import Processes
from tests.helpers.tiny_training import FRONTEND, clips, network, recipe
from tests.training.test_recomputing import NETWORKS

CUDA = torch.device("cuda")


class Dropping(nn.Module):
    """A network with drop path."""

    def __init__(self) -> None:
        super().__init__()
        self.network, self.path = network(), DropPath(0.5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.path(self.network(x))
        return out


def trained(out: Path, **values: Any) -> dict[str, Tensor]:
    """Train on 14 clips in batches of 4, so that each epoch ends with another size."""
    made = recipe(epochs=3, batch_size=4, **values)
    torch.manual_seed(0)
    data = clips(14)
    return train(made, Dropping(), FRONTEND, data, data, out, processes=Processes(made, CUDA)).state


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_training_gives_the_same_weights(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replays: list[int] = []
    replay = graphs._Replay.apply

    def counted(*inputs: Any) -> Any:
        replays.append(1)
        return replay(*inputs)

    monkeypatch.setattr(graphs._Replay, "apply", counted)
    found = trained(tmp_path / "replayed", precision=precision)
    assert (
        len(replays) == 2 + 3 + 3
    )  # the record outlives an epoch's smaller batch and its validation
    monkeypatch.setattr(loop, "replayed_network", lambda *_: None)
    wanted = trained(tmp_path / "plain", precision=precision)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("family", NETWORKS)
def test_gradients_of_each_network_are_those_without_graphs(family: str) -> None:
    torch.manual_seed(0)
    made = NETWORKS[family]().to(CUDA).train()
    replayed = ReplayedNetwork(made, lambda: torch.autocast("cuda", torch.bfloat16))
    for seed in range(4):
        features = torch.randn(2, 96, 128, device=CUDA)
        both = []
        for run in (replayed, replayed._forward):
            made.zero_grad()
            torch.manual_seed(seed)
            torch.autograd.backward(run(features).square().sum())
            both.append(
                {n: p.grad.clone() for n, p in made.named_parameters() if p.grad is not None}
            )
        assert both[0].keys() == both[1].keys()
        for name, value in both[1].items():
            torch.testing.assert_close(both[0][name], value, rtol=1e-2, atol=1e-3)
    assert replayed._record is not None


def test_graphs_serve_one_process_on_a_gpu_with_one_pass_a_step() -> None:
    made = recipe()
    assert replayed_network(made, network(), Processes(made, torch.device("cpu"))) is None


@pytest.mark.parametrize(("free", "stays"), [(99, False), (100, True)])
def test_a_record_stays_where_its_memory_is_there_once_more(
    free: int, stays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, 1000))
    replayed = ReplayedNetwork(network(), lambda: torch.autocast("cpu"))
    record: Any = SimpleNamespace(features=torch.zeros(1), bytes=100)
    replayed._record = record
    replayed.make_room()
    assert (replayed._record is record) == stays
