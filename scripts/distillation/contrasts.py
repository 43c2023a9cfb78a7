r"""Students' scores and the contrasts between them, by clips and by seeds, corrected together.

    SE^2 = SE_clips^2 + sum_v w_v^2 SD_v^2 / seeds             of sum_v w_v score_v, score_v the mean over seeds
    df   = SE^4 / sum_v (w_v^2 SD_v^2 / seeds)^2 / (seeds - 1) Welch and Satterthwaite; clips count as known

SE_clips is that of the contrast under the bootstrap over clips (`niah.metrics`), the same draws for all students.
Quantities are mAP at 10 s and the chance-adjusted retention (mAP - chance) / (mAP at 10 s - chance) beyond.
"""

import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import variance
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from contrast_tables import differences_table, plus_minus, read_csv, write_csv
from scipy.stats import t as student_t
from students import CONTRASTS, SEEDS, STUDENTS, TEACHER
from trainings import LENGTHS

from niah.metrics.multiple_testing import adjusted as corrected
from niah.metrics.resampling import Resampled, paired, resample
from niah.plots.looks import CHANCE_COLOUR, COLOURS
from niah.plots.style import STYLE, new_panels, save
from niah.records.run_directory import RunDirectory
from niah.records.schema import BASE_LENGTH_S
from niah.tables.curves import points
from niah.tables.table import Table

QUANTITIES = ("mAP at 10 s", *(f"adjusted at {length} s" for length in LENGTHS[1:]))


@dataclass(frozen=True)
class Estimate:
    """A weighted sum of students' mean scores."""

    value: float
    clips_se: float
    seeds_variances: tuple[float, ...]  # w^2 SD^2 / seeds, of each student

    @property
    def standard_error(self) -> float:
        """Standard error by clips and by seeds."""
        return sqrt(self.clips_se**2 + sum(self.seeds_variances))

    @property
    def freedom(self) -> float:
        """Degrees of freedom."""
        by_seeds = sum(each**2 for each in self.seeds_variances) / (len(SEEDS) - 1)
        return self.standard_error**4 / by_seeds if by_seeds else float("inf")

    @property
    def half(self) -> float:
        """Half the 95 % interval."""
        return float(student_t.ppf(0.975, self.freedom)) * self.standard_error

    @property
    def p(self) -> float:
        """p-value of no difference, two-sided."""
        return 2 * float(student_t.sf(abs(self.value) / self.standard_error, self.freedom))


Scores = Mapping[str, Sequence[Resampled]]  # of a student's seeds


def write(run: Path, out: Path) -> None:
    """Write students.csv, contrasts.csv, tables.md and scores.png, and copy the cells with their provenance."""
    out.mkdir(parents=True, exist_ok=True)
    directory = RunDirectory(run)
    scores, chance, teacher = _scores(directory)
    write_csv(out / "students.csv", _student_rows(scores))
    write_csv(out / "contrasts.csv", _contrast_rows(scores))
    write_tables(out)
    _draw(out, chance, teacher)
    for name in ("cells.csv", "run.json"):
        shutil.copyfile(run / name, out / name)


def write_tables(out: Path) -> None:
    """Write tables.md from the two CSV files beside it."""
    parts = (student_table(out), contrast_table(out))
    (out / "tables.md").write_text("\n".join(part.markdown() for part in parts))


def estimate(scores: Scores, weights: Iterable[tuple[str, float]]) -> Estimate:
    """Return a weighted sum of students' means over seeds, with its errors."""
    weighted = [(weight, scores[name]) for name, weight in weights]
    means = [paired(_mean, *seeds) for _, seeds in weighted]
    total = paired(_weighted([weight for weight, _ in weighted]), *means)
    by_seeds = tuple(
        weight**2 * variance([seed.estimate for seed in seeds]) / len(seeds)
        for weight, seeds in weighted
    )
    return Estimate(total.estimate, total.standard_error, by_seeds)


def _scores(run: RunDirectory) -> tuple[dict[str, Scores], float, float]:
    """Return each quantity's scores by student, the mAP of guessing, and the teacher's at 10 s."""
    cells = {
        (str(point["model"]), float(point["length_s"])): point
        for point in points(run.cells())
        if point["status"] == "ok"
    }
    (chance,) = {float(point["chance_mAP"]) for point in cells.values()}

    def resampled(length_s: float) -> dict[str, list[Resampled]]:
        stored = {
            student.name: [run.read_scores(cells[name, length_s]["cell"]) for name in student.runs]
            for student in STUDENTS
        }
        return {
            name: resample(seeds[0].targets, [seed.logits for seed in seeds])
            for name, seeds in stored.items()
        }

    base = resampled(BASE_LENGTH_S)
    quantities: dict[str, Scores] = {QUANTITIES[0]: base}

    def adjusted(own: Any, at_base: Any) -> Any:
        kept = (own - chance) / (at_base - chance)
        return np.where(at_base > chance, kept, np.nan)  # at chance there is nothing to keep

    for length_s, name in zip(LENGTHS[1:], QUANTITIES[1:], strict=True):
        longer = resampled(float(length_s))
        quantities[name] = {
            student: [paired(adjusted, *pair) for pair in zip(seeds, base[student], strict=True)]
            for student, seeds in longer.items()
        }
    return quantities, chance, float(cells[TEACHER, BASE_LENGTH_S]["mAP"])


