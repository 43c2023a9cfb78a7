"""A student's targets beside the labels: the logits of other models, live on the same input, or computed beforehand."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niah.adapters.importing import code_sha256
from niah.adapters.learned_mean import makes_the_features_of
from niah.adapters.loading import adapter_info, load_model
from niah.adapters.protocol import Adapter
from niah.audio import AudioError
from niah.cards import ModelCard, find_model
from niah.errors import NiahError
from niah.frontends import Frontend
from niah.training.averaging import MovingAverage
from niah.training.data.batch import normalised
from niah.training.data.batch_plan import BatchPlan
from niah.training.data.row_store import ALONE, RowStore, Share
from niah.training.data.stored_features import content_key, feature_row
from niah.training.recipes import EMA, Recipe, for_training
from niah.vocabularies import Vocabulary, vocabulary

if TYPE_CHECKING:
    from niah.needles import NeedleSet

_BATCH = 8


class Teacher(Protocol):
    """Logits (b, classes) for the clips of a step, whose normalised features (b, frames, mels) the student sees."""

    def __call__(self, features: Tensor, plan: BatchPlan) -> Tensor: ...


@dataclass(frozen=True)
class LoadedTeacher:
    """A model in memory, and the card that it was loaded by."""

    adapter: Adapter
    card: ModelCard

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of its weights."""
        return adapter_info(self.adapter).weights_sha256

    @property
    def network_key(self) -> str:
        """Hash of what else makes its logits: adapter and [config], as DASS's pooling, and code of the user's own."""
        return f"{self.card.fingerprint} {code_sha256(self.card)}".rstrip()


def check_teachers(recipe: Recipe, labels: Vocabulary) -> None:
    """Check the teachers' labels before any weights are fetched.

    Raises:
        NiahError: a teacher scores other classes than the student's, or these in another order.
    """
    for teacher in recipe.teacher if recipe.teacher != (EMA,) else ():
        card, _ = find_model(teacher)
        scored = vocabulary(card.labels_source)
        if scored.ids != labels.ids:
            raise NiahError(
                f"teacher '{card.name}' scores {scored.name}, the student {labels.name}: "
                "they must be the same"
            )


def load_teachers(recipe: Recipe, device: torch.device) -> list[LoadedTeacher]:
    """Load the teachers on this process' own device.

    Args:
        recipe: names them, and the files of their weights.
        device: of the process.

    Returns:
        The teachers; none for a recipe without, or whose student teaches itself.

    Raises:
        NiahError: a teacher whose weights cannot be had.
    """
    if recipe.teacher == (EMA,):
        return []
    name = "cpu" if device.type == "cpu" else str(device)  # accelerate says "cpu:0"
    files = recipe.teacher_file or ("",) * len(recipe.teacher)
    loaded = []
    for teacher, file in zip(recipe.teacher, files, strict=True):
        try:
            adapter = load_model(teacher, file or None, device=name)
            loaded.append(LoadedTeacher(adapter, find_model(teacher)[0]))
        except NiahError as error:
            if file or "--checkpoint" not in str(error):
                raise
            raise NiahError(f"teacher: {for_training(error, 'teacher_file')}") from error
    return loaded


class LiveTeachers:
    """The mean of several models' logits on the student's own input.

    How the paper's two teachers (AST + HTS-AT) were joined is not released; the mean of logits is our reading.

    Raises:
        NiahError: a teacher with another front end, which cannot see the student's features.
    """

    def __init__(self, teachers: Sequence[LoadedTeacher], frontend: Frontend) -> None:
        self._teachers = [each.adapter for each in teachers]
        for teacher in self._teachers:
            if not makes_the_features_of(teacher.frontend, frontend):
                raise NiahError(
                    f"teacher '{teacher.name}' has another front end than the student: "
                    'set teaching = "precomputed"'
                )

    def __call__(self, features: Tensor, plan: BatchPlan) -> Tensor:  # noqa: ARG002
        logits = [teacher.logits(features).to(features.device) for teacher in self._teachers]
        return torch.stack(logits).mean(0)


