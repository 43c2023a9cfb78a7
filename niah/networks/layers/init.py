"""Networks without random initial weights, for models whose checkpoint is loaded next.

Drawing the weights of a ViT-B takes seconds, longer than reading them from a file.
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
    """A mode that sets a tensor to zero where torch would draw its values."""

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
    """Return a context in which random initial weights are zero."""
    return _Undrawn()
