"""Training recipes: one TOML a run, in `models/recipes/`, holding strings and numbers only."""

import dataclasses
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from niah.cards import cards_folder
from niah.errors import NiahError, nearest

Schedule = Literal["cosine", "milestones"]
SCHEDULES: tuple[str, ...] = get_args(Schedule)


@dataclass(frozen=True)
class Recipe:
    """What determines a training run; a checkpoint of another recipe is not resumed from."""

    model: str  # a model card's name or path: architecture, labels
    train: str  # needle spec, see niah.needles.load_needles
    validation: str
    name: str = ""
    clips: int = 0  # of `train`; 0 is all
    validation_clips: int = 0
    seed: int = 0
    start: str = (
        ""  # model whose weights are the start; its head is made anew where the labels differ
    )
    epochs: int = 10
    batch_size: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup_steps: int = 200
    schedule: Schedule = "cosine"
    milestones: tuple[int, ...] = ()  # epochs at whose end the rate is halved
    clip_gradient: float = 1.0  # largest norm; 0 is none
    average_last: int = 1  # weights of the last epochs that are averaged
    mixup_rate: float = 0.5
    mixup_beta: float = 10.0  # Beta(b, b)
    frequency_mask: int = 48  # SpecAugment, mels
    time_mask: int = 192  # frames
    roll: bool = True  # random circular shift in time
    gain_db: float = 0.0  # uniform in +- this
    teacher: str = ""  # a model card's name; empty is no distillation
    distillation_weight: float = 0.5
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise NiahError(
                f"recipe '{self.name}': unknown schedule '{self.schedule}'.{nearest(self.schedule, SCHEDULES)}"
            )
        if not all(type(epoch) is int for epoch in self.milestones):
            raise NiahError(f"recipe '{self.name}': milestones must be whole epochs")
        for key, fits, told in (
            ("epochs", self.epochs >= 1, "1 or more"),
            ("batch_size", self.batch_size >= 1, "1 or more"),
            ("clips", self.clips >= 0, "0 (all) or more"),
            ("validation_clips", self.validation_clips >= 0, "0 (all) or more"),
            ("seed", self.seed >= 0, "0 or more"),
            ("learning_rate", 0 < self.learning_rate < math.inf, "above 0"),
            ("average_last", 1 <= self.average_last <= self.epochs, "1 to epochs"),
            ("mixup_rate", 0 <= self.mixup_rate <= 1, "0 to 1"),
            ("mixup_beta", 0 < self.mixup_beta < math.inf, "above 0"),
            ("distillation_weight", 0 <= self.distillation_weight <= 1, "0 to 1"),
            ("temperature", 0 < self.temperature < math.inf, "above 0"),
        ):
            if not fits:
                raise NiahError(
                    f"recipe '{self.name}': {key} must be {told}, got {getattr(self, key)}"
                )


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
        default = fields[key].default
        wanted = str if default is dataclasses.MISSING else type(default)
        accepted = {float: (int, float), tuple: (list, tuple)}.get(wanted, (wanted,))
        if not isinstance(value, accepted) or (isinstance(value, bool) and wanted is not bool):
            raise NiahError(f"{where}: key '{key}' must be {wanted.__name__}, got {value!r}")
    missing = [n for n, f in fields.items() if f.default is dataclasses.MISSING and n not in table]
    if missing:
        raise NiahError(f"{where}: missing {', '.join(missing)}")
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
    return Recipe(**values)
