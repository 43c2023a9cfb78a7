"""A training's state on disk: written whole, resumed by the same command after any kill, checked when it is read."""

import hashlib
import io
import math
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from niah.adapters.pickles import unreadable_because
from niah.errors import NiahError, one_line
from niah.system.atomic import atomic_write
from niah.training.averaging import State
from niah.training.recipes import Recipe

CHECKPOINT = "checkpoint.pt"
CODE = "code"  # of a user's adapter, among the hashes of its card
_CHECKSUM = "sha256"  # key of the checksum over all else that the file holds
_MOMENTS = {"step", "exp_avg", "exp_avg_sq"}  # of Adam and AdamW
_ADVICE = "remove it to begin anew"


@dataclass(frozen=True)
class Origin:
    """Hashes of what a training is made of beside its recipe; where one differs it is not gone on with.

    Attributes:
        clips: the training clips; "" where they are not known, as for the others.
        validation: the validation clips; other scores would go on in the same log.
        teacher: the teachers' weights and networks; the student would learn from two.
        card: the adapter, a user's own code of it and each entry of [config], by its name; the network would be
            another.
        classes: the ids of the classes in order; an output would be another class.
    """

    clips: str = ""
    validation: str = ""
    teacher: str = ""
    card: Mapping[str, str] = field(default_factory=dict)
    classes: str = ""


@dataclass
class TrainState:
    """Progress of a training beside its weights; `step` is the next one, counted over all epochs."""

    step: int = 0
    loss_sum: float = 0.0  # over the steps of the epoch so far
    averaged: State = field(default_factory=dict)
    averaged_epochs: int = 0
    best_mAP: float = -math.inf
    epochs_since_best: int = 0
    finished: bool = False
    log: dict[str, float] = field(default_factory=dict)  # line of the last epoch
    history: list[dict[str, float]] = field(
        default_factory=list
    )  # lines of all; not in earlier ones


def writes_beside(device: torch.device) -> bool:
    """Return whether checkpoints are written while the training goes on: a device needs no core for it."""
    return device.type == "cuda"


class CheckpointWriter:
    """Writes a training's checkpoints, one at a time.

    Args:
        path: file.
        beside: whether to copy the content to the CPU's memory and write it in a thread.
    """

    def __init__(self, path: Path, *, beside: bool) -> None:
        self._path, self._beside = path, beside
        self._under_way: Future[None] | None = None

    def write(self, content: dict[str, Any]) -> None:
        """Write what `content_of` returns, after the checkpoint before it is written.

        Raises:
            NiahError: this one, or the one before, cannot be written.
        """
        self.wait()
        if not self._beside:
            _write(self._path, content)
            return
        thread = ThreadPoolExecutor(1)
        self._under_way = thread.submit(_write, self._path, _copied(content))
        thread.shutdown(wait=False)

    def wait(self) -> None:
        """Wait until the last one is written.

        Raises:
            NiahError: it cannot be written.
        """
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()


def content_of(
    recipe: Recipe,
    train_state: TrainState,
    network: nn.Module,
    optimiser: Any,
    scaler: Any = None,
    moving: State | None = None,
    origin: Origin = Origin(),
) -> dict[str, Any]:
    """Return the content of a checkpoint; its tensors are the training's own.

    Args:
        recipe: its fingerprint is stored.
        train_state: progress.
        network: weights.
        optimiser: its state.
        scaler: loss scaler of float16, if any.
        moving: state of the moving average, if any.
        origin: clips, teachers and card of the training.
    """
    return {
        "recipe": recipe.fingerprint,
        "fields": recipe.fingerprints,
        "clips": origin.clips,
        "validation": origin.validation,
        "teacher": origin.teacher,
        "classes": origin.classes,
        "card": dict(origin.card),
        "standing": dict(vars(train_state)),  # the key's name is that of the first checkpoints
        "model": network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "scaler": None if scaler is None else scaler.state_dict(),
        "moving": moving,
    }


def _copied(value: Any) -> Any:
    """Return nested dicts, lists and tuples with copies of their tensors in the CPU's memory."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_copied(each) for each in value)
    return value


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint, with a checksum over its content."""
    content = {**content, _CHECKSUM: content_sha256(content)}
    stored = io.BytesIO()  # torch words a full disk in its own way, and not in one line
    torch.save(content, stored)
    with atomic_write(path) as stream, stored.getbuffer() as whole:  # released on an error too
        stream.write(whole)


def resume(
    path: Path,
    recipe: Recipe,
    network: nn.Module,
    optimiser: Any,
    scaler: Any = None,
    moving: nn.Module | None = None,
    origin: Origin = Origin(),
) -> TrainState:
    """Load a checkpoint into the objects.

    Args:
        path: file.
        recipe: must be the checkpoint's.
        network: changed in place.
        optimiser: changed in place.
        scaler: changed in place, if any.
        moving: network of the moving average, changed in place, if any.
        origin: must be the checkpoint's, where both are known.

    Returns:
        The checkpoint's progress, or a fresh one where there is no file.

    Raises:
        NiahError: a checkpoint of another recipe, card or other clips, a damaged one, or a file that is no checkpoint.
    """
    if not path.is_file():
        return TrainState()
    saved = _read(path)
    if saved.get("recipe") not in (recipe.fingerprint, recipe.fingerprint_text):
        raise NiahError(
            f"{path} is a checkpoint of another recipe{_differing(saved.get('fields'), recipe.fingerprints)}: give "
            "another --out, or remove it"
        )
    _check_origin(path, saved, origin)
    try:
        network.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        if scaler is not None and saved["scaler"] is not None:
            scaler.load_state_dict(saved["scaler"])
        if moving is not None:
            moving.load_state_dict(saved["moving"])
        standing = {"history": [], **saved["standing"]}
        values = {each.name: standing[each.name] for each in fields(TrainState)}
        _check_moments(optimiser)
        _check_progress(values)
    except Exception as error:  # torch raises KeyError to AttributeError, by what does not fit
        raise NiahError(f"{path} does not fit this model ({one_line(error)}): {_ADVICE}") from None
    return TrainState(**values)


