"""Every tensor that a pass reads and does not make is the network's own: keeping those keeps a record."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import niah
from niah.adapters.scan_choice import use_scan
from niah.networks.own_tensors import own_tensors

NETWORKS = [
    "ast-sin-nano",
    "ast-sin2d-nano",
    "dass-nano",
    "aum-nano",
    "ssamba-tiny",
    "ssast-tiny-patch",
]

SCANNING = ("dass", "aum", "ssamba")


class Reads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Collect the tensors that operations read and that none of them made."""

    def __init__(self, given: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.made = [x.untyped_storage().data_ptr() for x in given]
        self.outside: list[Tensor] = []
        self.alive: list[Tensor] = []  # so that no address is used twice

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        for value in tree_leaves((args, kwargs or {})):
            if isinstance(value, Tensor) and value.untyped_storage().data_ptr() not in self.made:
                self.outside.append(value)
        out = function(*args, **(kwargs or {}))
        for value in tree_leaves(out):
            if isinstance(value, Tensor):
                self.made.append(value.untyped_storage().data_ptr())
                self.alive.append(value)
        return out


def addresses(tensors: Sequence[Tensor]) -> set[int]:
    return {x.untyped_storage().data_ptr() for x in tensors if x.numel()}


@pytest.mark.parametrize("name", NETWORKS)
def test_all_that_a_second_pass_of_a_length_reads_is_held(name: str) -> None:
    adapter: Any = niah.load_model(name, "random")
    if name.startswith(SCANNING):
        use_scan(adapter, "chunked")  # the CPU's own scans make tensors unseen
    features = torch.randn(1, 160, adapter.frontend.mels)
    with torch.inference_mode():
        adapter.network(features)
        with Reads([features]) as reads:
            adapter.network(features)
    assert addresses(reads.outside)
    assert addresses(reads.outside) <= addresses(own_tensors(adapter.network))


def test_a_table_of_another_length_takes_the_place_of_the_last() -> None:
    adapter: Any = niah.load_model("ast-sin-nano", "random")
    adapter.logits(torch.zeros(1, 1024, 128))
    held = own_tensors(adapter.network)
    adapter.logits(torch.zeros(1, 2048, 128))
    lost = addresses(held) - addresses(own_tensors(adapter.network))
    assert len(lost) == 1


def test_containers_and_objects_of_this_package_are_searched() -> None:
    class Kept:
        __module__ = "niah.networks.made"

        def __init__(self) -> None:
            self.table = torch.ones(1)
            self.itself = self

    network = nn.Linear(1, 1)
    network.kept = {"a": [(Kept(), torch.zeros(1))], "text": "b"}  # type: ignore[assignment]
    assert len(own_tensors(network)) == 4


@pytest.mark.gpu
@pytest.mark.parametrize("name", NETWORKS)
def test_a_graph_replayed_after_another_length_gives_the_bits_of_the_pass(name: str) -> None:
    """A length is recorded while its positions are the network's last, and replayed when they are not."""
    adapter: Any = niah.load_model(name, "random", device="cuda")
    inputs = [torch.randn(1, frames, adapter.frontend.mels) for frames in (1088, 2048, 4096)]
    plain = [adapter._forward(x) for x in inputs]
    for features, wanted in zip(inputs, plain, strict=True):
        for _ in range(3):  # runs, is recorded, is replayed
            assert torch.equal(adapter.logits(features), wanted)
    assert len(adapter._graphed._graphs) == len(inputs)  # otherwise nothing below is replayed
    for features, wanted in zip(inputs, plain, strict=True):
        torch.cuda.empty_cache()
        torch.full((1 << 24,), torch.nan, device="cuda")  # over what is free
        assert torch.equal(adapter.logits(features), wanted)
