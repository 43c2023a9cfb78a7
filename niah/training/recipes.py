"""Training recipes: one TOML a run, in `models/recipes/`, holding strings and numbers only."""

import dataclasses
import hashlib
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from niah.cards import cards_folder
from niah.errors import NiahError, nearest
from niah.toml_tables import build, read_toml

CHOICES = {
    "schedule": ("cosine", "milestones"),
    "optimiser": ("adamw", "adam"),
    "precision": ("float32", "bfloat16", "float16"),
    "sampling": ("uniform", "balanced"),
    "pipeline": ("features", "waveform"),
    "distillation": ("kl", "bce", "bce-softmax", "l2", "cosine", "l2c"),
    "teaching": ("live", "precomputed"),
}
MOST_SEED = 1 << 40  # times 1,000,003, and one for each step, is a seed of numpy's and torch's
MOST_DB = 100.0
MOST_LOGIT = 100.0
EMA = "ema"  # as a teacher: the student's own moving average


# Fields that came after the first checkpoints: at their default they are in no fingerprint, so those are still resumed.
_LATER_FIELDS = (
    "head_learning_rate",
    "milestone_factor",
    "teacher_file",
    "shuffle_buffer",
    "gradient_checkpointing",
    "head_bias",
)
# Losses that once were computed otherwise: a run that was begun with the former one is not gone on with.
_LOSS_VERSIONS = {"l2": 2, "cosine": 2}


