"""The compared runs: eight ways to train models of under a million parameters, alike in all else."""

from dataclasses import dataclass

SEEDS = (0, 1, 2)
EPOCHS = 3
SAME = (f"epochs={EPOCHS}", "average_last=1", "warmup_steps=100")  # over each model's own recipe
DISTILLED = "dass-nano-distilled"  # from the embedded ast-sin2d-nano


@dataclass(frozen=True)
class Variant:
    """One way to train one model: a recipe and settings over it."""

    name: str
    recipe: str
    settings: tuple[str, ...]
    title: str
    group: int  # variants of one group have one colour in the figure

    @property
    def runs(self) -> tuple[str, ...]:
        """Names of its runs, one a seed."""
        return tuple(f"{self.name}-{seed}" for seed in SEEDS)


def _pair(name: str, recipe: str, title: str, group: int, *settings: str) -> tuple[Variant, ...]:
    """DASS by `recipe` with the usual memory at the start, and with a shorter one."""
    return tuple(
        Variant(
            f"{name}-A{initial_A}",
            recipe,
            (f"config.initial_A={initial_A}.0", *settings),
            f"DASS, {title}, {memory} memory",
            group,
        )
        for initial_A, memory in ((1, "usual"), (10, "shorter"))
    )


VARIANTS = (
    *_pair("dass", "dass-nano", "labels only", 0),
    *_pair("dass-kd", DISTILLED, "distilled from AST", 1),
    *_pair("dass-kd-dass", DISTILLED, "distilled from DASS", 2, 'teacher=["dass-nano"]')[1:],
    Variant(
        *("ast-1d", "ast-sin-nano", ("config.initial_std=0.0",), "AST, one-dimensional sinusoid"),
        group=3,
    ),
    Variant("ast-2d", "ast-sin2d-nano", (), "AST, two-dimensional sinusoid", 3),
    Variant("aum", "aum-nano", (), "AuM, Fo-Bi", 4),
)

# Pairs of (reference, changed).
COMPARED = (
    ("dass-A1", "dass-A10"),
    ("dass-kd-A1", "dass-kd-A10"),
    ("dass-A1", "dass-kd-A1"),
    ("dass-A10", "dass-kd-A10"),
    ("dass-A10", "dass-kd-dass-A10"),
    ("ast-1d", "ast-2d"),
    ("ast-1d", "dass-A10"),
    ("ast-2d", "dass-A10"),
    ("aum", "dass-A10"),
)
