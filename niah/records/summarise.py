"""Metrics of every cell of a run, computed from its stored scores.

The base of a cell is the same model (weights, window and its pooling, dtype, clips, seed) at 10 s: the needle alone.
Beside it, where they were run,

    noise base     the needle alone in the same noise (`is_noise_base`), else the shortest scene of the same haystack,
                   SNR, level and position: the cost of length without that of masking
    needle-free    the same haystack, SNR, level and length without its needle, scored against the needles' labels: the
                   empirical floor, due to the haystack alone

Entries that a cell does not count (its distractors' labels) are left out of its base, its floor and chance too.
Metrics are recomputed only when one of their score files has changed; a base is resampled once for all cells of its
model.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from niah.errors import NiahError
from niah.metrics import average_precision as metrics
from niah.metrics.average_precision import Mask, Scores, Targets
from niah.metrics.drop import intervals
from niah.metrics.resampling import DRAWS, SEED, Resampled, resample
from niah.records.axes import AXES, NEEDLE_FREE, OWN, is_noise_base
from niah.records.doubted_scores import probability_warnings
from niah.records.naming import pool_of
from niah.records.random_weights import random_models
from niah.records.schema import BASE_LENGTH_S, METRIC_COLUMNS, OPTIONAL_METRICS, Row
from niah.records.score_files import ScoreFiles
from niah.records.scores import SATURATED
from niah.system.plurals import plural
from niah.system.side_processes import shared_out

if TYPE_CHECKING:
    from niah.records.run_directory import RunDirectory
    from niah.records.scores import ClipScores

METRICS_VERSION = 6  # raise it when a formula changes: stored metrics are then recomputed
SAME_MODEL = (
    *("model", "checkpoint_sha256", "protocol", "needles", "n_clips", "window_s", "seed", "dtype"),
    "noise_seed",
)
_Compared = tuple[Row, Row | None, Row | None, Row | None]
"""A cell's row with those of its base, its noise base and its needle-free cell."""
NO_METRICS: Row = dict.fromkeys((*METRIC_COLUMNS, *OPTIONAL_METRICS))


def summarise(run: "RunDirectory") -> list[str]:
    """Fill in the metric columns of every ok cell from its scores, and rewrite cells.csv.

    Cells of models with random weights keep empty metrics: they measure speed alone. So do controls: an absent needle
    has no rank. A cell without a 10 s base keeps empty base, relative, drop and adjusted columns. A cell
    whose scores are missing or were changed loses its metrics; a run that was published without any keeps them.

    Returns:
        Warnings for the reader of the numbers.

    Raises:
        NiahError: a cell's clips are not those of its base; a row that was edited or damaged.
    """
    with run.coordinating():
        return _summarise(run)


def _summarise(run: "RunDirectory") -> list[str]:
    stored = run.rows()
    cells = [str(row["cell"]) for row, _ in stored]
    if any(scored_from for _, scored_from in stored) and not any(map(run.scores_sha256, cells)):
        return []  # published without scores: nothing can be computed, nor doubted
    warnings, doubted = [], set()
    for row, _ in stored:
        if row["status"] == "ok" and (reason := run.scores_problem(row)):
            doubted.add(row["cell"])
            warnings.append(f"{reason}; its metrics are not shown: run the same command again")
    random = random_models(run.run_json())
    whole = [(r, s) for r, s in stored if r["status"] == "ok" and r["cell"] not in doubted]
    scored = [(row, scored_from) for row, scored_from in whole if not row.get("control")]
    beside = _Beside(row for row, _ in whole)
    changed: list[tuple[Row, str | None]] = [
        ({**row, **NO_METRICS}, None)
        for row, _ in stored
        if row["cell"] in doubted and row["mAP"] is not None
    ]
    unknown: list[tuple[_Compared, str]] = []
    for row, scored_from in sorted(scored, key=lambda each: repr(_model_key(each[0]))):
        compared = (row, *beside.of(row))
        fingerprint = _made_of(run, compared)
        if fingerprint == scored_from:
            continue
        if row["model"] in random:
            changed.append(({**row, **NO_METRICS}, fingerprint))
        else:
            unknown.append((compared, fingerprint))
    every = [compared for compared, _ in unknown]
    values = shared_out(_metrics, run.score_files(), every, "metrics")
    changed += [
        ({**compared[0], **NO_METRICS, **of_cell}, fingerprint)
        for (compared, fingerprint), of_cell in zip(unknown, values, strict=True)
    ]
    run.write_rows(changed, instead_of={str(row["cell"]): row for row, _ in stored})
    warnings += _saturated(run, [str(row["cell"]) for row, _ in scored])
    return [
        *warnings,
        *probability_warnings(run, [row for row, _ in scored if row["model"] not in random]),
    ]


