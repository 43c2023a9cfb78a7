"""What a student is taught: the logits of other models, live on the same augmented input, or computed beforehand."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.adapters.loading import adapter_info
from niah.adapters.protocol import Adapter
from niah.errors import NiahError
from niah.frontends import Frontend
from niah.system import atomic
from niah.system.progress import track
from niah.training.averaging import MovingAverage
from niah.training.clips import content_key, load_features
from niah.training.log_mel import normalised
from niah.training.steps import BatchPlan

if TYPE_CHECKING:
    from niah.needles import NeedleSet

_BATCH = 8


class Teacher(Protocol):
    """Logits (b, classes) for the clips of a step, whose normalised features (b, frames, mels) the student sees."""

    def __call__(self, features: Tensor, step: BatchPlan) -> Tensor: ...


class LiveTeachers:
    """The mean of several models' logits on the student's own input.

    How the paper's two teachers (AST + HTS-AT) were joined is not released; the mean of logits is our reading.

    Raises:
        NiahError: a teacher with another front end, which cannot see the student's features.
    """

    def __init__(self, teachers: Sequence[Adapter], frontend: Frontend) -> None:
        for teacher in teachers:
            if teacher.frontend.fingerprint != frontend.fingerprint:
                raise NiahError(
                    f"teacher '{teacher.name}' has another front end than the student: "
                    'set teaching = "precomputed"'
                )
        self._teachers = teachers

    def __call__(self, features: Tensor, step: BatchPlan) -> Tensor:  # noqa: ARG002
        logits = [teacher.logits(features).to(features.device) for teacher in self._teachers]
        return torch.stack(logits).mean(0)


class SelfTeacher:
    """The student's own moving average."""

    def __init__(self, average: MovingAverage) -> None:
        self._average = average

    def __call__(self, features: Tensor, step: BatchPlan) -> Tensor:  # noqa: ARG002
        logits: Tensor = self._average.network(features)
        return logits


class PrecomputedTeacher:
    """Logits (clips, classes) of whole clips without augmentation; under mixup their probabilities are mixed.

    sigma(wanted) = w sigma(own) + (1 - w) sigma(partner), as the labels are mixed.
    """

    def __init__(self, logits: NDArray[np.float32]) -> None:
        self._logits = logits

    def __call__(self, features: Tensor, step: BatchPlan) -> Tensor:
        own = torch.from_numpy(self._logits[step.rows]).double()
        partner = torch.from_numpy(self._logits[step.partners]).double()
        weights = torch.from_numpy(step.weights).double()[:, None]
        on = weights * torch.sigmoid(own) + (1 - weights) * torch.sigmoid(partner)
        off = weights * torch.sigmoid(-own) + (1 - weights) * torch.sigmoid(-partner)
        return (on.log() - off.log()).float().to(features.device)


def precompute(
    teachers: Sequence[Adapter], needles: "NeedleSet", cache: Path
) -> NDArray[np.float32]:
    """The teachers' mean logits (clips, classes), each through its own front end; kept in the cache."""
    logits = [_logits_of(teacher, needles, cache) for teacher in teachers]
    mean: NDArray[np.float32] = np.mean(logits, axis=0, dtype=np.float32)
    return mean


def _logits_of(teacher: Adapter, needles: "NeedleSet", cache: Path) -> NDArray[np.float32]:
    weights = adapter_info(teacher).weights_sha256
    told = f"{teacher.name}\n{weights}\n{content_key(needles, teacher.frontend)}"
    path = cache / f"teacher-{hashlib.sha256(told.encode()).hexdigest()[:24]}.npy"
    if path.is_file():
        stored: NDArray[np.float32] = np.load(path)
        return stored
    clips = load_features(needles, teacher.frontend, cache)
    starts = range(0, len(clips), _BATCH)
    rows = [
        teacher.logits(normalised(teacher.frontend, clips.features(slice(i, i + _BATCH)))).cpu()
        for i in track(starts, f"teacher {teacher.name}", total=len(starts))
    ]
    logits: NDArray[np.float32] = torch.cat(rows).numpy()
    with atomic.atomic_write(path) as stream:
        np.save(stream, logits)
    return logits
