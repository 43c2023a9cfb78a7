"""Losses: multi-label cross-entropy, and the distillation loss as released (facts 1.9)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def tagging_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy, mean over batch and classes; (B, classes) each."""
    return F.binary_cross_entropy_with_logits(logits, targets)


def distillation_loss(logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(softmax(teacher / temperature) || softmax(student)), summed over classes, mean over the batch.

    As released: over the class softmax although the task is multi-label, the temperature on the teacher alone, and
    no factor of its square.
    """
    student = torch.log_softmax(logits, dim=-1)
    teacher = torch.log_softmax(teacher_logits / temperature, dim=-1)
    return F.kl_div(student, teacher, reduction="batchmean", log_target=True)
