"""A scene's evidence along time: the curves of the classes that a model scores highest, for `niah preview`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from niah.plots.looks import COLOURS
from niah.plots.medium import medium

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from niah.diagnosis.localisation.evidence import Curve


@dataclass(frozen=True)
class Evidence:
    """A model's evidence along time: its curve; columns, names and scores (0..1) of the classes to show."""

    model: str
    curve: "Curve"
    columns: tuple[int, ...]
    names: tuple[str, ...]
    scores: tuple[float, ...]

    def rows(self) -> list[tuple[str | float, ...]]:
        """Return a table: a header, then time and value of each class, rounded to 6 digits."""
        chosen = self.curve.values[:, list(self.columns)]
        header = ("time_s", *self.names)
        body = zip(self.curve.centres_s, chosen, strict=True)
        return [header, *((round(float(t), 3), *map(_short, values)) for t, values in body)]


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def draw_evidence(axes: "Axes", evidence: Evidence, needle_s: Sequence[float]) -> None:
    """Draw one line a class, a mark at each peak, and the needle's extent shaded.

    Args:
        axes: of the figure.
        evidence: the curves.
        needle_s: first and last second of the needle.
    """
    curve = evidence.curve
    axes.axvspan(
        needle_s[0], needle_s[1], color="tab:cyan", alpha=0.15, linewidth=0, label="needle"
    )
    for index, (column, name, score) in enumerate(
        zip(evidence.columns, evidence.names, evidence.scores, strict=True)
    ):
        values = curve.values[:, column]
        colour = COLOURS[index % len(COLOURS)]
        axes.plot(
            curve.centres_s,
            values,
            color=colour,
            linewidth=0.8 * medium().curve["linewidth"],
            label=f"{name} ({score:.2f})",
        )
        peak = int(values.argmax())
        axes.plot(
            curve.centres_s[peak],
            values[peak],
            marker="v",
            color=colour,
            markersize=1.4 * medium().curve["markersize"],
        )
    if curve.method == "positions":
        axes.set_ylabel("logit by position")
    else:
        axes.axhline(0, color="0.6", linewidth=0.8)
        axes.set_ylabel("logit lost when hidden")
    axes.set_title(
        f"where {evidence.model} heard its top classes ({curve.method}); in brackets, a class's score in the scene",
        fontsize=medium().title_pt * 0.75,
    )
    axes.grid(color="0.9")
