"""Versions of weights, to tell when something that was prepared from them is out of date."""

from collections.abc import Hashable

from torch import nn


class Versions:
    """The versions of a module's parameters, which torch counts up with each change in place.

    Parameters made in inference mode have no versions and cannot be trained; they are taken as constant.
    """

    def __init__(self, module: nn.Module) -> None:
        self._parameters = list(module.parameters())
        self._counted = [x for x in self._parameters if not x.is_inference()]

    def now(self) -> Hashable:
        """Return a value that changes when weights do, or move."""
        return sum(x._version for x in self._counted), self._parameters[0].data_ptr()
