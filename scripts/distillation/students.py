"""The students that are compared, and the contrasts between them that are tested, fixed before any was trained.

Table 1 of the DASS paper in small (arXiv 2407.04082): a student learns from few clips, with or without a teacher that
has learnt from many, from scratch or from a start on other sounds.
"""

from dataclasses import dataclass

SEEDS = (0, 1, 2, 3, 4, 5)
CLIPS = 400  # of the teacher's
EPOCHS = 12
RECIPE = "dass-nano"
TEACHER, START = "teacher", "start"
TEACHER_CLIPS = 20_000
SAME = (
    f"clips={CLIPS}",
    f"epochs={EPOCHS}",
    "average_last=1",
    "warmup_steps=30",
)
TEACHER_SETTINGS = (
    f"clips={TEACHER_CLIPS}",
    "epochs=2",
    "average_last=1",
    "learning_rate=5e-4",
    "start=dass-nano",
)
START_SETTINGS = ("labels=esc-50", "clips=0", "validation_clips=0", "epochs=10", "average_last=1")


@dataclass(frozen=True)
class Student:
    """One way to train dass-nano on the few clips."""

    has_start: bool
    loss: str  # of the distillation; "" without a teacher

    @property
    def name(self) -> str:
        """Name of its runs, less the seed."""
        return f"{'start' if self.has_start else 'scratch'}-{self.loss or 'labels'}"

    @property
    def title(self) -> str:
        """Name in tables."""
        taught = f"teacher by {self.loss.upper()}" if self.loss else "labels only"
        return f"{'from a start' if self.has_start else 'from scratch'}, {taught}"

    @property
    def settings(self) -> tuple[str, ...]:
        """Settings over the recipe."""
        start = ("start=../start/card.toml",) if self.has_start else ()
        taught = ('teacher=["../teacher/card.toml"]', f"distillation={self.loss}")
        return (*SAME, *start, *(taught if self.loss else ()))

    @property
    def runs(self) -> tuple[str, ...]:
        """Names of its runs, one a seed."""
        return tuple(f"{self.name}-{seed}" for seed in SEEDS)


LOSSES = ("kl", "bce")
STUDENTS = tuple(Student(start, loss) for start in (False, True) for loss in ("", *LOSSES))


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of students' scores whose sign is a claim."""

    title: str
    weights: tuple[tuple[str, int], ...]  # student, weight


def _gain(place: str, loss: str, weight: int = 1) -> tuple[tuple[str, int], ...]:
    return ((f"{place}-{loss}", weight), (f"{place}-labels", -weight))


CONTRASTS = (
    Contrast("the start, labels only", (("start-labels", 1), ("scratch-labels", -1))),
    *(Contrast(f"{loss.upper()} from scratch", _gain("scratch", loss)) for loss in LOSSES),
    *(Contrast(f"{loss.upper()} from the start", _gain("start", loss)) for loss in LOSSES),
    *(
        Contrast(
            f"{loss.upper()} from scratch less {loss.upper()} from the start",
            _gain("scratch", loss) + _gain("start", loss, -1),
        )
        for loss in LOSSES
    ),
)
