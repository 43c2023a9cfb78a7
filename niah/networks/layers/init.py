"""Networks made without their random start, where a checkpoint takes its place at once.

Drawing the weights of a ViT-B takes seconds, more than reading them from a file.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.nn import init

_DRAWING = (
    *("uniform_", "normal_", "trunc_normal_", "orthogonal_"),
    *("kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "xavier_normal_"),
)


@contextmanager
def without_random_start() -> Iterator[None]:
    """Within, the random functions of `torch.nn.init` leave their tensor as it is: uninitialised memory."""
    own = {name: getattr(init, name) for name in _DRAWING}
    for name in own:
        setattr(init, name, _leave)
    try:
        yield
    finally:
        for name, function in own.items():
            setattr(init, name, function)


def _leave(tensor: Tensor, *_: Any, **__: Any) -> Tensor:
    return tensor
