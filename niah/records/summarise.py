"""Metrics of every cell of a run, computed from its stored scores.

The base of a cell is the same model (weights, window and its pooling, dtype, clips, seed) at 10 s:
the needle alone. A metric is recomputed only when the scores it is of, or those of its base, have
changed; a base is resampled once for all cells of its model.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from niah.errors import NiahError
from niah.metrics import average_precision as metrics
from niah.metrics.drop import intervals
from niah.metrics.resampling import DRAWS, SEED, Resampled, resample
from niah.records.axes import is_noise_base
from niah.records.naming import pool_of
from niah.records.schema import BASE_LENGTH_S, METRIC_COLUMNS, Row

if TYPE_CHECKING:
    from niah.records.run_directory import RunDirectory
    from niah.records.scores import ClipScores

METRICS_VERSION = 3  # raise it when a formula changes: stored metrics are then recomputed
SAME_MODEL = (
    *("model", "checkpoint_sha256", "protocol", "needles", "n_clips", "window_s", "seed", "dtype"),
)


def summarise(run: "RunDirectory") -> None:
    """Fill in the metric columns of every ok cell that has scores, and rewrite cells.csv.

    Cells of models with random weights keep empty metrics: they are there for speed alone. So do
    controls: what is not in a scene has no rank. A cell without a 10 s base keeps empty base,
    relative and drop columns. Raises `NiahError` when a cell's clips are not those of its base, or
    a score file is damaged.
    """
    stored = run.rows()
    models = run.run_json().get("models", {})
    random = {name for name, card in models.items() if card.get("random")}
    digests = {row["cell"]: run.scores_sha256(str(row["cell"])) for row, _ in stored}
    scored = [
        (row, scored_from)
        for row, scored_from in stored
        if row["status"] == "ok" and digests[row["cell"]] and not row.get("control")
    ]
    bases = _bases(row for row, _ in scored)
    resampled = _Bases(run)
    changed = []
    for row, scored_from in sorted(scored, key=lambda each: repr(_model_key(each[0]))):
        base = bases.get(_model_key(row))
        fingerprint = _fingerprint(digests[row["cell"]], base and digests[base["cell"]])
        if fingerprint == scored_from:
            continue
        known = {}
        if row["model"] not in random:
            clips = run.read_scores(str(row["cell"]))
            known = cell_metrics(clips.targets, clips.ranked, resampled.of(row, base, clips))
        changed.append(({**row, **dict.fromkeys(METRIC_COLUMNS), **known}, fingerprint))
    run.write_rows(changed)


def _bases(rows: Iterable[Row]) -> dict[tuple[object, ...], Row]:
    """The row of the needle alone for each model; one that names no haystack goes first."""
    alone = [row for row in rows if row["length_s"] == BASE_LENGTH_S and not is_noise_base(row)]
    alone.sort(key=lambda row: (row["haystack"] in (None, "none"), str(row["cell"])))
    return {_model_key(row): row for row in alone}


def cell_metrics(
    targets: metrics.Targets, scores: metrics.Scores, base: Resampled | metrics.Scores | None
) -> dict[str, float]:
    """All metric columns of one cell, scores and targets (clips, classes).

    `base`: the 10 s scores of the same clips, or their mAP resampled before (None leaves the
    columns that need a base NaN).
    """
    if isinstance(base, np.ndarray):
        (base,) = resample(targets, [base])
    (own,) = resample(targets, [scores])
    area = metrics.mean_auc(metrics.auc(targets, scores))
    base_mAP = nan if base is None else base.estimate
    return {
        "mAP": own.estimate,
        "auc": area,
        "d_prime": metrics.d_prime(area),
        "base_mAP": base_mAP,
        "chance_mAP": metrics.chance_mAP(targets),
        "relative": own.estimate / base_mAP,
        "drop": (base_mAP - own.estimate) / base_mAP,
        "classes_scored": metrics.classes_scored(targets),
        **asdict(intervals(own, base)),
    }


class _Bases:
    """The resampled base of each model; only the last is kept, since cells come model by model."""

    def __init__(self, run: "RunDirectory") -> None:
        self.run = run
        self.last: tuple[object, ClipScores, Resampled] | None = None

    def of(self, row: Row, base: Row | None, scored: "ClipScores") -> Resampled | None:
        """The base's mAP; refused when it is of other clips than the scores of `row`."""
        if base is None:
            return None
        if self.last is None or self.last[0] != base["cell"]:
            stored = self.run.read_scores(str(base["cell"]))
            (resampled,) = resample(stored.targets, [stored.logits])
            self.last = (base["cell"], stored, resampled)
        _, stored, resampled = self.last
        if (stored.ids, stored.classes) != (scored.ids, scored.classes) or (
            stored.labels != scored.labels
        ):
            raise NiahError(
                f"cell {row['cell']} and its 10 s base {base['cell']} in {self.run.path} are of "
                "different clips: run both again in a new folder"
            )
        return resampled


def _model_key(row: Mapping[str, object]) -> tuple[object, ...]:
    return (*(row[name] for name in SAME_MODEL), pool_of(row))


def _fingerprint(own: str | None, base: object) -> str:
    """Of all that a row's metrics are computed from: both score files, and how."""
    parts = (METRICS_VERSION, DRAWS, SEED, own, base)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:20]
