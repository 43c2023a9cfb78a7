"""Training recipes: one TOML a run, in `models/recipes/`, holding strings and numbers only."""

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from niah.cards import cards_folder
from niah.errors import NiahError, nearest

CHOICES = {
    "schedule": ("cosine", "milestones"),
    "optimiser": ("adamw", "adam"),
    "precision": ("float32", "bfloat16", "float16"),
    "sampling": ("uniform", "balanced"),
    "pipeline": ("features", "waveform"),
    "distillation": ("kl", "bce", "l2", "cosine"),
    "teaching": ("live", "precomputed"),
}
EMA = "ema"  # as a teacher: the student's own moving average


@dataclass(frozen=True)
class Recipe:
    """What determines a training run; a checkpoint of another recipe is not resumed from."""

    model: str  # a model card's name or path: architecture, labels
    train: str = (
        ""  # needle spec, see niah.needles.load_needles; where empty, --train must be given
    )
    validation: str = ""
    name: str = ""
    labels: str = ""  # a vocabulary instead of the card's
    config: Mapping[str, Any] = field(default_factory=dict)  # over the card's [config]
    clips: int = 0  # of `train`; 0 is all
    validation_clips: int = 0
    seed: int = 0
    start: str = ""  # "imagenet", or a model whose weights are the start; the head is made anew where the labels differ
    start_file: str = ""  # the weights file of that start, where it is not fetched
    epochs: int = 10
    batch_size: int = 16  # in all: over all processes and accumulated parts
    accumulate: int = 1  # parts of a batch that go through the network one after another
    precision: str = "float32"
    optimiser: str = "adamw"
    learning_rate: float = 1e-3
    betas: tuple[float, ...] = (0.9, 0.98)
    weight_decay: float = 0.05
    warmup_steps: int = 200
    warmup_stair: int = 1  # the rate rises every so many steps
    schedule: str = "cosine"
    milestones: tuple[int, ...] = ()  # epochs at whose end the rate is halved
    clip_gradient: float = 1.0  # largest norm; 0 is none
    average_last: int = 1  # weights of the last epochs that are averaged
    patience: int = (
        0  # stop after so many averaged epochs without a better validation mAP; 0 is never
    )
    sampling: str = "uniform"  # or balanced: rare classes more often, with replacement
    pipeline: str = "features"  # or waveform: mixup and level on the sound itself, as released
    mixup_rate: float = 0.5
    mixup_beta: float = 10.0  # Beta(b, b)
    frequency_mask: int = 48  # SpecAugment, mels
    time_mask: int = 192  # frames
    roll: bool = True  # random circular shift in time
    gain_db: float = 0.0  # uniform in +- this
    teacher: tuple[
        str, ...
    ] = ()  # models whose mean logits are taught, or "ema"; none is no distillation
    teaching: str = "live"  # or precomputed: once a clip, without augmentation
    ema_momentum: float = 0.999
    distillation: str = "kl"
    distillation_weight: float = 0.5
    temperature: float = 1.0
    checkpoint_steps: int = 0  # also within an epoch, every so many steps

    def __post_init__(self) -> None:
        for key, choices in CHOICES.items():
            value = getattr(self, key)
            if value not in choices:
                raise NiahError(
                    f"recipe '{self.name}': unknown {key} '{value}'.{nearest(value, choices)}"
                )
        if not all(type(epoch) is int for epoch in self.milestones):
            raise NiahError(f"recipe '{self.name}': milestones must be whole epochs")
        if EMA in self.teacher and (len(self.teacher) > 1 or self.teaching == "precomputed"):
            raise NiahError(f"recipe '{self.name}': teacher 'ema' teaches alone, and live")
        for key, fits, told in (
            ("epochs", self.epochs >= 1, "1 or more"),
            ("batch_size", self.batch_size >= 1, "1 or more"),
            ("accumulate", 1 <= self.accumulate <= self.batch_size, "1 to batch_size"),
            ("clips", self.clips >= 0, "0 (all) or more"),
            ("validation_clips", self.validation_clips >= 0, "0 (all) or more"),
            ("seed", self.seed >= 0, "0 or more"),
            ("learning_rate", 0 < self.learning_rate < math.inf, "above 0"),
            ("betas", _are_betas(self.betas), "two numbers of at least 0 and below 1"),
            ("warmup_stair", self.warmup_stair >= 1, "1 or more"),
            ("average_last", 1 <= self.average_last <= self.epochs, "1 to epochs"),
            ("patience", self.patience >= 0, "0 (never) or more"),
            ("mixup_rate", 0 <= self.mixup_rate <= 1, "0 to 1"),
            ("mixup_beta", 0 < self.mixup_beta < math.inf, "above 0"),
            ("ema_momentum", 0 <= self.ema_momentum < 1, "at least 0 and below 1"),
            ("distillation_weight", 0 <= self.distillation_weight <= 1, "0 to 1"),
            ("temperature", 0 < self.temperature < math.inf, "above 0"),
            ("checkpoint_steps", self.checkpoint_steps >= 0, "0 (an epoch) or more"),
        ):
            if not fits:
                raise NiahError(
                    f"recipe '{self.name}': {key} must be {told}, got {getattr(self, key)}"
                )


def _are_betas(betas: tuple[float, ...]) -> bool:
    return len(betas) == 2 and all(0 <= beta < 1 for beta in betas)


def read_recipe(spec: str | Path) -> Recipe:
    """A recipe by name (of `models/recipes/`) or path.

    Raises:
        NiahError: not found, malformed, or with unknown keys.
    """
    path = Path(spec)
    if path.suffix != ".toml":
        folder = cards_folder("models") / "recipes"
        path = folder / f"{spec}.toml"
        if not path.is_file():
            names = [p.stem for p in folder.glob("*.toml")]
            raise NiahError(
                f"unknown recipe '{spec}'.{nearest(str(spec), names)} A recipe of your own is a path"
            )
    try:
        table = tomllib.loads(path.read_text())
    except OSError as error:
        raise NiahError(f"recipe {path} cannot be read: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise NiahError(f"recipe {path} is not valid TOML: {error}") from None
    table.setdefault("name", path.stem)
    return recipe_from(table, f"recipe {path}")


def recipe_from(table: dict[str, Any], where: str) -> Recipe:
    fields = {f.name: f for f in dataclasses.fields(Recipe)}
    for key, value in table.items():
        if key not in fields:
            raise NiahError(f"{where}: unknown key '{key}'.{nearest(key, fields)}")
        wanted = type(_default(fields[key]))
        accepted = {float: (int, float), tuple: (list, tuple, str)}.get(wanted, (wanted,))
        if not isinstance(value, accepted) or (isinstance(value, bool) and wanted is not bool):
            raise NiahError(f"{where}: key '{key}' must be {wanted.__name__}, got {value!r}")
    if "model" not in table:
        raise NiahError(f"{where}: key 'model' is missing")
    return Recipe(**{key: _value(value, _default(fields[key])) for key, value in table.items()})


def _default(entry: "dataclasses.Field[Any]") -> Any:
    """What the key is when not given; of a key that must be given, something of its type."""
    if entry.default_factory is not dataclasses.MISSING:
        return entry.default_factory()
    return "" if entry.default is dataclasses.MISSING else entry.default


def _value(value: Any, default: Any) -> Any:
    """Lists are tuples, and one text where several may stand is a tuple of one."""
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, str) and isinstance(default, tuple):
        return (value,) if value else ()
    return value
