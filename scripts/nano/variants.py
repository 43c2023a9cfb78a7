"""The runs that are compared: seven ways to train under a million parameters, alike in all else."""

from dataclasses import dataclass

SEEDS = (0, 1, 2)
EPOCHS = 3
SAME = (f"epochs={EPOCHS}", "average_last=1", "warmup_steps=100")  # over each model's own recipe
TEACHER = "ast-sin2d-nano"  # as embedded


@dataclass(frozen=True)
class Variant:
    """One way to train one model: a recipe, and what is set over it."""

    name: str
    recipe: str
    settings: tuple[str, ...]
    told: str

    @property
    def runs(self) -> tuple[str, ...]:
        return tuple(f"{self.name}-{seed}" for seed in SEEDS)


def _dass(name: str, told: str, initial_A: float, teacher: str = "") -> Variant:
    taught = (f'teacher=["{teacher}"]', "teaching=precomputed") if teacher else ("teacher=[]",)
    return Variant(name, "dass-nano", (f"config.initial_A={initial_A}", *taught), told)


VARIANTS = (
    _dass("dass-A1", "DASS, labels only, usual memory", 1.0),
    _dass("dass-A10", "DASS, labels only, shorter memory", 10.0),
    _dass("dass-kd-A1", "DASS, distilled, usual memory", 1.0, TEACHER),
    _dass("dass-kd-A10", "DASS, distilled, shorter memory", 10.0, TEACHER),
    Variant("ast-1d", "ast-sin-nano", ("config.initial_std=0.0",), "AST, one-dimensional sinusoid"),
    Variant("ast-2d", TEACHER, (), "AST, two-dimensional sinusoid"),
    Variant("aum", "aum-nano", (), "AuM, Fo-Bi"),
)

# What is set beside what: the first of each pair is what is changed.
COMPARED = (
    ("dass-A1", "dass-A10"),
    ("dass-kd-A1", "dass-kd-A10"),
    ("dass-A1", "dass-kd-A1"),
    ("dass-A10", "dass-kd-A10"),
    ("ast-1d", "ast-2d"),
    ("ast-1d", "dass-A10"),
    ("ast-2d", "dass-A10"),
    ("aum", "dass-A10"),
)
