"""Every Eval Ever records: one aggregate JSON a model, by version 0.3.0 of its schema (arXiv:2606.14516).

A record holds the source, the library, the model, and a result for each cell with its interval (`score_details.
uncertainty`). It lies at data/audio-niah/DEVELOPER/MODEL/UUID.json; the UUID follows from the content, so the same run
gives the same file.
"""

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from niah.publish.headlines import Headline, file_name
from niah.records.model_entries import model_entry
from niah.version import __version__

SCHEMA_VERSION = "0.3.0"
RELATIONSHIPS = ("first_party", "third_party", "collaborative", "other")
SOURCE = "audio-niah"


@dataclass(frozen=True)
class Evaluator:
    """Who made the run: an organisation or a person, and the relation to the model (one of `RELATIONSHIPS`)."""

    organization: str
    relationship: str


def record(
    results: Sequence[Headline], provenance: Mapping[str, Any], evaluator: Evaluator, retrieved: int
) -> tuple[str, str]:
    """Return the path and the text of one model's record.

    Args:
        results: of the model.
        provenance: run.json.
        evaluator: of the run.
        retrieved: Unix time in seconds at which the record is made.
    """
    model = results[0].model
    identifier = _model_id(results[0], provenance)
    content: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": f"{SOURCE}/{identifier}/{retrieved}",
        "retrieved_timestamp": str(retrieved),
        "source_metadata": {
            "source_name": "Audio NIAH",
            "source_type": "evaluation_run",
            "source_organization_name": evaluator.organization,
            "evaluator_relationship": evaluator.relationship,
        },
        "eval_library": _library(results[0], provenance),
        "model_info": {
            "name": model,
            "id": identifier,
            "developer": identifier.partition("/")[0],
            "additional_details": _model_details(results[0], provenance),
        },
        "evaluation_results": [_result(each, provenance) for each in results],
    }
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    digest = hashlib.sha256(json.dumps(content["evaluation_results"], sort_keys=True).encode())
    name = uuid.UUID(bytes=digest.digest()[:16], version=4)
    developer, own = identifier.partition("/")[::2]
    return f"data/{SOURCE}/{file_name(developer)}/{file_name(own)}/{name}.json", text


def _model_id(first: Headline, provenance: Mapping[str, Any]) -> str:
    """Return OWNER/NAME: the hub's for its models, else "unknown" and the name."""
    model = str(first.point["model"])
    name = model.removeprefix("hf:").partition("@")[0]
    if name.count("/") == 1 and model.startswith("hf:"):
        return name
    weights = first.point["checkpoint_sha256"]
    adapter = str(model_entry(provenance, model, weights).get("adapter", ""))
    developer = SOURCE if model.endswith("-nano") and adapter.startswith("niah.") else "unknown"
    return f"{developer}/{file_name(first.model)}"


def _model_details(first: Headline, provenance: Mapping[str, Any]) -> dict[str, str]:
    weights = first.point["checkpoint_sha256"]
    stored = model_entry(provenance, first.point["model"], weights)
    details = {
        "deployment_type": "self_deployed",
        "model_availability": "open_weights" if stored.get("licence") else "unknown",
        "checkpoint_sha256": weights,
        **{name: stored.get(name) for name in ("paper", "licence", "parameters")},
    }
    return {name: str(value) for name, value in details.items() if value not in (None, "")}


def _library(first: Headline, provenance: Mapping[str, Any]) -> dict[str, Any]:
    commit = provenance.get("git", {}).get("commit")
    details = {"additional_details": {"commit": str(commit)}} if commit else {}
    return {"name": SOURCE, "version": str(first.point["niah_version"] or __version__), **details}


def _result(each: Headline, provenance: Mapping[str, Any]) -> dict[str, Any]:
    point = each.point
    shown = ("protocol", "haystack", "snr_db", "position", "length_s", "window_s", "window_pool")
    floors = ("chance_mAP", "base_mAP", "relative", "needle_free_mAP", "seed", "cell")
    details = {name: str(point[name]) for name in (*shown, *floors) if point.get(name) is not None}
    score: dict[str, Any] = {"score": each.value, "details": details}
    uncertainty: dict[str, Any] = {"num_samples": int(point["n_clips"])}
    if each.bounds:
        uncertainty["confidence_interval"] = {
            "lower": each.bounds[0],
            "upper": each.bounds[1],
            "confidence_level": 0.95,
            "method": "bootstrap and jackknife over recordings, Student's t",
        }
    score["uncertainty"] = uncertainty
    return {
        "evaluation_result_id": str(point["cell"]),
        "evaluation_name": f"{SOURCE}.{each.task}",
        "source_data": _source_data(point, provenance),
        "metric_config": {
            "evaluation_description": f"Audio needle in a haystack: {each.words}",
            "metric_id": "mean_average_precision",
            "metric_name": "mAP",
            "metric_kind": "mean_average_precision",
            "metric_unit": "proportion",
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0.0,
            "max_score": 1.0,
        },
        "score_details": score,
    }


def _source_data(point: Mapping[str, Any], provenance: Mapping[str, Any]) -> dict[str, Any]:
    needles = str(point["needles"])
    details = {"clips": str(point["n_clips"])}
    if ids := provenance.get("identity", {}).get("ids_sha256"):
        details["clip_list_sha256"] = str(ids)
    if needles.startswith("hf:"):
        repository = needles.removeprefix("hf:").partition("@")[0].partition(":")[0]
        owner_name = "/".join(repository.split("/")[:2])
        kind = {"source_type": "hf_dataset", "hf_repo": owner_name}
    else:
        kind = {"source_type": "other"}
    return {"dataset_name": needles, **kind, "additional_details": details}
