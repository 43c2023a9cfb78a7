"""Metrics of every cell of a run, computed from its stored scores.

The base of a cell is the same model (weights, window, clips, seed) at 10 s: the needle alone. A
metric is recomputed only when the scores it is of, or those of its base, have changed.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from math import nan
from typing import TYPE_CHECKING

from niah import metrics, statistics
from niah.cells import BASE_LENGTH_S, METRIC_COLUMNS, Row
from niah.errors import NiahError

if TYPE_CHECKING:
    from niah.records import ClipScores, RunDirectory

METRICS_VERSION = 2  # raise it when a formula changes: stored metrics are then recomputed
DRAWS = 1000
BOOTSTRAP_SEED = 0  # one for all cells, so that every cell of a run is paired with every other
SAME_MODEL = ("model", "checkpoint_sha256", "protocol", "needles", "n_clips", "window_s", "seed")


def summarise(run: "RunDirectory") -> None:
    """Fill in the metric columns of every ok cell that has scores, and rewrite cells.csv.

    Cells of models with random weights keep empty metrics: they are there for speed alone. A cell
    without a 10 s base keeps empty base, relative and drop columns. Raises `NiahError` when a
    cell's clips are not those of its base, or a score file is damaged.
    """
    stored = run.rows()
    models = run.run_json().get("models", {})
    random = {name for name, card in models.items() if card.get("random")}
    digests = {row["cell"]: run.scores_sha256(str(row["cell"])) for row, _ in stored}
    scored = [each for each in stored if each[0]["status"] == "ok" and digests[each[0]["cell"]]]
    bases = _bases(row for row, _ in scored)
    changed = []
    for row, scored_from in scored:
        base = bases.get(_model_key(row))
        fingerprint = _fingerprint(digests[row["cell"]], base and digests[base["cell"]])
        if fingerprint == scored_from:
            continue
        known = {} if row["model"] in random else _measure(run, row, base)
        changed.append(({**row, **dict.fromkeys(METRIC_COLUMNS), **known}, fingerprint))
    run.write_rows(changed)


def _bases(rows: Iterable[Row]) -> dict[tuple[object, ...], Row]:
    """The row of the needle alone for each model; one that names no haystack goes first."""
    alone = [row for row in rows if row["length_s"] == BASE_LENGTH_S]
    alone.sort(key=lambda row: (row["haystack"] in (None, "none"), str(row["cell"])))
    return {_model_key(row): row for row in alone}


def cell_metrics(
    targets: metrics.Targets, scores: metrics.Scores, base_scores: metrics.Scores | None
) -> dict[str, float]:
    """All metric columns of one cell; `base_scores` None leaves those that need a base NaN."""
    mAP = metrics.mean_average_precision(metrics.average_precision(targets, scores))
    area = metrics.mean_auc(metrics.auc(targets, scores))
    base = nan
    if base_scores is not None:
        base = metrics.mean_average_precision(metrics.average_precision(targets, base_scores))
    intervals = statistics.bootstrap_drop(
        targets, base_scores, scores, draws=DRAWS, seed=BOOTSTRAP_SEED
    )
    return {
        "mAP": mAP,
        "auc": area,
        "d_prime": metrics.d_prime(area),
        "base_mAP": base,
        "chance_mAP": metrics.chance_mAP(targets),
        "relative": mAP / base,
        "drop": (base - mAP) / base,
        "classes_scored": metrics.classes_scored(targets),
        **asdict(intervals),
    }


def _measure(run: "RunDirectory", row: Row, base: Row | None) -> dict[str, float]:
    scored = run.read_scores(str(row["cell"]))
    base_scored = None if base is None else _paired(run, row, base, scored)
    return cell_metrics(scored.targets, scored.scores, base_scored)


def _paired(run: "RunDirectory", row: Row, base: Row, scored: "ClipScores") -> metrics.Scores:
    """The base's scores, in the same order of clips and classes."""
    based = run.read_scores(str(base["cell"]))
    if (based.ids, based.classes) != (scored.ids, scored.classes):
        raise NiahError(
            f"cell {row['cell']} and its 10 s base {base['cell']} in {run.path} are of different "
            "clips: run both again in a new folder"
        )
    return based.scores


def _model_key(row: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(row[name] for name in SAME_MODEL)


def _fingerprint(own: str | None, base: object) -> str:
    """Of all that a row's metrics are computed from: both score files, and how."""
    parts = (METRICS_VERSION, DRAWS, BOOTSTRAP_SEED, own, base)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:20]
