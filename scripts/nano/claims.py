r"""Test the claims of results/nano: chance-adjusted retention, Welch's t over seeds and clips, Holm over all claims.

    adjusted = (mAP - chance) / (mAP at 10 s - chance)         each seed by itself
    SE^2     = SD_seeds^2 / seeds + SE_clips^2                 each variant; two variants add (clips taken as unpaired,
                                                               which is wider than the paired intervals of tables.md)
    df       = SE^4 / sum (SD_seeds^2 / seeds)^2 / (seeds - 1) Welch and Satterthwaite; clips count as known

Reads cells.csv and scores.csv, which are committed, so it needs neither weights nor stored scores:

    python scripts/nano claims
"""

import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan, nan, sqrt
from pathlib import Path
from statistics import mean, variance

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from contrast_tables import AT_CHANCE, p_text, with_half
from scipy.stats import t as student_t
from variants import COMPARED, SEEDS, VARIANTS

from niah.metrics.multiple_testing import adjusted as corrected
from niah.records.schema import BASE_LENGTH_S
from niah.tables.above_chance import adjusted_share
from niah.tables.table import Table

T = 4.303  # Student's 97.5 % point with two degrees of freedom, as in scores.csv
Z = 1.96
LEVEL = 0.05


@dataclass(frozen=True)
class Quantity:
    """A variant's mAP at 10 s, or its adjusted retention at a longer length: a value a seed."""

    values: tuple[float, ...]
    clips_se: float  # standard error of the mean over seeds by the choice of clips

    @property
    def seeds_variance(self) -> float:
        """Squared standard error of the mean by the choice of seeds."""
        return variance(self.values) / len(self.values)


@dataclass(frozen=True)
class Claim:
    """One difference between two variants, with its p-value before and after Holm's correction."""

    changed: str
    reference: str
    quantity: str
    difference: float
    half: float  # of the 95 % interval, not corrected
    p: float
    p_holm: float

    @property
    def holds(self) -> bool:
        """True where the difference is significant after Holm's correction."""
        return self.p_holm < LEVEL


def claims(results: Path) -> list[Claim]:
    """Return every comparison of `variants.COMPARED` at every length, corrected together."""
    cells = {(row["model"], float(row["length_s"])): row for row in _rows(results / "cells.csv")}
    scores = {
        (row["variant"], float(row["length_s"])): row for row in _rows(results / "scores.csv")
    }
    lengths = sorted({length for _, length in scores})
    tested = []
    for reference, changed in COMPARED:
        for length_s in lengths:
            one, other = (_quantity(v, length_s, cells, scores) for v in (reference, changed))
            name = "mAP at 10 s" if length_s == BASE_LENGTH_S else f"adjusted at {length_s:g} s"
            tested.append((changed, reference, name, *_welch(one, other)))
    p_holm = corrected([p for *_, p in tested], "holm")
    return [Claim(*each, float(q)) for each, q in zip(tested, p_holm, strict=True)]


def retention_table(results: Path) -> Table:
    """Return each variant's adjusted retention: its mean over seeds, half its interval, and the seeds."""
    cells = {(row["model"], float(row["length_s"])): row for row in _rows(results / "cells.csv")}
    scores = {
        (row["variant"], float(row["length_s"])): row for row in _rows(results / "scores.csv")
    }
    longer = sorted({length for _, length in scores} - {BASE_LENGTH_S})
    body = []
    for variant in VARIANTS:
        texts = []
        for length_s in longer:
            own = _quantity(variant.name, length_s, cells, scores)
            half = sqrt(T**2 * own.seeds_variance + (Z * own.clips_se) ** 2)
            seeds = ", ".join(f"{value:.2f}" for value in own.values)
            kept = mean(own.values)
            texts.append(AT_CHANCE if isnan(kept) else f"{kept:.2f} ± {half:.2f} ({seeds})")
        body.append((variant.title, *texts))
    caption = (
        "Chance-adjusted retention, (mAP - chance) / (mAP at 10 s - chance): mean over "
        f"{len(SEEDS)} seeds ± half the 95 % interval, of clips and of training (each seed)"
    )
    return Table(caption, ("model", *(f"{length:g} s" for length in longer)), tuple(body))


def claim_table(tested: Sequence[Claim]) -> Table:
    """Return the claims as rows, those that hold after correction first."""
    titles = {variant.name: variant.title for variant in VARIANTS}
    body = [
        (
            f"{titles[claim.changed]} against {titles[claim.reference]}",
            claim.quantity,
            with_half(claim.difference, claim.half, "+"),
            p_text(claim.p),
            p_text(claim.p_holm),
            "yes" if claim.holds else "",
        )
        for claim in sorted(tested, key=lambda claim: (isnan(claim.p), claim.p_holm))
    ]
    count = sum(not isnan(claim.p) for claim in tested)
    caption = f"Differences ± half the 95 % interval (not corrected), Welch's p and Holm's over all {count}"
    head = ("comparison", "quantity", "difference", "p", "p (Holm)", f"holds at {LEVEL:g}")
    return Table(caption, head, tuple(body))


def write(results: Path) -> None:
    """Write claims.md beside the tables."""
    parts = (retention_table(results), claim_table(claims(results)))
    (results / "claims.md").write_text("\n".join(part.markdown() for part in parts))


def _quantity(
    variant: str,
    length_s: float,
    cells: dict[tuple[str, float], dict[str, str]],
    scores: dict[tuple[str, float], dict[str, str]],
) -> Quantity:
    def maps(at_s: float) -> list[float]:
        return [float(cells[f"{variant}-{seed}", at_s]["mAP"]) for seed in SEEDS]

    row = scores[variant, length_s]
    if length_s == BASE_LENGTH_S:
        return Quantity(tuple(maps(length_s)), _clips_se(row, "mAP"))
    chance = float(cells[f"{variant}-{SEEDS[0]}", length_s]["chance_mAP"])
    shares = []
    for own, base in zip(maps(length_s), maps(BASE_LENGTH_S), strict=True):
        share = adjusted_share({"mAP": own, "base_mAP": base, "chance_mAP": chance})
        if share is None:  # at chance there is nothing to keep
            return Quantity((nan,) * len(SEEDS), nan)
        shares.append(share)
    floor = chance / mean(maps(BASE_LENGTH_S))
    return Quantity(tuple(shares), _clips_se(row, "share") / (1 - floor))


def _clips_se(row: dict[str, str], kind: str) -> float:
    """Return the clips' part (SE) of a half interval in scores.csv: half^2 = (z SE)^2 + t^2 SD^2 / seeds."""
    seeds = [float(row[f"{kind}_seed{seed}"]) for seed in SEEDS]
    rest = float(row[f"{kind}_half"]) ** 2 - T**2 * variance(seeds) / len(seeds)
    return sqrt(max(rest, 0.0)) / Z


def _welch(one: Quantity, other: Quantity) -> tuple[float, float, float]:
    """Return other - one, half its 95 % interval, and the two-sided p-value of no difference."""
    of_seeds = (one.seeds_variance, other.seeds_variance)
    total = sum(of_seeds) + one.clips_se**2 + other.clips_se**2
    freedom = total**2 / (sum(v**2 for v in of_seeds) / (len(SEEDS) - 1))
    difference = mean(other.values) - mean(one.values)
    p = 2 * float(student_t.sf(abs(difference) / sqrt(total), freedom))
    return difference, float(student_t.ppf(0.975, freedom)) * sqrt(total), p


def _rows(file: Path) -> Iterator[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        yield from csv.DictReader(stream)
