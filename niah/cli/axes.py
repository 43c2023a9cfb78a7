"""An option for each further axis of a run, from its declaration in `niah.records.axes`."""

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Annotated, Any

import typer

from niah.cli.options import listed
from niah.records.axes import AXES

PANEL = "Further axes (several values: repeat, or separate by commas)"


def with_axes(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` an option for each axis; what the user typed comes as `axes`, by field of `RunOptions`."""

    @wraps(command)
    def wrapper(**options: Any) -> None:
        typed = {name: options.pop(name) for name in AXES}
        axes = {AXES[name].values: _parsed(name, texts) for name, texts in typed.items() if texts}
        command(**options, axes=axes)

    kept = [p for p in inspect.signature(command).parameters.values() if p.name != "axes"]
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                list[str] | None,
                typer.Option(axis.option, help=axis.help, rich_help_panel=PANEL),
            ],
        )
        for name, axis in AXES.items()
    ]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in kept] + added
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapper


def _parsed(name: str, texts: Sequence[str]) -> Any:
    joined = ",".join(texts)
    return joined if name == "level" else listed(AXES[name].kind)(joined)
