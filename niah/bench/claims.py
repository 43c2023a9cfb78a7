"""The efficiency claims of the papers as measurements: each once as it was published, once fair.

    AuM       1.6 x AST's speed at 4096 tokens                                   (AuM summary)
    SSAMBA    92.7 % faster and 95.4 % less memory than SSAST, tiny, 22k tokens  (abstract; batch 4, 48 GB card)

As published: attention with full matrices (timm 0.4.5 had no other), no warm-up, and for SSAMBA's script training mode,
since eval() was never called. Fair: fused attention, after a warm-up, evaluation mode. On a CPU the second pair runs at
batch 1: its full matrices alone are 6 GB a clip. "x % faster" is read as 1 - t / t_other, as the figures in
the paper have it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from niah.bench.point import FAIR, PUBLISHED, BenchPoint


@dataclass(frozen=True)
class Claim:
    """`model` against `other`, with equal numbers of tokens; the published ratios, where there are some."""

    model: str
    other: str
    tokens: int
    batch_size: int
    training: bool  # as published
    speed: float | None  # t_other / t
    memory: float | None  # m_other / m


def claims(on_cpu: bool) -> tuple[Claim, ...]:
    """Return the claims; on a CPU all at batch 1."""
    batch = 1 if on_cpu else 4
    saved_time, saved_memory = 0.927, 0.954
    return (
        Claim("aum-base", "ast-sin-base", 4096, 1, False, 1.6, None),
        Claim(
            "ssamba-tiny", "ssast-tiny-patch", 22000, batch, True,
            1 / (1 - saved_time), 1 / (1 - saved_memory),
        ),
    )  # fmt: skip


def points_of(wanted: Iterable[Claim], device: str, dtype: str, repeats: int) -> list[BenchPoint]:
    """List both models of each claim, as published and fair.

    Args:
        wanted: the claims.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        dtype: of the fair points; published ones are float32.
        repeats: timed passes.

    Returns:
        Four points a claim.
    """
    points = []
    for claim in wanted:
        for model in (claim.model, claim.other):
            for variant in (PUBLISHED, FAIR):
                published = variant == PUBLISHED
                point = BenchPoint(
                    model,
                    0.0,
                    tokens=claim.tokens,
                    variant=variant,
                    batch_size=claim.batch_size,
                    repeats=repeats,
                    warmup=0 if published else 2,
                    device=device,
                    dtype="float32" if published else dtype,
                    training=published and claim.training,
                )
                points.append(point)
    return points


def table(
    wanted: Iterable[Claim], rows: Sequence[dict[str, Any]]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Tabulate the measured ratios beside the published ones.

    Args:
        wanted: the claims.
        rows: of bench.csv.

    Returns:
        Header and lines.
    """
    header = ("pair", "tokens", "setting", "speed", "published", "memory", "published ")
    lines: list[tuple[str, ...]] = []
    for claim in wanted:
        for variant in (PUBLISHED, FAIR):
            pair = [_row(rows, name, variant, claim) for name in (claim.model, claim.other)]
            speed, memory = (
                _ratio(pair, quantity) for quantity in ("latency_s", "peak_memory_bytes")
            )
            lines.append(
                (
                    f"{claim.model} : {claim.other}",
                    f"{claim.tokens}, batch {claim.batch_size}",
                    "as published" if variant == PUBLISHED else "fair",
                    speed,
                    _times(claim.speed),
                    memory,
                    _times(claim.memory),
                )
            )
    return header, lines


def _row(
    rows: Sequence[dict[str, Any]], model: str, variant: str, claim: Claim
) -> dict[str, Any] | None:
    for row in rows:
        if (row["model"], row["variant"]) == (model, variant) and (
            row["batch_size"] == claim.batch_size
        ):
            return row
    return None


def _ratio(pair: Sequence[dict[str, Any] | None], quantity: str) -> str:
    one, other = pair
    if one is None or other is None:
        return "not measured"
    failed = [row for row in (one, other) if row["status"] != "ok"]
    if failed:
        return ", ".join(f"{row['model']}: {row['status']}" for row in failed)
    return _times(other[quantity] / one[quantity])


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f} x"
