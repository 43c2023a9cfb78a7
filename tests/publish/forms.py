"""What the forms demand, written down from their specifications.

Every Eval Ever: version 0.3.0 of eval.schema.json, the parts that records of this package use; all texts of details are
strings. Hugging Face: huggingface.co/docs/hub/eval-results.
"""

from typing import Any

Schema = dict[str, Any]
_TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}


def _object(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
        "additionalProperties": False,
    }


TEXT: Schema = {"type": "string", "minLength": 1}
NUMBER: Schema = {"type": "number"}
_SOURCE = _object(
    {
        "source_type": {"enum": ["documentation", "evaluation_run"]},
        "source_organization_name": TEXT,
        "evaluator_relationship": {
            "enum": ["first_party", "third_party", "collaborative", "other"]
        },
    },
    {"source_name": TEXT},
)
_MODEL_DETAILS: Schema = {
    **_TEXTS,
    "required": ["deployment_type", "model_availability"],
    "properties": {
        "deployment_type": {"enum": ["self_deployed", "externally_managed", "unknown"]},
        "model_availability": {"enum": ["open_weights", "closed_weights", "unknown"]},
    },
}
_DATA: Schema = {
    "oneOf": [
        _object(
            {"dataset_name": TEXT, "source_type": {"const": "hf_dataset"}},
            {"hf_repo": TEXT, "additional_details": _TEXTS},
        ),
        _object(
            {"dataset_name": TEXT, "source_type": {"const": "other"}},
            {"additional_details": _TEXTS},
        ),
    ]
}
_METRIC = _object(
    {
        "lower_is_better": {"type": "boolean"},
        "score_type": {"const": "continuous"},
        "min_score": NUMBER,
        "max_score": NUMBER,
    },
    dict.fromkeys(
        ("evaluation_description", "metric_id", "metric_name", "metric_kind", "metric_unit"), TEXT
    ),
)
_INTERVAL = _object(
    {"lower": NUMBER, "upper": NUMBER},
    {"confidence_level": {"type": "number", "minimum": 0, "maximum": 1}, "method": TEXT},
)
_SCORE = _object(
    {"score": NUMBER},
    {
        "details": _TEXTS,
        "uncertainty": _object(
            {}, {"confidence_interval": _INTERVAL, "num_samples": {"type": "integer"}}
        ),
    },
)
EVERY_EVAL_EVER = _object(
    {
        "schema_version": {"const": "0.3.0"},
        "evaluation_id": TEXT,
        "retrieved_timestamp": {"type": "string", "pattern": r"^\d+$"},
        "source_metadata": _SOURCE,
        "eval_library": _object({"name": TEXT, "version": TEXT}, {"additional_details": _TEXTS}),
        "model_info": _object(
            {
                "name": TEXT,
                "id": {"type": "string", "pattern": "^[^/]+/[^/]+$"},
                "additional_details": _MODEL_DETAILS,
            },
            {"developer": TEXT},
        ),
        "evaluation_results": {
            "type": "array",
            "minItems": 1,
            "items": _object(
                {
                    "evaluation_name": TEXT,
                    "source_data": _DATA,
                    "metric_config": _METRIC,
                    "score_details": _SCORE,
                },
                {"evaluation_result_id": TEXT},
            ),
        },
    }
)
RECORD_PATH = r"data/[^/]+/[^/]+/[^/]+/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\.json"
EVAL_RESULTS: Schema = {
    "type": "array",
    "minItems": 1,
    "items": _object(
        {
            "dataset": _object(
                {
                    "id": {"type": "string", "pattern": "^[^/]+/[^/]+$"},
                    "task_id": {"type": "string", "pattern": "^[a-z0-9_]+$"},
                }
            ),
            "value": NUMBER,
        },
        {"notes": TEXT, "source": _object({"url": TEXT}, {"name": TEXT, "user": TEXT})},
    ),
}
BENCHMARK = _object(
    {
        "name": TEXT,
        "description": TEXT,
        "evaluation_framework": TEXT,
        "tasks": {
            "type": "array",
            "items": _object({"id": TEXT, "config": TEXT, "split": TEXT}),
        },
    }
)