def recomputed(run: "RunDirectory") -> list[tuple[Row, bool | None, dict[str, float]]]:
    """Return every scored cell's row and its metrics, computed again; nothing is written.

    Between them is whether the stored ones are of the scores that are there, by these formulas; None without any.

    Cells without metrics by rule (random weights, controls, damaged scores) are passed over.

    Raises:
        NiahError: a row that was edited or damaged.
    """
    random = random_models(run.run_json())
    whole = [(r, s) for r, s in run.rows() if r["status"] == "ok" and not run.scores_problem(r)]
    beside = _Beside(row for row, _ in whole)
    scored = [(r, s) for r, s in whole if not r.get("control") and r["model"] not in random]
    scored.sort(key=lambda each: repr(_model_key(each[0])))
    every = [(row, *beside.of(row)) for row, _ in scored]
    values = shared_out(_metrics, run.score_files(), every, "metrics")
    return [
        (row, None if scored_from is None else scored_from == _made_of(run, compared), own)
        for (row, scored_from), compared, own in zip(scored, every, values, strict=True)
    ]


def _metrics(files: ScoreFiles, cells: Sequence[_Compared]) -> Iterator[dict[str, float]]:
    """Compute all metric columns of each cell, whose rows are in the order of models."""
    computed = _Computed(files)
    for row, *others in cells:
        yield computed.metrics(row, *others)


def _saturated(run: "RunDirectory", cells: Iterable[str]) -> list[str]:
    """Warn of old files, whose float16 probabilities tie clips near 0 and 1."""
    shares = [share for cell in cells if (share := run.saturation(cell)) > SATURATED]
    if not shares:
        return []
    return [
        f"{plural(len(shares), 'cell')} stored as float16 probabilities, up to {100 * max(shares):.1f} % of them "
        "exactly 0 or 1: clips are tied there and their mAP is not the model's. Run again, which stores logits."
    ]


def cell_metrics(
    targets: Targets,
    scores: Scores,
    base: Resampled | Scores | None,
    *,
    groups: tuple[str, ...] | None = None,
    excluded: Mask | None = None,
    own: Resampled | None = None,
) -> dict[str, float]:
    """Compute the metric columns of one cell that need no other cell than its base.

    Args:
        targets: Clips that have each class, (clips, classes).
        scores: (clips, classes).
        base: The 10 s scores of the same clips, or their mAP resampled before; None leaves the columns that need a base
            NaN.
        groups: The recording of each clip, (clips,).
        excluded: Entries that are not counted, (clips, classes).
        own: The mAP of `scores` where it was resampled before; `base` itself for the 10 s cell.
    """
    if isinstance(base, np.ndarray):
        (base,) = resample(targets, [base], groups=groups, excluded=excluded)
    if own is None:
        (own,) = resample(targets, [scores], groups=groups, excluded=excluded)
    area = metrics.mean_auc(metrics.auc(targets, scores, excluded))
    base_mAP = nan if base is None else base.estimate
    chance = metrics.chance_mAP(targets, excluded)
    return {
        "mAP": own.estimate,
        "auc": area,
        "d_prime": metrics.d_prime(area),
        "base_mAP": base_mAP,
        "chance_mAP": chance,
        "relative": own.estimate / base_mAP,
        "drop": (base_mAP - own.estimate) / base_mAP,
        "classes_scored": metrics.classes_scored(targets),
        **asdict(intervals(own, base, chance)),
    }


class _Beside:
    """The cells that a cell is compared with: its base, its noise base and its needle-free scenes."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.bases: dict[tuple[object, ...], Row] = {}
        self.mixed: dict[tuple[object, ...], Row] = {}  # the needle alone with noise under it
        self.shortest: dict[tuple[object, ...], Row] = {}
        self.free: dict[tuple[object, ...], Row] = {}
        # of bases that name a haystack and one that does not, the latter; else the order of cells
        for row in sorted(rows, key=lambda r: (r["haystack"] in (None, "none"), str(r["cell"]))):
            if row.get("control") == NEEDLE_FREE:
                self.free[(*noise_key(row), row["length_s"])] = row
            elif row.get("control"):
                continue
            elif is_noise_base(row):
                self.mixed[noise_key(row)] = row
            elif row["length_s"] == BASE_LENGTH_S:
                self.bases[_model_key(row)] = row
            elif _length(row) < BASE_LENGTH_S:
                continue  # a part of the needle is nobody's base
            elif _length(row) < _length(self.shortest.setdefault(_scene_key(row), row)):
                self.shortest[_scene_key(row)] = row

    def of(self, row: Row) -> tuple[Row | None, Row | None, Row | None]:
        """Return base, noise base and needle-free cell, None where there is none."""
        in_noise = row["snr_db"] is not None or row["haystack"] == OWN
        place = noise_key(row)
        # stretches of natural recordings hold other events: no floor of the crops
        longer = (row["length_s"] != BASE_LENGTH_S or is_noise_base(row)) and row["haystack"] != OWN
        noise_base = self.mixed.get(place, self.shortest.get(_scene_key(row)))
        return (
            self.bases.get(_model_key(row)),
            noise_base if in_noise else None,
            self.free.get((*place, row["length_s"])) if longer else None,
        )


@dataclass(frozen=True)
class _Scored:
    """The mAP of a cell's scores against labels: (clip names, classes, labels of each clip)."""

    labels: tuple[object, ...]
    mAP: float


