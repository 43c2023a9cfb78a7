"""A run against published numbers: the papers' (`results/published/niah.csv`) and the model cards'.

They are scores on AudioSet's evaluation list, so only a run on that list is comparable: macro mAP rises with fewer
clips, by 0.02 from 20,000 to 1,000. The tolerance of a number is its own (rounding, digitising) plus the gate's,
whatever the run's interval: the clips are the same, but for the few that are no longer available.
"""

import csv
import re
from collections.abc import Collection, Mapping
from math import nan
from pathlib import Path
from typing import Any

from niah.cards import ModelCard, model_cards, published_file
from niah.compare.check_result import CheckResult, CheckRow
from niah.compare.stored_run import StoredRun, cell_name, pooling_of
from niah.errors import NiahError
from niah.records.naming import Point
from niah.records.schema import BASE_LENGTH_S, is_plain
from niah.system.plurals import plural

PROTOCOL = "dass-v1"
LABELS = "audioset-527"
FEWEST_CLIPS, MOST_CLIPS = (
    15_000,
    20_383,
)  # evaluation segments: still available, and published
FEWEST_IDS = 0.95  # share of clip ids with a YouTube id in them
FEWEST_CLASSES = 500  # the evaluation list has clips of all 527
CARD_SCORE = "audioset_mAP"  # per cent
ROUNDING = "0.05"  # of such a score, which has one decimal
HOW = (
    "A number is off when it differs by more than its own tolerance (rounding, digitising) and {tolerance:g} "
    "together; the clips are the published ones but for those that are gone."
)
_YOUTUBE_ID = re.compile(r"(?:^|[/_Y])([A-Za-z0-9_-]{11})(?:_[0-9.]+)*(?:\.[a-z0-9]+)?$")
Key = tuple[Any, ...]


def check_published(
    run: StoredRun, tolerance: float, models: Collection[str] = (), file: Path | None = None
) -> CheckResult:
    """Compare the cells of a run with the published numbers of the same model and scene.

    Args:
        run: on AudioSet's evaluation list, by dass-v1.
        tolerance: of mAP and of the share of the 10 s score, beside the number's own.
        models: NAME or NAME@SHA256 of the systems to compare; none for all.
        file: the papers' numbers; results/published/niah.csv if None.

    Returns:
        One row a comparison, and the verdict.

    Raises:
        NiahError: the run is not comparable with them; the message has the reason.
    """
    file = file or published_file()
    if reason := not_evaluation_list(run):
        raise NiahError(
            f"{run.path} is not comparable with the published numbers, which are of AudioSet's evaluation list "
            f"(some 20,000 clips of {LABELS}, by {PROTOCOL}): {reason}"
        )
    numbers = _rows_of(file)
    references = [*numbers, *_card_scores({row["model"] for row in numbers})]
    rows, notes = [], []
    for system, cells in run.systems(models).items():
        own = [each for each in references if each["model"] == system.model]
        plain = {
            _scene(point): point for point in reversed(list(cells.values())) if _is_plain(point)
        }
        matched = [
            (plain[key], each)
            for each in own
            if (key := _reference_scene(each)) in plain and _is_measured(plain[key], each)
        ]
        if matched and (reason := _other_weights(run, system.model, system.checkpoint_sha256)):
            notes.append(f"{system.short_name} is not comparable: {reason}.")
            continue
        rows += [_row(point, reference, tolerance) for point, reference in matched]
    if not rows and notes:
        raise NiahError(" ".join(notes))
    if not rows:
        names = ", ".join(sorted({each["model"] for each in references}))
        notes.append(f"There are published numbers of {names}: none matches a cell of the run.")
    elif not _first_ids(run):
        notes.append(
            "No clip ids are stored: that this is the evaluation list is inferred from its count and labels."
        )
    return CheckResult(tuple(rows), tuple(notes), HOW.format(tolerance=tolerance))