@dataclass(frozen=True)
class Recipe:
    """The settings that determine a training run; a checkpoint of another recipe is not resumed from."""

    model: str  # a model card's name or path: architecture, labels
    train: str = ""  # needle spec (`niah.needles.load_needles`); empty: --train must be given
    validation: str = ""
    name: str = ""
    labels: str = ""  # a vocabulary instead of the card's
    config: Mapping[str, Any] = field(default_factory=dict)  # over the card's [config]
    clips: int = 0  # number of clips of `train`; 0: all
    validation_clips: int = 0
    seed: int = 0
    start: str = ""  # "imagenet", or a model whose weights are the start; a head of other labels is drawn anew
    start_file: str = ""  # file with the start's weights, where it is not fetched
    epochs: int = 10
    batch_size: int = 16  # over all processes and accumulated parts
    accumulate: int = 1  # parts of a batch that go through the network one after another
    precision: str = "float32"
    optimiser: str = "adamw"
    learning_rate: float = 1e-3
    betas: tuple[float, ...] = (0.9, 0.98)
    weight_decay: float = 0.05
    warmup_steps: int = 200
    warmup_stair: int = 1  # steps between two rises of the rate
    schedule: str = "cosine"
    milestones: tuple[
        int, ...
    ] = ()  # epochs after which the rate is multiplied by `milestone_factor`
    clip_gradient: float = 1.0  # largest norm; 0: no limit
    average_last: int = 1  # epochs whose weights are averaged, counted from the end
    patience: int = (
        0  # stop after this many averaged epochs without a better validation mAP; 0: never
    )
    sampling: str = "uniform"  # or balanced: rare classes more often, with replacement
    pipeline: str = "features"  # or waveform: mixup and level on the sound itself, as released
    mixup_rate: float = 0.5
    mixup_beta: float = 10.0  # Beta(b, b)
    frequency_mask: int = 48  # SpecAugment: widest band, in mels
    time_mask: int = 192  # widest run of frames
    roll: bool = True  # random circular shift in time
    gain_db: float = 0.0  # uniform in +- this
    teacher: tuple[
        str, ...
    ] = ()  # models whose mean logits are taught, or "ema"; none: no distillation
    teaching: str = "live"  # or precomputed: once a clip, without augmentation
    ema_momentum: float = 0.999
    distillation: str = "kl"  # see `niah.training.losses`
    distillation_weight: float = 0.5
    temperature: float = 1.0
    checkpoint_steps: int = 0  # steps between checkpoints within an epoch; 0: only at its end
    head_learning_rate: float = 0.0  # of the classifier's last layers; 0: `learning_rate`
    milestone_factor: float = 0.5
    teacher_file: tuple[
        str, ...
    ] = ()  # a weights file for each teacher, where it is not fetched; "": fetch
    shuffle_buffer: int = (
        0  # clips in memory, where shards are read from beginning to end; 0: clips in any order
    )
    gradient_checkpointing: bool = False  # blocks are computed again on the way back: less memory
    # biases of a classifier that is drawn anew: log p / (1 - p) of the labels' share p; at 0 the first steps go into
    # lowering all scores at once, and networks from scratch may forget their input over it
    head_bias: float = 0.0
    note: str = ""  # for readers: source, published score, what is known to differ

    def __post_init__(self) -> None:
        for key, choices in CHOICES.items():
            value = getattr(self, key)
            if value not in choices:
                raise NiahError(
                    f"recipe '{self.name}': unknown {key} '{value}'.{nearest(value, choices)}"
                )
        if not all(type(epoch) is int for epoch in self.milestones):
            raise NiahError(f"recipe '{self.name}': milestones must be whole epochs")
        if self.shuffle_buffer and self.pipeline != "waveform":
            raise NiahError(
                f"recipe '{self.name}': shuffle_buffer is of sounds: set pipeline = \"waveform\""
            )
        if EMA in self.teacher and (len(self.teacher) > 1 or self.teaching == "precomputed"):
            raise NiahError(f"recipe '{self.name}': teacher 'ema' teaches alone, and live")
        for key, fits, range_text in (
            ("epochs", self.epochs >= 1, "1 or more"),
            ("batch_size", self.batch_size >= 1, "1 or more"),
            ("accumulate", 1 <= self.accumulate <= self.batch_size, "1 to batch_size"),
            ("clips", self.clips >= 0, "0 (all) or more"),
            ("validation_clips", self.validation_clips >= 0, "0 (all) or more"),
            ("seed", 0 <= self.seed <= MOST_SEED, f"0 to {MOST_SEED}"),
            ("learning_rate", 0 < self.learning_rate < math.inf, "above 0"),
            ("betas", _are_betas(self.betas), "two numbers of at least 0 and below 1"),
            ("weight_decay", 0 <= self.weight_decay < math.inf, "0 or more"),
            ("warmup_steps", self.warmup_steps >= 0, "0 or more"),
            ("milestones", all(epoch >= 0 for epoch in self.milestones), "epochs of 0 or more"),
            ("clip_gradient", 0 <= self.clip_gradient < math.inf, "0 (no limit) or more"),
            ("frequency_mask", self.frequency_mask >= 0, "0 (none) or more"),
            ("time_mask", self.time_mask >= 0, "0 (none) or more"),
            ("gain_db", 0 <= self.gain_db <= MOST_DB, f"0 (none) to {MOST_DB:g}"),
            ("warmup_stair", self.warmup_stair >= 1, "1 or more"),
            ("average_last", 1 <= self.average_last <= self.epochs, "1 to epochs"),
            ("patience", self.patience >= 0, "0 (never) or more"),
            ("mixup_rate", 0 <= self.mixup_rate <= 1, "0 to 1"),
            ("mixup_beta", 0 < self.mixup_beta < math.inf, "above 0"),
            ("ema_momentum", 0 <= self.ema_momentum < 1, "at least 0 and below 1"),
            ("distillation_weight", 0 <= self.distillation_weight <= 1, "0 to 1"),
            ("temperature", 0 < self.temperature < math.inf, "above 0"),
            ("checkpoint_steps", self.checkpoint_steps >= 0, "0 (an epoch) or more"),
            (
                "head_learning_rate",
                0 <= self.head_learning_rate < math.inf,
                "0 (learning_rate) or more",
            ),
            ("head_bias", abs(self.head_bias) <= MOST_LOGIT, f"{-MOST_LOGIT:g} to {MOST_LOGIT:g}"),
            ("milestone_factor", 0 < self.milestone_factor <= 1, "above 0 and at most 1"),
            ("shuffle_buffer", self.shuffle_buffer >= 0, "0 (clips in any order) or more"),
            ("teacher_file", self._teacher_files_fit, "one file for each teacher"),
            ("start_file", not self.start_file or bool(self.start), "left out without start"),
        ):
            if not fits:
                raise NiahError(
                    f"recipe '{self.name}': {key} must be {range_text}, got {getattr(self, key)}"
                )

    @property
    def _teacher_files_fit(self) -> bool:
        return not self.teacher_file or (
            EMA not in self.teacher and len(self.teacher_file) == len(self.teacher)
        )

    @property
    def summary(self) -> str:
        """The first sentence of the note: what the recipe trains, for lists."""
        return self.note.partition(". ")[0].rstrip(".")

    def parts(self) -> dict[str, Any]:
        """Return the fields that determine a training, in their order; later ones only where they are set."""
        parts = dataclasses.asdict(self)
        del parts["note"]
        defaults = {each.name: each.default for each in dataclasses.fields(self)}
        for name in _LATER_FIELDS:
            if parts[name] == defaults[name]:
                del parts[name]
        return parts

    @property
    def fingerprint(self) -> str:
        """SHA-256 of `parts`: a recipe names files by their paths, which a checkpoint need not show."""
        return hashlib.sha256(self.fingerprint_text.encode()).hexdigest()

    @property
    def fingerprint_text(self) -> str:
        """Text that is hashed; the first checkpoints hold it in the fingerprint's place."""
        return repr(sorted(self._versioned_parts().items()))

    @property
    def fingerprints(self) -> dict[str, str]:
        """SHA-256 of each field, which name those that another recipe has otherwise."""
        parts = self._versioned_parts().items()
        return {name: hashlib.sha256(repr(value).encode()).hexdigest() for name, value in parts}

    def _versioned_parts(self) -> dict[str, Any]:
        parts = self.parts()
        if self.distillation in _LOSS_VERSIONS:
            parts["distillation_version"] = _LOSS_VERSIONS[self.distillation]
        return parts


