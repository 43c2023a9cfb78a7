"""The conditions for comparing two runs: equal protocol, level, labels and clips, as far as both state them."""

import hashlib
from collections.abc import Mapping
from typing import Any

from niah.compare.same_haystacks import differing_contents, noise_seed
from niah.compare.stored_run import StoredRun
from niah.errors import NiahError
from niah.records.axes import MASKING_AXES

SAME_RUN = ("protocol", "level", "labels")
SAME_ROWS = ("protocol", "n_clips")
CHANCE_APART = 1e-6  # of chance mAP, which follows from the clips' labels alone


def refuse_other_runs(a: StoredRun, b: StoredRun) -> None:
    """Refuse two runs whose scores differ for another reason than their models.

    Args:
        a: a run.
        b: the other.

    Raises:
        NiahError: other protocol, level, labels or clips.
    """
    for name in SAME_RUN:
        ours, theirs = a.identity.get(name), b.identity.get(name)
        if None not in (ours, theirs) and ours != theirs:
            _refuse(a, b, f"{name} ({ours} and {theirs})")
    _refuse_other_clips(a, b)
    _refuse_other_rows(a, b)


def seeds_note(a: StoredRun, b: StoredRun) -> str | None:
    """Return a sentence where the noise of two runs has different seeds; None where it is the same."""
    ours, theirs = noise_seed(a), noise_seed(b)
    if None in (ours, theirs) or ours == theirs:
        return None
    note = f"The noise is drawn with seed {ours} here and {theirs} there: a difference includes the noise's."
    if names := differing_contents(a, b):
        note += f" Whether it is made of the same files is not known of {', '.join(names)}."
    return note


def clips_sha256(run: StoredRun) -> str | None:
    """Return the SHA-256 of the sorted clip ids joined by newlines, from run.json or from stored scores."""
    stated = run.run_json.get("needles")
    if isinstance(stated, Mapping) and stated.get("clips_sha256"):
        return str(stated["clips_sha256"])
    for point in run.points:
        if run.directory is not None and run.has_scores(point):
            ids = run.directory.read_scores(point["cell"]).ids
            return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()
    return None


def _refuse_other_clips(a: StoredRun, b: StoredRun) -> None:
    contents = [_needles(run).get("content_sha256") for run in (a, b)]
    if None not in contents and contents[0] != contents[1]:
        _refuse(a, b, "clips (ids, labels or sound)")
    ordered = [run.identity.get("ids_sha256") for run in (a, b)]
    if None not in ordered and ordered[0] == ordered[1]:
        return
    hashes = [clips_sha256(run) for run in (a, b)]
    if None in hashes:
        if None not in ordered:  # other clips or another order: without ids it is unknown
            _refuse(a, b, "clips")
    elif hashes[0] != hashes[1]:
        counts = [run.points[0]["n_clips"] if run.points else 0 for run in (a, b)]
        _refuse(a, b, f"clips ({counts[0]} and {counts[1]})")


def _refuse_other_rows(a: StoredRun, b: StoredRun) -> None:
    """Compare protocol, clip counts and chance in the rows, for tables without a list of clips."""
    for name in SAME_ROWS:
        values = [sorted({str(point[name]) for point in run.points}) for run in (a, b)]
        if all(values) and not set(values[0]) & set(values[1]):
            quantity = "clips" if name == "n_clips" else name
            _refuse(a, b, f"{quantity} ({', '.join(values[0])} and {', '.join(values[1])})")
    floors = [_chance(run) for run in (a, b)]
    if None not in floors and abs((floors[0] or 0.0) - (floors[1] or 0.0)) > CHANCE_APART:
        _refuse(a, b, f"clips or labels (chance is {floors[0]:.6f} and {floors[1]:.6f} mAP)")


def _chance(run: StoredRun) -> float | None:
    """Return the lowest chance mAP: other clips in a scene, which mask entries, only raise it."""
    plain = [
        p["chance_mAP"]
        for p in run.points
        if p["chance_mAP"] and not any(p.get(name) for name in MASKING_AXES)
    ]
    return min(map(float, plain)) if plain else None


def _needles(run: StoredRun) -> Mapping[str, Any]:
    stated = run.run_json.get("needles")
    return stated if isinstance(stated, Mapping) else {}


def _refuse(a: StoredRun, b: StoredRun, quantity: str) -> None:
    raise NiahError(
        f"{a.path} and {b.path} differ in {quantity}: their scores cannot be compared; run both alike"
    )
