"""Versions of weights, to tell when something that was prepared from them is out of date."""

from collections.abc import Hashable
from typing import Any

from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

_steps = 0  # of all optimisers of this process: fused ones change weights without a new version


def _count(*_: Any) -> None:
    global _steps
    _steps += 1


register_optimizer_step_post_hook(_count)


class Versions:
    """The versions of a module's parameters, which torch counts up with each change in place.

    Parameters made in inference mode have no versions and cannot be trained; they are taken as constant.
    """

    def __init__(self, module: nn.Module) -> None:
        self._parameters = list(module.parameters())
        self._counted = [x for x in self._parameters if not x.is_inference()]

    def now(self) -> Hashable:
        """Return a value that changes when weights may have, or have moved: with any optimiser's step, too."""
        return sum(x._version for x in self._counted), _steps, self._parameters[0].data_ptr()