def _are_betas(betas: tuple[float, ...]) -> bool:
    return len(betas) == 2 and all(0 <= beta < 1 for beta in betas)


def recipes() -> list[Recipe]:
    """Return the shipped recipes, by name."""
    return [read_recipe(path) for path in sorted(_folder().glob("*.toml"))]


def read_recipe(spec: str | Path) -> Recipe:
    """Read a recipe by name (of `models/recipes/`) or path.

    Raises:
        NiahError: no such file, not TOML, unknown keys, or values out of range.
    """
    path = Path(spec)
    if path.suffix != ".toml":
        path = _folder() / f"{spec}.toml"
        if not path.is_file():
            names = [each.stem for each in _folder().glob("*.toml")]
            raise NiahError(
                f"unknown recipe '{spec}'.{nearest(str(spec), names)} `niah train --list` lists all; "
                "one of your own is given as a path"
            )
    table = {"name": path.stem, **read_toml(path, "recipe")}
    return recipe_from(table, f"recipe {path}")


def recipe_from(table: Mapping[str, Any], where: str) -> Recipe:
    """Make a recipe of a table; `where` names its source in errors.

    Args:
        table: keys and values of the TOML.
        where: name of the source, for messages.

    Raises:
        NiahError: as `read_recipe`.
    """
    return build(Recipe, table, where, text_as_list=True)


def with_settings(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """Return the recipe changed by `key=value` or `config.key=value`, the value in TOML or, failing that, as text.

    Args:
        recipe: the recipe.
        settings: `key=value` or `config.key=value`.

    Raises:
        NiahError: no `=`, an unknown key, or a value of another type or out of range.
    """
    table: dict[str, Any] = dataclasses.asdict(recipe)
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise NiahError(f"--set {setting}: must read key=value")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except (tomllib.TOMLDecodeError, ValueError, RecursionError):
            value = text
        if key.startswith("config."):
            table["config"] = {**table["config"], key.removeprefix("config."): value}
        else:
            table[key] = value
    return recipe_from(table, "--set")


def for_training(error: NiahError, key: str) -> str:
    """Return the text of an error about weights, whose advice is of `niah run`, with a recipe's key in its place.

    Args:
        error: of `load_model` or `resolve`.
        key: that names a file: "start_file" or "teacher_file".
    """
    text = str(error).replace(", or --checkpoint random", "")
    return text.replace("--checkpoint FILE", "--checkpoint").replace(
        "--checkpoint", f"--set {key}=FILE"
    )


def _folder() -> Path:
    return cards_folder("models") / "recipes"