def _check_origin(path: Path, saved: Mapping[str, Any], origin: Origin) -> None:
    for key, name, now in (
        ("clips", "training clips", origin.clips),
        ("validation", "validation clips", origin.validation),
        ("teacher", "weights or another card of the teacher", origin.teacher),
        ("classes", "classes, or of these in another order", origin.classes),
    ):
        known = str(saved.get(key, ""))  # of earlier ones: of ids, of weights, or none
        if now and not now.startswith(known):
            raise NiahError(
                f"{path} is a checkpoint of other {name}: give the same, another --out, or remove it"
            )
    if origin.card and (differing := _differing(saved.get("card"), origin.card)):
        raise NiahError(
            f"{path} is a checkpoint of another model card{differing}: give the same, another --out, or remove it"
        )


def _differing(stored: object, own: Mapping[str, str]) -> str:
    """Return ", which differs in epochs, seed"; "" for an earlier checkpoint, which has no hashes of its fields."""
    if not stored or not isinstance(stored, Mapping):
        return ""
    if CODE not in stored:  # of earlier ones too
        own = {name: value for name, value in own.items() if name != CODE}
    names = sorted(str(n) for n in {*stored, *own} if stored.get(n) != own.get(n))
    return f", which differs in {', '.join(names)}" if names else ""


def _check_moments(optimiser: Any) -> None:
    """Check that each parameter has Adam's step and moments, of its shape, or nothing yet.

    Raises:
        ValueError: another entry, or one of another type or shape; it would end the first step in a traceback.
    """
    for parameter, state in optimiser.state.items():
        if set(state) != _MOMENTS:
            raise ValueError(f"the optimiser's state has {sorted(map(str, state))}")
        for name, value in state.items():
            shape = () if name == "step" else tuple(parameter.shape)
            if not isinstance(value, Tensor) or tuple(value.shape) != shape:
                raise ValueError(f"the optimiser's {name} is no tensor of shape {shape}")
    for group in optimiser.param_groups:
        for name, default in optimiser.defaults.items():
            if _kind(group.get(name)) != _kind(default):
                raise ValueError(f"the optimiser's {name} is {group.get(name)!r:.60}")


def _kind(value: Any) -> str:
    """Return the kind of a setting; whole numbers and others are of one."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return "number" if is_number else type(value).__name__


def _check_progress(values: Mapping[str, Any]) -> None:
    """Check the types of a `TrainState`'s values.

    Raises:
        ValueError: a value is of another type than a fresh state's.
    """
    for name, fresh in vars(TrainState()).items():
        value = values[name]
        if _kind(value) != _kind(fresh) or (type(fresh) is int and type(value) is not int):
            raise ValueError(f"its {name} is {value!r:.60}")
    if not all(isinstance(each, Tensor) for each in values["averaged"].values()):
        raise ValueError("its averaged weights are no tensors")
    for line in (values["log"], *values["history"]):
        if not isinstance(line, dict) or {_kind(value) for value in line.values()} - {"number"}:
            raise ValueError(f"its log has {line!r:.60}")


def content_sha256(value: Any) -> str:
    """Return the SHA-256 of nested dicts, lists, numbers, texts and tensors, whatever file they come in."""
    digest = hashlib.sha256()
    _add(value, digest)
    return digest.hexdigest()


def _add(value: Any, digest: Any) -> None:
    if isinstance(value, Tensor):
        tensor = value.detach().cpu().contiguous()
        digest.update(f"tensor {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    elif isinstance(value, Mapping):
        digest.update(f"dict {len(value)}".encode())
        for key, each in value.items():
            digest.update(repr(key).encode())
            _add(each, digest)
    elif isinstance(value, list | tuple):
        digest.update(f"list {len(value)}".encode())
        for each in value:
            _add(each, digest)
    else:
        digest.update(f"{type(value).__name__} {value!r}".encode())


def _read(path: Path) -> dict[str, Any]:
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes raise whatever the unpickler meets
        reason = "it is empty" if path.stat().st_size == 0 else unreadable_because(error)
        raise NiahError(f"{path} cannot be read ({reason}): {_ADVICE}") from None
    if not isinstance(saved, dict) or not isinstance(saved.get("standing"), dict):
        raise NiahError(f"{path} is no checkpoint of a training: {_ADVICE}")
    checksum = saved.pop(_CHECKSUM, "")  # the first checkpoints have none
    if checksum and content_sha256(saved) != checksum:
        raise NiahError(f"{path} is damaged (its checksum differs): {_ADVICE}")
    return saved
