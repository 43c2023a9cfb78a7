r"""The networks' scores over the five folds and the differences between them, corrected together.

A difference d_f of two networks is taken in each fold f, on the same clips. Training sets overlap, so the five are not
independent; the variance is that of Nadeau and Bengio (2003) for repeated splits:

    mean d = sum_f d_f / 5,   SE^2 = (1 / 5 + n_heldout / n_trained) var(d_f),   t = mean d / SE,   4 degrees of freedom

A network's own mean and interval are made alike. Quantities are mAP at 10 s and, for each haystack and longer length,
the chance-adjusted retention (mAP - chance) / (mAP at 10 s - chance) of the cells; NaN, and in no test, where a
network does not differ from chance at 10 s in one of the folds.
"""

import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import nan, sqrt
from pathlib import Path
from statistics import mean, variance
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from contrast_tables import differences_table, plus_minus, read_csv, write_csv
from fold_trainings import LENGTHS, NETWORKS, name_of
from folds import FOLDS
from scipy.stats import t as student_t

from niah.metrics.multiple_testing import adjusted as corrected
from niah.plots.looks import COLOURS, DASHES, MARKERS
from niah.plots.style import STYLE, new_panels, save
from niah.records.run_directory import RunDirectory
from niah.records.schema import BASE_LENGTH_S
from niah.tables.above_chance import adjusted_share
from niah.tables.curves import points
from niah.tables.table import Table

RATIO = 1 / (FOLDS - 1)  # clips held out over clips trained on
HAYSTACKS = {"zero": "zeros", "gaussian": "Gaussian noise, 10 dB"}
BASE = "mAP at 10 s"


@dataclass(frozen=True)
class Comparison:
    """Trainings that are compared over the folds.

    Attributes:
        networks: title of each, by the name of its training.
        contrasts: what is tested, the first less the second.
        lengths: seconds, of each haystack.
    """

    networks: Mapping[str, str]
    contrasts: tuple[tuple[str, str], ...]
    lengths: Mapping[str, tuple[int, ...]]

    def quantities(self) -> list[str]:
        """Return the names of the quantities."""
        return [
            BASE,
            *(_kept(haystack, s) for haystack in self.lengths for s in self.longer(haystack)),
        ]

    def longer(self, haystack: str) -> list[int]:
        """Return a haystack's lengths past 10 s."""
        return [s for s in self.lengths[haystack] if s > BASE_LENGTH_S]


# its contrasts were fixed before the trainings that are compared
FAMILIES = Comparison(
    NETWORKS,
    (
        ("dass-nano", "ast-sin-nano"),
        ("dass-nano", "ast-sin2d-nano"),
        ("dass-nano", "aum-nano"),
        ("ast-sin2d-nano", "ast-sin-nano"),
        ("aum-nano", "ast-sin-nano"),
    ),
    LENGTHS,
)
TAUGHT = Comparison(
    {"labels": "labels alone", "kl": "YAMNet by KL", "bce": "YAMNet by BCE"},
    (("kl", "labels"), ("bce", "labels")),
    {"zero": LENGTHS["zero"]},
)


@dataclass(frozen=True)
class OverFolds:
    """A quantity's values over the folds."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the folds."""
        return mean(self.values)

    @property
    def standard_error(self) -> float:
        """Standard error of the mean, for training sets that overlap."""
        return sqrt((1 / len(self.values) + RATIO) * variance(self.values))

    @property
    def half(self) -> float:
        """Half the 95 % interval."""
        return float(student_t.ppf(0.975, len(self.values) - 1)) * self.standard_error

    @property
    def p(self) -> float:
        """p-value of a mean of zero, two-sided."""
        if not self.standard_error:  # the same difference in every fold
            return 0.0 if self.mean else 1.0
        t = abs(self.mean) / self.standard_error
        return 2 * float(student_t.sf(t, len(self.values) - 1))

    def less(self, other: "OverFolds") -> "OverFolds":
        """Return the differences from another's values, fold by fold."""
        return OverFolds(tuple(a - b for a, b in zip(self.values, other.values, strict=True)))


Scores = dict[str, dict[str, OverFolds]]  # of a network and a quantity


def write(work: Path, out: Path, comparison: Comparison) -> None:
    """Write scores.csv, contrasts.csv, tables.md and retention.png, and copy the cells with their provenance."""
    out.mkdir(parents=True, exist_ok=True)
    for fold in range(1, FOLDS + 1):
        folder = out / f"fold-{fold}"
        folder.mkdir(exist_ok=True)
        for name in ("cells.csv", "run.json"):
            shutil.copyfile(work / f"run-{fold}" / name, folder / name)
    scores = read_scores(out, comparison)
    write_csv(out / "scores.csv", list(_score_rows(scores)))
    write_csv(out / "contrasts.csv", contrast_rows(scores, comparison))
    tables = (score_table(out, comparison), contrast_table(out, comparison))
    (out / "tables.md").write_text("\n".join(table.markdown() for table in tables))
    _draw(out, scores, comparison)


