"""A check of Triton's kernels in its interpreter: no access beside their tensors, none to another program's places.

A GPU mostly says nothing about either, and answers wrongly once in a while. Memory that nothing wrote is NaN here, so
that a result without NaN read none.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from triton.runtime import interpreter

Addresses = NDArray[np.uint64]


class Launch:
    """The accesses of one launch, by program."""

    def __init__(self, name: str, tensors: dict[str, Tensor]) -> None:
        self.name = name
        self._ranges = {argument: extent(x) for argument, x in tensors.items() if x.numel()}
        self._reads: list[tuple[Addresses, int]] = []
        self._writes: list[tuple[Addresses, int]] = []

    def access(self, addresses: Addresses, item_bytes: int, program: int, *, writes: bool) -> None:
        """Check that a load's or store's addresses are in the tensors, and note them."""
        inside = np.zeros(addresses.shape, bool)
        for first, end in self._ranges.values():
            inside |= (addresses >= first) & (addresses + np.uint64(item_bytes) <= end)
        assert inside.all(), f"{self.name}: {self._place(addresses[~inside][0])}"
        if writes:
            assert len(np.unique(addresses)) == len(addresses), f"{self.name}: one place twice"
        (self._writes if writes else self._reads).append((np.unique(addresses), program))

    def _place(self, address: np.uint64) -> str:
        beside = {
            argument: min(abs(int(address) - first), abs(int(address) - end))
            for argument, (first, end) in self._ranges.items()
        }
        nearest = min(beside, key=lambda argument: beside[argument])
        return f"an access {beside[nearest]} bytes beside {nearest}"

    def check_programs(self) -> None:
        """Check that no program reads or writes what another one writes: they run in any order."""
        if not self._writes:
            return
        places, owners = _owned(self._writes)
        same = places[1:] == places[:-1]
        assert not (same & (owners[1:] != owners[:-1])).any(), f"{self.name}: two programs write"
        for read, program in self._reads:
            at = np.searchsorted(places, read).clip(max=len(places) - 1)
            others = (places[at] == read) & (owners[at] != program)
            assert not others.any(), f"{self.name}: a program reads what another one writes"


def _owned(accesses: list[tuple[Addresses, int]]) -> tuple[Addresses, NDArray[np.int64]]:
    places = np.concatenate([each for each, _ in accesses])
    owners = np.concatenate([np.full(len(each), program) for each, program in accesses])
    order = np.argsort(places, kind="stable")
    return places[order], owners[order]


def extent(x: Tensor) -> tuple[int, int]:
    """Return the first byte of a tensor and the one after its last; of rows in longer ones, of their storage."""
    first = x.data_ptr()
    if x.is_contiguous():
        return first, first + x.nbytes
    storage = x.untyped_storage()
    return first, storage.data_ptr() + storage.nbytes()


@contextmanager
def watched() -> Iterator[list[str]]:
    """Check every launch in the interpreter; yields the names of the kernels that were launched."""
    launched: list[str] = []
    open_launches: list[Launch] = []
    builder = interpreter.InterpreterBuilder
    load, store = builder.create_masked_load, builder.create_masked_store
    call, to_host = interpreter.GridExecutor.__call__, interpreter.GridExecutor._init_args_hst

    def access(builder: Any, pointers: Any, mask: Any, *, writes: bool) -> None:
        active = np.broadcast_to(mask.data, pointers.data.shape)
        x, y, z = builder.grid_idx
        _, ys, zs = builder.grid_dim
        item_bytes = pointers.get_element_ty().primitive_bitwidth // 8
        addresses = pointers.data[active].astype(np.uint64).ravel()
        open_launches[-1].access(addresses, item_bytes, (x * ys + y) * zs + z, writes=writes)

    def watched_load(self: Any, pointers: Any, mask: Any, *rest: Any) -> Any:
        access(self, pointers, mask, writes=False)
        return load(self, pointers, mask, *rest)

    def watched_store(self: Any, pointers: Any, value: Any, mask: Any, *rest: Any) -> Any:
        access(self, pointers, mask, writes=True)
        return store(self, pointers, value, mask, *rest)

    def with_arguments(self: Any, args: Any, kwargs: Any) -> Any:
        on_host, named = to_host(self, args, kwargs)
        given = dict(zip(self.arg_names, on_host, strict=False)) | named
        tensors = {name: x for name, x in given.items() if isinstance(x, Tensor)}
        open_launches.append(Launch(self.fn.__name__, tensors))
        return on_host, named

    def watched_call(self: Any, *args: Any, **kwargs: Any) -> Any:
        made = call(self, *args, **kwargs)
        launch = open_launches.pop()
        launched.append(launch.name)
        launch.check_programs()
        return made

    memory: Any = torch.utils.deterministic
    was_deterministic = torch.are_deterministic_algorithms_enabled()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builder, "create_masked_load", watched_load)
        patch.setattr(builder, "create_masked_store", watched_store)
        patch.setattr(interpreter.GridExecutor, "__call__", watched_call)
        patch.setattr(interpreter.GridExecutor, "_init_args_hst", with_arguments)
        patch.setattr(memory, "fill_uninitialized_memory", True)
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield launched
        finally:
            torch.use_deterministic_algorithms(was_deterministic)