def _student_rows(quantities: Mapping[str, Scores]) -> list[dict[str, object]]:
    rows = []
    for quantity, scores in quantities.items():
        for student in STUDENTS:
            own = estimate(scores, [(student.name, 1)])
            row: dict[str, object] = {"student": student.name, "quantity": quantity}
            row |= {"mean": round(own.value, 5), "half": round(own.half, 5)}
            row["clips_se"] = round(own.clips_se, 6)
            seeds = zip(SEEDS, scores[student.name], strict=True)
            rows.append(row | {f"seed{n}": round(score.estimate, 5) for n, score in seeds})
    return rows


def _contrast_rows(quantities: Mapping[str, Scores]) -> list[dict[str, object]]:
    tested = [
        (contrast.title, quantity, estimate(scores, contrast.weights))
        for quantity, scores in quantities.items()
        for contrast in CONTRASTS
    ]
    holm = corrected([each.p for *_, each in tested], "holm")
    return [
        {
            "contrast": title,
            "quantity": quantity,
            "difference": round(each.value, 5),
            "half": round(each.half, 5),
            "clips_se": round(each.clips_se, 6),
            "p": float(f"{each.p:.4g}"),
            "p_holm": float(f"{p:.4g}"),
        }
        for (title, quantity, each), p in zip(tested, holm, strict=True)
    ]


def student_table(out: Path) -> Table:
    """Return the students' scores."""
    rows = {(row["student"], row["quantity"]): row for row in read_csv(out / "students.csv")}
    body = []
    for student in STUDENTS:
        own = [rows[student.name, quantity] for quantity in QUANTITIES]
        texts = (plus_minus(row, "mean") for row in own)
        body.append((student.title, *texts))
    caption = f"Mean over {len(SEEDS)} seeds ± half the 95 % interval, of clips and of training"
    return Table(caption, ("student", *QUANTITIES), tuple(body))


def contrast_table(out: Path) -> Table:
    """Return the contrasts, with p before and after Holm's correction over all of them."""
    rows = read_csv(out / "contrasts.csv")
    return differences_table([row["contrast"] for row in rows], rows)


def _mean(*values: Any) -> Any:
    return sum(values) / len(values)


def _weighted(weights: Sequence[float]) -> Callable[..., Any]:
    return lambda *values: sum(w * value for w, value in zip(weights, values, strict=True))


def _draw(out: Path, chance: float, teacher: float) -> None:
    """Draw a line a student, a panel a quantity: each seed, their mean and its interval, guessing, the teacher."""
    import matplotlib as mpl

    rows = {(row["student"], row["quantity"]): row for row in read_csv(out / "students.csv")}
    with mpl.rc_context(STYLE):
        canvas, panels = new_panels(len(QUANTITIES), width=3.6)
        for quantity, axes in zip(QUANTITIES, panels, strict=True):
            for place, student in enumerate(STUDENTS):
                row, colour = rows[student.name, quantity], COLOURS[int(student.has_start)]
                seeds = [float(row[f"seed{seed}"]) for seed in SEEDS]
                half = float(row["half"])
                axes.errorbar(
                    float(row["mean"]), place, xerr=half, marker="o", color=colour, capsize=3
                )
                axes.plot(seeds, [place] * len(seeds), "|", color="black", markersize=9)
            axes.set(title=quantity)
            axes.set_yticks(range(len(STUDENTS)), [""] * len(STUDENTS))
            axes.invert_yaxis()
        panels[0].axvline(chance, color=CHANCE_COLOUR, linestyle=":")
        panels[0].axvline(teacher, color="black", linestyle="--")
        panels[0].set_yticklabels([student.title for student in STUDENTS])
        panels[0].set_xlabel("mAP (dotted: guessing; dashed: the teacher)")
        for axes in panels[1:]:
            axes.set_xlabel("share kept, chance taken off")
        alt = "mAP at 10 s and share kept at 50 s of six students: seeds, means and intervals"
        save(canvas, out / "scores.png", "Six seeds (bars), their mean and 95 % interval", alt)
