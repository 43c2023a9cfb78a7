"""Predictions as logits, a row a scene and a column a class; what does not fit is refused or counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError, nearest
from niah.exchange.predictions import Predictions
from niah.probabilities import log_odds
from niah.records.scores import SATURATED
from niah.system.plurals import plural
from niah.vocabularies import Vocabulary
from niah.vocabularies.names import alike_names, normalised

AUTO, LOGIT, PROBABILITY = SCALES = ("auto", "logit", "probability")
_LOWEST, _HIGHEST = float(np.finfo(np.float64).tiny), 1 - 2.0**-53
_SHOWN = 3


@dataclass(frozen=True)
class ScoreMatrix:
    """Logits of scenes.

    Attributes:
        rows: scene id: row of `logits`; scenes without a prediction are absent.
        logits: (scenes, classes) float32.
        scale: "logit" or "probability": what the file had.
        notes: sentences for the user.
    """

    rows: Mapping[str, int]
    logits: NDArray[np.float32]
    scale: str
    notes: tuple[str, ...]


def check_scale(scale: str) -> str:
    """Return the name of a scale of scores.

    Raises:
        NiahError: unknown; the message has the nearest.
    """
    if scale not in SCALES:
        raise NiahError(f"--scores '{scale}': unknown.{nearest(scale, SCALES)}")
    return scale


def score_matrix(
    predictions: Predictions, scenes: Sequence[str], labels: Vocabulary, scale: str = AUTO
) -> ScoreMatrix:
    """Bring predictions to the order of scenes and classes, as logits.

    A class that is not named for a scene gets the lowest score: probability 0, or less than every logit of the file.

    Args:
        predictions: as read.
        scenes: ids of all scenes.
        labels: the classes.
        scale: "logit", "probability", or "auto": probabilities if all scores lie in [0, 1].

    Raises:
        NiahError: an unknown scene, a score twice for one scene and class, NaN or infinity, no label that is known, a
            probability outside [0, 1].
    """
    check_scale(scale)
    rows = _rows(predictions, scenes)
    columns, notes = _columns(predictions, labels)
    named, entries = predictions.pairs
    column = np.array([columns.get(label, -1) for label in entries], dtype=np.int64)
    row = np.array([rows[scene] for scene in named], dtype=np.int64)
    scored = column >= 0
    row, column, scores = row[scored], column[scored], predictions.scores[scored]
    _refuse_repeated(row * len(labels) + column, scored, predictions)
    _refuse_not_finite(scores, scored, predictions)
    scale, scale_note = _scale(scores, scale, words=predictions.words)
    if scale == PROBABILITY and not predictions.words:
        notes += _ties_note(scores)
    logits = _logits(scores, scale)
    lowest = _logits(np.zeros(1), scale)[0] if scale == PROBABILITY else logits.min(initial=0) - 1
    matrix = np.full((max(rows.values()) + 1, len(labels)), lowest, dtype=np.float32)
    matrix[row, column] = logits
    if unnamed := len(labels) - len(np.unique(column)):
        notes.append(
            f"{unnamed} of {len(labels)} classes of '{labels.name}' are in no prediction: they get the lowest score"
        )
    ids = set(scenes)
    by_id = {_plain(scene, ids): index for scene, index in rows.items()}
    return ScoreMatrix(by_id, matrix, scale, (scale_note, *notes))


def _rows(predictions: Predictions, scenes: Sequence[str]) -> dict[str, int]:
    """Number the scenes that are named; a file's name stands for its scene."""
    ids = set(scenes)
    number: dict[str, int] = {}
    rows: dict[str, int] = {}
    unknown = []
    for scene in dict.fromkeys(predictions.scenes):
        plain = _plain(scene, ids)
        if plain not in ids:
            unknown.append(scene)
            continue
        rows[scene] = number.setdefault(plain, len(number))
    if unknown:
        raise NiahError(
            f"{_counted(len(unknown), 'scene')} of the predictions and no scene of manifest.csv, the first "
            f"'{unknown[0]:.60}'.{nearest(unknown[0], scenes[:1000])}"
        )
    return rows


def _plain(scene: str, ids: set[str]) -> str:
    return scene if scene in ids else PurePath(scene).stem


