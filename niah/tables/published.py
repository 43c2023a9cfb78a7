"""The published numbers of a preset's figure: its curves, where there are numbers, and its text."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from niah.cards import published_file
from niah.records.schema import BASE_LENGTH_S
from niah.sweep.presets import Preset, find_preset
from niah.tables.table import Table

FEWEST_POINTS = 3  # of a curve


@dataclass(frozen=True)
class PublishedCurve:
    """The share of the model's 10 s score against length (s), in zeros, noise or babble."""

    model: str
    haystack: str
    snr_db: float | None
    position: float
    shares: dict[float, float]
    tolerance: float  # of a share: digitising or rounding, the largest


def curves_of(preset: Preset, file: Path | None = None) -> list[PublishedCurve]:
    """Read the published curves of a preset's models, scenes and lengths.

    A share is the published one where the paper has it, else mAP / mAP at 10 s.

    Args:
        preset: a figure.
        file: the published numbers; results/published/niah.csv if None.

    Returns:
        The curves with enough points.
    """
    with (file or published_file()).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    curves = []
    for part in preset.parts:
        for model in part.models:
            for haystack in part.haystacks:
                for position in part.positions:
                    own = [
                        row
                        for row in rows
                        if (row["model"], row["haystack"]) == (model, haystack)
                        and float(row["position"]) == position
                        and float(row["length_s"]) in part.lengths_s
                    ]
                    curves += _curve(own)
    return [curve for curve in curves if len(curve.shares) >= FEWEST_POINTS]


def _curve(rows: list[dict[str, str]]) -> list[PublishedCurve]:
    scores = {float(row["length_s"]): row for row in rows if row["metric"] == "mAP"}
    base = float(scores[BASE_LENGTH_S]["value"]) if BASE_LENGTH_S in scores else None
    shares, slack = {BASE_LENGTH_S: 1.0}, [0.0]
    for row in rows:
        length, value, off = (float(row[name]) for name in ("length_s", "value", "tolerance"))
        if row["metric"] == "relative":
            shares[length] = value
            slack.append(off)
        elif row["metric"] == "mAP" and base is not None:
            shares.setdefault(length, value / base)
            slack.append(off / base)
    if len(shares) == 1:
        return []
    first = rows[0]
    snr_db = float(first["snr_db"]) if first["snr_db"] else None
    place = (first["model"], first["haystack"], snr_db, float(first["position"]))
    return [PublishedCurve(*place, dict(sorted(shares.items())), max(slack))]


def statements(names: Iterable[str]) -> list[Table]:
    """Return, for each preset by name, a table of the paper's statements on its figure and of our assumptions."""
    tables = []
    for preset in map(find_preset, names):
        rows = [("the paper says", text) for text in preset.states]
        rows += [("assumed here", text) for text in preset.assumed]
        caption = f"Published, {preset.name}: {preset.title} ({preset.source})."
        tables.append(Table(caption, ("", "what"), tuple(rows)))
    return tables
