"""The logits of an adapter, checked: a user's class may answer with anything."""

from typing import Any

from torch import Tensor

from niah.adapters.protocol import Adapter
from niah.errors import NiahError


def scored(adapter: Adapter, features: Any, columns: int | None = None) -> Tensor:
    """Compute the logits of inputs.

    Args:
        adapter: the model.
        features: (B, frames, mels), as the adapter takes them.
        columns: of the logits; None for one a class.

    Returns:
        (B, columns) float32, on the CPU.

    Raises:
        NiahError: the adapter answers with another shape, or with no tensor.
    """
    wanted = (len(features), columns or len(adapter.labels))
    answer: object = adapter.logits(features)
    if not isinstance(answer, Tensor):
        raise NiahError(f"{adapter.name}: logits must be a tensor, not {type(answer).__name__}")
    if tuple(answer.shape) != wanted:
        raise NiahError(
            f"{adapter.name}: logits of {wanted[0]} inputs are {tuple(answer.shape)}, must be {wanted}: one column a "
            f"label of '{adapter.labels.name}'"
        )
    return answer.float().cpu()  # the copy waits for the device
