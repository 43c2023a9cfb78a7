"""Entries of models in run.json, one for each weights: a name may stand for several checkpoints of one card.

models.NAME                      of the weights that `niah run` loaded last
models.NAME.other_weights.SHA    of the others, by their SHA-256
"""

from collections.abc import Mapping
from typing import Any

OTHERS = "other_weights"
_SHA = "checkpoint_sha256"


def merged_models(stored: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries after those of `new` were added; one of other weights of a name stays, under the new one.

    Args:
        stored: present entries by model.
        new: entries by model.
    """
    merged = dict(stored)
    for name, entry in new.items():
        others = dict(entry.get(OTHERS, {}))
        if name in stored:
            own, earlier = _own(stored[name]), stored[name].get(OTHERS, {})
            others = {**earlier, **({own[_SHA]: own} if own.get(_SHA) else {}), **others}
        others.pop(entry.get(_SHA), None)
        merged[name] = {**_own(entry), **({OTHERS: others} if others else {})}
    return merged


def model_entry(run_json: Mapping[str, Any], model: str, sha256: object) -> Mapping[str, Any]:
    """Return the entry of a model with these weights; of its last ones where none is of these, or none are stated.

    Args:
        run_json: content of run.json.
        model: its name.
        sha256: of the weights, from a row.
    """
    last: Mapping[str, Any] = run_json.get("models", {}).get(model, {})
    other = last.get(OTHERS, {}).get(str(sha256))
    return last if other is None else other


def _own(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name != OTHERS}