def _kept(haystack: str, length_s: float) -> str:
    return f"kept at {length_s:g} s of {HAYSTACKS[haystack]}"


def read_scores(out: Path, comparison: Comparison) -> Scores:
    """Read each network's values over the folds from the cells in `out`."""
    by_fold = [_cells(out / f"fold-{fold}") for fold in range(1, FOLDS + 1)]
    quantities = comparison.quantities()
    scores: Scores = {}
    for network in comparison.networks:
        own = [
            {q: cells[name_of(network, fold), q] for q in quantities}
            for fold, cells in enumerate(by_fold, 1)
        ]
        scores[network] = {q: OverFolds(tuple(each[q] for each in own)) for q in quantities}
    return scores


def _cells(folder: Path) -> dict[tuple[str, str], float]:
    """Return a fold's quantities by model."""
    found: dict[tuple[str, str], float] = {}
    ended = [point for point in points(RunDirectory(folder).cells()) if point["status"] == "ok"]
    for point in ended:
        model, length_s = str(point["model"]), float(point["length_s"])
        if point["haystack"] == "none":
            found[model, BASE] = float(point["mAP"])
        elif length_s > BASE_LENGTH_S:
            share = adjusted_share(point)
            kept = nan if share is None else share
            found[model, _kept(str(point["haystack"]), length_s)] = kept
    return found


def _score_rows(scores: Scores) -> Iterator[dict[str, object]]:
    for network, of_network in scores.items():
        for quantity, own in of_network.items():
            row: dict[str, object] = {"network": network, "quantity": quantity}
            row |= {"mean": round(own.mean, 5), "half": round(own.half, 5)}
            yield row | {f"fold{n}": round(value, 5) for n, value in enumerate(own.values, 1)}


def contrast_rows(scores: Scores, comparison: Comparison) -> list[dict[str, object]]:
    """Return the differences of the contrasts, with p before and after Holm's correction over all of them."""
    tested = [
        (one, other, quantity, scores[one][quantity].less(scores[other][quantity]))
        for quantity in comparison.quantities()
        for one, other in comparison.contrasts
    ]
    holm = corrected([each.p for *_, each in tested], "holm")
    return [
        {
            "network": one,
            "less": other,
            "quantity": quantity,
            "difference": round(each.mean, 5),
            "half": round(each.half, 5),
            "p": float(f"{each.p:.4g}"),
            "p_holm": float(f"{p:.4g}"),
        }
        for (one, other, quantity, each), p in zip(tested, holm, strict=True)
    ]


def score_table(out: Path, comparison: Comparison) -> Table:
    """Return the networks' scores."""
    rows = {(row["network"], row["quantity"]): row for row in read_csv(out / "scores.csv")}
    body = []
    quantities = comparison.quantities()
    for network, title in comparison.networks.items():
        own = [rows[network, quantity] for quantity in quantities]
        body.append((title, *(plus_minus(row, "mean") for row in own)))
    caption = f"Mean over {FOLDS} folds ± half the 95 % interval (Nadeau and Bengio)"
    return Table(caption, ("network", *quantities), tuple(body))


def contrast_table(out: Path, comparison: Comparison) -> Table:
    """Return the differences."""
    rows, titles_of = read_csv(out / "contrasts.csv"), comparison.networks
    titles = [f"{titles_of[row['network']]} less {titles_of[row['less']]}" for row in rows]
    return differences_table(titles, rows)


def _draw(out: Path, scores: Scores, comparison: Comparison) -> None:
    """Draw the share kept against length, a panel a haystack: the mean with its interval, and each fold."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        canvas, panels = new_panels(len(comparison.lengths), width=3.6)
        for haystack, axes in zip(comparison.lengths, panels, strict=True):
            longer = comparison.longer(haystack)
            for place, (network, title) in enumerate(comparison.networks.items()):
                own = [scores[network][_kept(haystack, s)] for s in longer]
                style: dict[str, Any] = {"color": COLOURS[place], "linestyle": DASHES[place]}
                means = [1.0, *(each.mean for each in own)]
                halves = [0.0, *(each.half for each in own)]
                lengths = [BASE_LENGTH_S, *longer]
                axes.errorbar(
                    lengths,
                    means,
                    yerr=halves,
                    marker=MARKERS[place],
                    label=title,
                    capsize=3,
                    **style,
                )
                for length_s, each in zip(longer, own, strict=True):
                    axes.plot([length_s] * FOLDS, each.values, "_", color=COLOURS[place])
            axes.axhline(0, color="grey", linestyle=":")
            axes.set(title=HAYSTACKS[haystack], xscale="log", xlabel="length (s)")
            axes.set_xticks(lengths, [f"{s:g}" for s in lengths])
            axes.minorticks_off()
        panels[0].set_ylabel("share of the 10 s score kept, chance taken off")
        panels[-1].legend()
        title = "Share of the 10 s score kept in longer recordings, five folds of real sounds"
        where = " and ".join(HAYSTACKS[haystack] for haystack in comparison.lengths)
        alt = f"Share kept at 50 and 100 s by each network, in {where}, mean and folds"
        save(canvas, out / "retention.png", title, alt)