def _columns(predictions: Predictions, labels: Vocabulary) -> tuple[dict[str, int], list[str]]:
    """Return the class of each label (id, display name, a name that is alike), and notes on the others."""
    alike = alike_names(labels)
    columns: dict[str, int] = {}
    guessed, unknown = [], []
    for label in dict.fromkeys(predictions.pairs[1]):
        id_ = labels.id_of(label)
        if id_ is None and (id_ := alike.get(normalised(label))) is not None:
            guessed.append(f"'{label}' as '{labels.names[labels.index(id_)]}'")
        if id_ is None:
            unknown.append(label)
        else:
            columns[label] = labels.index(id_)
    if not columns and unknown:
        raise NiahError(
            f"none of the {len(unknown)} labels of the predictions is a class of '{labels.name}': "
            f"{labels.problem(unknown[0])}"
        )
    if not columns and not predictions.words:
        raise NiahError("the predictions have no labels")
    notes = []
    if guessed:
        notes.append(f"labels taken by a name that is alike ({len(guessed)}): {_some(guessed)}")
    if unknown:
        shown = _some([f"'{label:.60}'" for label in unknown])
        notes.append(
            f"labels that are no class of '{labels.name}', not scored ({len(unknown)}): {shown}"
        )
    return columns, notes


def _refuse_repeated(
    flat: NDArray[np.int64], scored: NDArray[np.bool_], predictions: Predictions
) -> None:
    values, first, counts = np.unique(flat, return_index=True, return_counts=True)
    if len(values) == len(flat) or predictions.words:
        return
    index = np.flatnonzero(scored)[first[counts > 1].min()]
    scene, label = (names[index] for names in predictions.pairs)
    raise NiahError(
        f"{_counted(int((counts > 1).sum()), 'score')} there twice, first scene '{scene}', label '{label}'"
    )


def _refuse_not_finite(
    scores: NDArray[np.float64], scored: NDArray[np.bool_], predictions: Predictions
) -> None:
    broken = ~np.isfinite(scores)
    what = "NaN, infinite or missing"
    if not broken.any():
        broken = np.abs(scores) > np.finfo(np.float32).max
        what = "larger than float32 holds"
    if not broken.any():
        return
    index = np.flatnonzero(scored)[np.flatnonzero(broken)[0]]
    scene, label = (names[index] for names in predictions.pairs)
    raise NiahError(
        f"{_counted(int(broken.sum()), 'score')} {what}, first scene '{scene}', label '{label}'"
    )


def _scale(scores: NDArray[np.float64], scale: str, *, words: bool) -> tuple[str, str]:
    """Return the scale of the scores, and a sentence that says it."""
    low, high = (float(scores.min()), float(scores.max())) if len(scores) else (0.0, 1.0)
    within = low >= 0 and high <= 1
    if words:
        return PROBABILITY, "answers in words: a label counts 1 where it is named, else 0"
    if scale == PROBABILITY and not within:
        raise NiahError(
            f"--scores probability: the scores go from {low:.4g} to {high:.4g}, must lie in [0, 1]"
        )
    if scale == AUTO:
        scale = PROBABILITY if within else LOGIT
        where = "all lie" if within else "do not all lie"
        return (
            scale,
            f"the scores are read as {PROBABILITY if within else LOGIT}, for they {where} in [0, 1] (--scores)",
        )
    return scale, f"the scores are read as {scale}"


def _ties_note(scores: NDArray[np.float64]) -> list[str]:
    """Return a warning where so many probabilities are exactly 0 or 1 that their ties may change the mAP."""
    share = float(((scores == 0) | (scores == 1)).mean()) if len(scores) else 0.0
    if share <= SATURATED:
        return []
    return [
        f"{100 * share:.1f} % of the probabilities are exactly 0 or 1: clips are tied there and their mAP is not the "
        "system's; give logits, or probabilities with all their digits"
    ]


def _logits(scores: NDArray[np.float64], scale: str) -> NDArray[np.float64]:
    return scores if scale == LOGIT else log_odds(scores, _LOWEST, _HIGHEST)


def _counted(count: int, noun: str) -> str:
    return f"{plural(count, noun)} {'is' if count == 1 else 'are'}"


def _some(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more
