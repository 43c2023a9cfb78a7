"""Hugging Face evaluation results: `.eval_results/audio-niah.yaml` for a model's repository.

The form is that of huggingface.co/docs/hub/eval-results: a list of entries with `dataset` (`id` of a benchmark,
`task_id` from its eval.yaml) and `value`, and optionally `source`, `notes`. One value is one task, so each scene and
length is a task; `eval.yaml` lists them for the benchmark's own repository.
"""

from collections.abc import Sequence
from typing import Any

from niah.publish.headlines import Headline

FOLDER, FILE = ".eval_results", "audio-niah.yaml"
FRAMEWORK = "audio-niah"


def eval_results_yaml(results: Sequence[Headline], benchmark: str, source: str = "") -> str:
    """Return the entries of one model.

    Args:
        results: of the model.
        benchmark: OWNER/NAME of the data set on the hub whose eval.yaml has the tasks.
        source: address of the run or the paper; "" for none.
    """
    entries = []
    for each in results:
        entry: dict[str, Any] = {
            "dataset": {"id": benchmark, "task_id": each.task},
            "value": round(each.value, 4),
            "notes": each.setting,
        }
        if source:
            entry["source"] = {"url": source, "name": "Audio NIAH run"}
        entries.append(entry)
    return _yaml(entries)


def benchmark_yaml(results: Sequence[Headline]) -> str:
    """Return the eval.yaml of the benchmark's repository: its name, framework, and a task for each scene and length."""
    tasks = dict.fromkeys(each.task for each in results)
    content = {
        "name": "Audio NIAH",
        "description": "mAP of audio taggers on labelled clips of ten seconds hidden in longer sound.",
        "evaluation_framework": FRAMEWORK,
        "tasks": [{"id": task, "config": "default", "split": "test"} for task in tasks],
    }
    return _yaml(content)


def _yaml(content: object) -> str:
    import yaml

    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120))