def not_evaluation_list(run: StoredRun) -> str | None:
    """Return the reason why a run is not on AudioSet's evaluation list by the paper's protocol; None if it may be."""
    rows = [point for point in run.points if point["protocol"] == PROTOCOL]
    if not rows:
        protocols = ", ".join(sorted({str(point["protocol"]) for point in run.points}))
        return f"this run is of {protocols or 'no protocol'}"
    clips = max(int(point["n_clips"]) for point in rows)
    name = rows[0]["needles"]
    if not FEWEST_CLIPS <= clips <= MOST_CLIPS:
        return f"this run has {plural(clips, 'clip')} of {name}"
    labels = run.identity.get("labels")
    if labels is None:
        return f"the label set of {name} is not stated (there is no run.json)"
    if labels != LABELS:
        return f"the labels of {name} are {labels}"
    scored = [int(point["classes_scored"]) for point in rows if point["classes_scored"]]
    if scored and max(scored) < FEWEST_CLASSES:
        return f"{name} has clips of {max(scored)} classes only"
    ids = _first_ids(run)
    known = sum(_YOUTUBE_ID.search(each) is not None for each in ids)
    if ids and known < FEWEST_IDS * len(ids):
        return f"the ids of {name} are not AudioSet's ({known} of {len(ids)} hold a YouTube id)"
    return None


def _first_ids(run: StoredRun) -> tuple[str, ...]:
    for point in run.points:
        if run.directory is not None and run.has_scores(point):
            return run.directory.read_scores(point["cell"]).ids
    return ()


def _other_weights(run: StoredRun, model: str, sha: str) -> str | None:
    """Return the reason why the weights may not be those of the published number; None if they are, or any may be.

    A card with several checkpoints lists the published one first, and an "official" file of the same; a card without
    any leaves the weights to the user.
    """
    card = next((card for card in model_cards() if card.name == model), None)
    if card is None or not card.weights:
        return None
    first = next(iter(card.weights))
    published = {first: card.weights[first]}
    published |= {
        key: w
        for key, w in card.weights.items()
        if w.teacher and w.teacher == published[first].teacher
    }
    if sha and sha in {weights.sha256 for weights in published.values()}:
        return None
    stated = run.run_json.get("models", {}).get(model, {})
    if not sha or stated.get("checkpoint_sha256") != sha:
        return f"run.json does not say from which file its weights are ({_versions(card)})"
    checkpoint = run.run_json.get("arguments", {}).get("checkpoint")
    if checkpoint is None:
        return None  # the first on the card
    name = Path(str(checkpoint)).name
    if name in {weights.file_name for weights in published.values() if weights.file_name}:
        return None
    return f"its weights are of {name}, the published number is of {first} ({_versions(card)})"


def _versions(card: ModelCard) -> str:
    return f"{card.name} has {', '.join(card.weights)}"


def _rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _card_scores(papers: Collection[str]) -> list[dict[str, str]]:
    """Return 10 s scores from cards as rows like niah.csv's.

    Only of models that the papers lack and whose card has one checkpoint, so that it is clear which the score is of.
    """
    alone = {"haystack": "", "snr_db": "", "position": "", "length_s": f"{BASE_LENGTH_S}"}
    return [
        {**alone, "model": card.name, "metric": "mAP", "value": f"{score}", "tolerance": ROUNDING}
        for card in model_cards()
        if (score := card.published.get(CARD_SCORE)) is not None
        and len(card.weights) == 1
        and card.name not in papers
    ]


def _is_plain(point: Point) -> bool:
    whole = not any(pooling_of(point))
    return point["protocol"] == PROTOCOL and is_plain(point) and whole


def _is_measured(point: Point, reference: Mapping[str, str]) -> bool:
    """Return whether there is a value to compare: a share needs the 10 s cell. A failed cell is compared."""
    return point["status"] != "ok" or point[_column(reference)] is not None


def _column(reference: Mapping[str, str]) -> str:
    return reference["metric"].removesuffix("_below")


def _scene(point: Point) -> Key:
    length_s = float(point["length_s"])
    return _key(length_s, (point["haystack"], point["snr_db"], point["position"]))


def _reference_scene(reference: Mapping[str, str]) -> Key:
    snr_db, position = (
        float(reference[name]) if reference[name] else None for name in ("snr_db", "position")
    )
    return _key(float(reference["length_s"]), (reference["haystack"], snr_db, position))


def _key(length_s: float, scene: Key) -> Key:
    return (length_s, None if length_s == BASE_LENGTH_S else scene)


def _row(point: Point, reference: Mapping[str, str], tolerance: float) -> CheckRow:
    quantity, column = reference["metric"], _column(reference)
    scale = 0.01 if column == "mAP" else 1.0  # published mAP is in per cent
    measured = nan if point[column] is None else float(point[column])
    allowed = scale * float(reference["tolerance"]) + tolerance
    value = scale * float(reference["value"])
    return CheckRow(cell_name(point), quantity, measured, value, allowed, str(point["status"]))
