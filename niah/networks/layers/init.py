"""Networks made without their random start, where a checkpoint takes its place at once.

Drawing the weights of a ViT-B takes seconds, more than reading them from a file.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.nn import init
from torch.overrides import TorchFunctionMode

_DRAWING = frozenset(
    {
        *(init.uniform_, init.normal_, init.kaiming_uniform_, init.kaiming_normal_),
        *(torch.Tensor.uniform_, torch.Tensor.normal_),
    }
)


class _Undrawn(TorchFunctionMode):
    """Sets a tensor to zero where torch would draw its values: some draw again what is out of bounds."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _DRAWING:
            tensor: torch.Tensor = args[0] if args else kwargs["tensor"]
            with torch.no_grad():
                return tensor.zero_()
        return func(*args, **kwargs)


def without_random_start() -> AbstractContextManager[object]:
    """Return a context in which weights that would be drawn are zero."""
    return _Undrawn()
