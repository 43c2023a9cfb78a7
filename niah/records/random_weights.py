"""Models with random weights in a run: they measure speed and memory, and their accuracy is never shown."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from niah.records.naming import Point
from niah.records.schema import METRIC_COLUMNS, OPTIONAL_METRICS

if TYPE_CHECKING:
    import pandas as pd

_BLANK = dict.fromkeys((*METRIC_COLUMNS, *OPTIONAL_METRICS))


def random_models(run_json: Mapping[str, Any]) -> list[str]:
    """Return the names of a run's models that have random weights, sorted."""
    models = run_json.get("models", {})
    return sorted(
        name for name, entry in models.items() if isinstance(entry, Mapping) and entry.get("random")
    )


def without_accuracy(cells: Iterable[Point], run_json: Mapping[str, Any]) -> Iterator[Point]:
    """Yield the cells, with blank metrics where the model has random weights.

    Args:
        cells: rows of cells.csv.
        run_json: content of run.json, which names the models with random weights.
    """
    random = set(random_models(run_json))
    for cell in cells:
        yield {**cell, **_BLANK} if cell["model"] in random else cell


def table_without_accuracy(cells: "pd.DataFrame", run_json: Mapping[str, Any]) -> "pd.DataFrame":
    """Return the table of cells, with blank metrics where the model has random weights.

    Args:
        cells: rows of cells.csv.
        run_json: content of run.json, which names the models with random weights.
    """
    is_random = cells["model"].isin(random_models(run_json))
    blank = [name for name in _BLANK if name in cells.columns]
    return cells.assign(**{name: cells[name].mask(is_random) for name in blank})
