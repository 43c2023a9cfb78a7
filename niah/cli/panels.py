"""Groups of options in a command's help: the usual ones first, the others below the same headings everywhere."""

import inspect
from collections.abc import Callable
from typing import Any, get_args

MODELS, SCENES, WINDOWS, RUNNING = "Models", "Scenes", "Sliding windows", "How it is run"
PANELS = {
    MODELS: ("checkpoint", "labels", "sample_rate", "prompt", "trust_remote_code"),
    SCENES: ("snr", "position", "positions", "protocol", "babble", "level", "seed"),
    WINDOWS: ("window", "hop", "window_pool"),
    RUNNING: (
        *("device", "dtype", "kernel", "batch_size", "repeats", "warmup", "workers"),
        *("strict", "max_excluded", "features_gb", "settings"),
    ),
}
_PANEL_OF = {name: panel for panel, names in PANELS.items() for name in names}
FEW = 8  # options that need no groups


def grouped(command: Callable[..., Any]) -> Callable[..., Any]:
    """Put a command's options into their groups, if it has more than eight of them, and return it."""
    parameters = inspect.signature(command).parameters.values()
    options = [(p.name, info) for p in parameters for info in get_args(p.annotation)[1:]]
    options = [(name, info) for name, info in options if hasattr(info, "rich_help_panel")]
    if len(options) <= FEW:
        return command
    for name, info in options:
        if info.rich_help_panel is None and type(info).__name__ == "OptionInfo":
            info.rich_help_panel = _PANEL_OF.get(name)
    return command
