"""Losses: multi-label cross-entropy, and a student's distance from its teacher.

The distances are those of DASS's `traintest.py` (`--dist_loss_type`). Arguments are logits (B, classes) of student and
teacher, and the temperature, which divides the teacher alone and only where that code has it.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

DistillationLoss = Callable[[Tensor, Tensor, float], Tensor]


def tagging_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return binary cross-entropy, the mean over batch and classes.

    Args:
        logits: (B, classes).
        targets: (B, classes) in [0, 1].
    """
    return F.binary_cross_entropy_with_logits(logits, targets)


def kl_loss(logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(softmax(teacher / temperature) || softmax(student)), summed over classes, mean over the batch.

    As released: over the class softmax although the task is multi-label, the temperature on the teacher alone, and
    no factor of its square.
    """
    student = torch.log_softmax(logits, dim=-1)
    teacher = torch.log_softmax(teacher_logits / temperature, dim=-1)
    return F.kl_div(student, teacher, reduction="batchmean", log_target=True)


def bce_loss(logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Binary cross-entropy against the teacher's sigmoid(logits / temperature), mean over batch and classes."""
    return F.binary_cross_entropy_with_logits(logits, torch.sigmoid(teacher_logits / temperature))


def bce_softmax_loss(logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Binary cross-entropy against the teacher's softmax(logits / temperature) over the classes."""
    return F.binary_cross_entropy_with_logits(
        logits, torch.softmax(teacher_logits / temperature, dim=-1)
    )


def l2_loss(logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:  # noqa: ARG001
    """Mean over batch and classes of (student - teacher)^2; released without a temperature."""
    return F.mse_loss(logits, teacher_logits)


def cosine_loss(logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:  # noqa: ARG001
    """1 - sigmoid(cos(student, teacher)) over the classes, mean over the batch: 0.27 at best, 0.73 at worst."""
    return (1 - torch.sigmoid(F.cosine_similarity(logits, teacher_logits, dim=-1))).mean()


def l2c_loss(logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """`l2_loss` + `cosine_loss`."""
    return l2_loss(logits, teacher_logits, temperature) + cosine_loss(
        logits, teacher_logits, temperature
    )


DISTILLATION_LOSSES: dict[str, DistillationLoss] = {
    "kl": kl_loss,
    "bce": bce_loss,
    "bce-softmax": bce_softmax_loss,
    "l2": l2_loss,
    "cosine": cosine_loss,
    "l2c": l2c_loss,
}
