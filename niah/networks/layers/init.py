"""Random initial weights that families share, and networks without any, for models whose checkpoint is loaded next.

Drawing the weights of a ViT-B takes seconds, longer than reading them from a file.
"""

import math
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
_SCALING = frozenset(
    {
        *(torch.Tensor.mul_, torch.Tensor.div_, torch.Tensor.__imul__, torch.Tensor.__itruediv__),
        *(torch.Tensor.add_, torch.Tensor.erfinv_, torch.Tensor.clamp_),
    }
)


class _Undrawn(TorchFunctionMode):
    """A mode that sets a tensor to zero where torch would draw its values.

    Nothing is done to tensors without values, on the meta device: torch would import its compiler for some.
    """

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
        if func in _SCALING and args[0].is_meta:
            return args[0]
        return func(*args, **kwargs)


def without_random_start() -> AbstractContextManager[object]:
    """Return a context in which random initial weights are zero."""
    return _Undrawn()


def draw_steps(bias: torch.Tensor) -> None:
    """Set the bias of a scan's steps as Mamba and VMamba do: softplus(bias) is log-uniform in [1e-3, 0.1].

    Nothing on the meta device, where exp would import torch's compiler, which takes 4 s.

    Args:
        bias: any shape.
    """
    if bias.is_meta:
        return
    step = torch.exp(torch.empty_like(bias).uniform_(math.log(1e-3), math.log(1e-1)))
    step = step.clamp(min=1e-4)
    with torch.no_grad():
        bias.copy_(step + torch.log(-torch.expm1(-step)))  # inverse of softplus
