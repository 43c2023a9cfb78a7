"""Names of the parts of a cell in tables and figures: its scene, its further axes, its window, its length."""

from collections.abc import Iterable, Mapping
from typing import Any

from niah.records.axes import AXES

Point = dict[str, Any]  # a row of cells.csv; None where nothing is known
NO_HAYSTACK = "none"
WHOLE = "whole"  # a model that takes scenes as one input


def scene_name(haystack: str, snr_db: float | None) -> str:
    """Return the kind of scene: "babble, 10 dB"; haystacks without a level have none.

    Args:
        haystack: name of the haystack.
        snr_db: None for haystacks without a level.
    """
    return haystack if snr_db is None else f"{haystack}, {snr_db:g} dB"


def position_name(position: float) -> str:
    """Return the words for a place of the needle in its scene: "needle at 0.5" (0 its start, 1 its end)."""
    return f"needle at {position:g}"


def axes_name(point: Point) -> str:
    """Return the further axes of a scene: "mix, needle 5 s, 2 needles, 1 distractor"; "" without any."""
    values = ((axis, point.get(name)) for name, axis in AXES.items() if axis.label)
    return ", ".join(axis.words(value) for axis, value in values if value)


def pool_of(row: Mapping[str, object]) -> str:
    """Return how the scores of a scene's windows or positions became one; "" for the model's own way."""
    return str(row.get("window_pool") or row.get("pooling") or "")


def window_name(window_s: float | None, pool: str) -> str:
    """Name a cell's windows: "whole", "whole, max" (pooled positions), "10 s" (pooled by their maximum), "10 s, mean".

    Args:
        window_s: length of the windows; None without any.
        pool: see `pool_of`.
    """
    if window_s is None:
        return f"{WHOLE}, {pool}" if pool else WHOLE
    return f"{length_name(window_s)}, {pool}" if pool not in ("", "max") else length_name(window_s)


def with_windows(model: str, window: str) -> str:
    """Name a model with its windows: "yamnet", "yamnet, max" (pooled positions), "ast, 10 s windows (mean)".

    Args:
        model: its name.
        window: from `window_name`.
    """
    length, _, pool = window.partition(", ")
    if length == WHOLE:
        return f"{model}, {pool}" if pool else model
    return f"{model}, {length} windows" + (f" ({pool})" if pool else "")


def length_name(length_s: float) -> str:
    """Name a length: "50 s" below an hour, "2.5 h" from there."""
    return f"{length_s:g} s" if length_s < 3600 else f"{length_s / 3600:.3g} h"


def system_names(systems: Iterable[tuple[str, str | None]]) -> dict[tuple[str, str | None], str]:
    """Name each model: "dass-nano", or "dass-nano (1a583aeb)" where several weights have the name.

    Args:
        systems: model and SHA-256 of its weights.
    """
    weights = set(systems)
    models = [model for model, _ in weights]
    return {
        (model, sha): model if models.count(model) == 1 else f"{model} ({str(sha)[:8]})"
        for model, sha in weights
    }
