"""Options for the further axes of a run, from their declaration in `niah.records.axes`."""

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Annotated, Any

import typer

from niah.cli.options import listed
from niah.records.axes import AXES

PANEL = "Further axes (several values: repeat, or separate by commas)"


def with_axes(command: Callable[..., None], *, without: Sequence[str] = ()) -> Callable[..., None]:
    """Add an option for each axis to `command`, which gets their values as `axes`, by field of `RunOptions`.

    Args:
        command: of the command line.
        without: names of axes that it does not have.
    """
    own_axes = {name: axis for name, axis in AXES.items() if name not in without}

    @wraps(command)
    def wrapper(**options: Any) -> None:
        typed = {name: options.pop(name) for name in own_axes}
        axes = {AXES[name].values: _parsed(name, texts) for name, texts in typed.items() if texts}
        command(**options, axes=axes)

    own = [p for p in inspect.signature(command).parameters.values() if p.name != "axes"]
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
        for name, axis in own_axes.items()
    ]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + added
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapper


def _parsed(name: str, texts: Sequence[str]) -> Any:
    joined = ",".join(texts)
    return joined if name == "level" else listed(joined, AXES[name].kind, AXES[name].option)