class _Computed:
    """Metrics from scores; the last base stays in memory, resampled, since cells come model by model."""

    def __init__(self, files: ScoreFiles) -> None:
        self.run = files
        self.last: tuple[object, ClipScores, Resampled] | None = None
        self.others: dict[object, _Scored] = {}  # by cell, of the last base's model

    def metrics(
        self, row: Row, base: Row | None, noise_base: Row | None, free: Row | None
    ) -> dict[str, float]:
        """Compute all metric columns of `row`."""
        clips = self.run.read_scores(str(row["cell"]))
        excluded = clips.excluded if clips.excluded.any() else None
        alone = None if base is None else self._base(row, base, clips, excluded)
        values = cell_metrics(
            clips.targets,
            clips.logits,
            alone,
            groups=clips.groups,
            excluded=excluded,
            own=alone if base is not None and base["cell"] == row["cell"] else None,
        )
        if noise_base is not None:
            values["noise_base_mAP"] = self._mAP_of(row, noise_base, clips)
            values["relative_noise_base"] = values["mAP"] / values["noise_base_mAP"]
        if free is not None:
            values["needle_free_mAP"] = self._mAP_of(row, free, clips)
        return values

    def _base(self, row: Row, base: Row, clips: "ClipScores", excluded: Mask | None) -> Resampled:
        if self.last is None or self.last[0] != base["cell"]:
            stored = self.run.read_scores(str(base["cell"]))
            (resampled,) = resample(stored.targets, [stored.logits], groups=stored.groups)
            self.last = (base["cell"], stored, resampled)
            self.others.clear()
        _, stored, resampled = self.last
        self._check_same(row, base, clips, stored)
        if stored.labels != clips.labels:
            raise _other_clips(self.run, row, base)
        if excluded is None and stored.groups == clips.groups:
            return resampled
        (resampled,) = resample(
            stored.targets, [stored.logits], groups=clips.groups, excluded=excluded
        )
        return resampled

    def _mAP_of(self, row: Row, other: Row, clips: "ClipScores") -> float:  # noqa: N802
        """Return the mAP of another cell's scores against the labels of `clips`, over the entries that count there."""
        labels = (clips.ids, clips.classes, clips.labels)
        known = self.others.get(other["cell"])
        if known is not None and known.labels == labels and not clips.excluded.any():
            return known.mAP
        scores = clips if other["cell"] == row["cell"] else self.run.read_scores(str(other["cell"]))
        self._check_same(row, other, clips, scores)
        ap = metrics.average_precision(clips.targets, scores.logits, clips.excluded)
        value = metrics.mean_average_precision(ap)
        if not clips.excluded.any():
            self.others[other["cell"]] = _Scored(labels, value)
        return value

    def _check_same(self, row: Row, other: Row, a: "ClipScores", b: "ClipScores") -> None:
        if (a.ids, a.classes) != (b.ids, b.classes):
            raise _other_clips(self.run, row, other)


def _other_clips(run: ScoreFiles, row: Row, other: Row) -> NiahError:
    what = "10 s base" if other["length_s"] == BASE_LENGTH_S else "counterpart"
    return NiahError(
        f"cell {row['cell']} and its {what} {other['cell']} in {run.path} are of different clips: run both again in a "
        "new folder"
    )


def _length(row: Row) -> float:
    length_s = row["length_s"]
    assert isinstance(length_s, int | float)
    return length_s


def _model_key(row: Mapping[str, object]) -> tuple[object, ...]:
    return (*(row.get(name) for name in SAME_MODEL), pool_of(row))


def noise_key(row: Mapping[str, object]) -> tuple[object, ...]:
    """Return all that scenes in one noise have in common: the model, the haystack, its SNR and level."""
    return (*_model_key(row), row["haystack"], row["snr_db"], row.get("level"))


def _scene_key(row: Mapping[str, object]) -> tuple[object, ...]:
    return (*noise_key(row), row["position"], *(row.get(name) for name in AXES))


def _made_of(run: "RunDirectory", compared: _Compared) -> str:
    """Return the fingerprint of the metrics of a cell's row."""
    return _fingerprint([run.scores_sha256(str(e["cell"])) if e else None for e in compared])


def _fingerprint(digests: Iterable[str | None]) -> str:
    """Return the hash of everything that a row's metrics depend on: score files, formulas, draws."""
    parts = (METRICS_VERSION, DRAWS, SEED, *digests)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:20]