class SelfTeacher:
    """The student's own moving average."""

    def __init__(self, average: MovingAverage) -> None:
        self._average = average

    def __call__(self, features: Tensor, plan: BatchPlan) -> Tensor:  # noqa: ARG002
        logits: Tensor = self._average.network(features)
        return logits


class PrecomputedTeacher:
    """Logits (clips, classes) of whole clips without augmentation; under mixup their probabilities are mixed.

    sigma(logit) = w sigma(own) + (1 - w) sigma(partner), as the labels are mixed.
    """

    def __init__(self, logits: Sequence[NDArray[np.float32]]) -> None:
        self._logits = logits

    def __call__(self, features: Tensor, plan: BatchPlan) -> Tensor:
        own, partner = self._mean(plan.rows), self._mean(plan.partners)
        weights = torch.from_numpy(plan.weights).double()[:, None]
        on = weights * torch.sigmoid(own) + (1 - weights) * torch.sigmoid(partner)
        off = weights * torch.sigmoid(-own) + (1 - weights) * torch.sigmoid(-partner)
        return (on.log() - off.log()).float().to(features.device)

    def _mean(self, rows: NDArray[np.int64]) -> Tensor:
        """Return the teachers' mean logits (b, classes) float64 of some clips."""
        each = [logits[rows] for logits in self._logits]
        mean: NDArray[np.float32] = np.mean(each, axis=0, dtype=np.float32)
        return torch.from_numpy(mean).double()


def teachers_checksum(teachers: Sequence[LoadedTeacher]) -> str:
    """Return SHA-256s of all teachers' weights and of their networks, in order; "" without teachers.

    The first checkpoints of trainings know only that of the weights.
    """
    if not teachers:
        return ""
    columns = ([t.weights_sha256 for t in teachers], [t.network_key for t in teachers])
    return " ".join(hashlib.sha256("\n".join(column).encode()).hexdigest() for column in columns)


def precompute(
    teachers: Sequence[LoadedTeacher],
    needles: "NeedleSet",
    cache: Path,
    share: Share = ALONE,
    *,
    are_checked: bool = True,
) -> list[NDArray[np.float32]]:
    """Return each teacher's logits (clips, classes), through its own front end, memory-mapped from the cache.

    Features are made for a few clips at a time and not stored: for two million they would be half a terabyte, the
    logits of 527 classes are 4 GB. A killed run is resumed; processes share the clips.

    Args:
        teachers: their weights, networks and front ends name the stores.
        needles: training clips.
        cache: folder of the stores.
        share: blocks that this process computes.
        are_checked: whether every clip can be read. Else one that cannot has NaN: the training, which reads shards as
            it goes, takes another in its place.

    Raises:
        NiahError: a checked clip that cannot be read, no room on the disk.
    """
    return [_logits_of(teacher, needles, cache, share, are_checked) for teacher in teachers]


def _logits_of(
    loaded: LoadedTeacher, needles: "NeedleSet", cache: Path, share: Share, are_checked: bool
) -> NDArray[np.float32]:
    teacher = loaded.adapter
    parts = loaded.weights_sha256, loaded.network_key, content_key(needles, teacher.frontend)
    text = "\n".join(parts)
    path = cache / f"teacher-{hashlib.sha256(text.encode()).hexdigest()[:24]}.npy"
    store = RowStore(path, (len(needles), len(teacher.labels)), np.dtype(np.float32))

    def make(first: int, last: int) -> NDArray[np.float32]:
        logits = np.full((last - first, len(teacher.labels)), np.nan, np.float32)
        log_mel = {}
        for row, needle in enumerate(needles.needles[first:last]):
            try:
                log_mel[row] = feature_row(needle, teacher.frontend)
            except AudioError:
                if are_checked:
                    raise
        rows = list(log_mel)
        for part in (rows[i : i + _BATCH] for i in range(0, len(rows), _BATCH)):
            features = torch.from_numpy(np.stack([log_mel[row] for row in part])).float()
            logits[part] = teacher.logits(normalised(teacher.frontend, features)).cpu().numpy()
        return logits

    return store.load_or_make(make, f"teacher {teacher.name}", share)
