"""The protocol of an adapter: all that the harness asks of a model.

A user's own class is named by import string in a card and needs to inherit nothing (docs/your-model.md).
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from torch import Tensor

from niah.frontends import Frontend
from niah.vocabularies import Vocabulary

INDEXED_BY_32_BITS = 2**31 - 1
INDEXED_BY_64_BITS = 2**63 - 1


@runtime_checkable
class Adapter(Protocol):
    """What the harness asks of a model.

    `logits` takes (B, frames, mels) normalised features on any device and gives (B, classes) float32 on the CPU's or
    the model's device, one column a label of `labels`. `frontend` gives (B, samples) -> (B, frames, mels). `kernel`
    names the scan or attention kernel for the record.
    """

    @property
    def name(self) -> str: ...
    @property
    def sample_rate(self) -> int: ...
    @property
    def frontend(self) -> Frontend: ...
    @property
    def labels(self) -> Vocabulary: ...
    @property
    def kernel(self) -> str: ...

    def logits(self, features: Tensor) -> Tensor: ...


def largest(holds: Callable[[int], bool]) -> int:
    """The largest n >= 0 for which `holds(n)`, which must fail for good from some n on."""
    low, high = 0, 1
    while holds(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
