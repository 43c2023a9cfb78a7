"""Generated parts of docs/: the columns of cells.csv, the command line, default needles and label vocabularies."""

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

import typer

from niah.cli import app
from niah.needles.defaults import AUDIOSET_EVALUATION, EMBEDDED, EMBEDDED_LIMIT, HUB_LIMIT
from niah.needles.fetching import fetchable_sets
from niah.records.axes import AXES
from niah.records.schema import CELL_COLUMNS, SCHEMA, Column
from niah.vocabularies import NAMES, vocabulary

TYPES = {str: "text", int: "whole number", float: "number"}


def columns() -> str:
    """Render every column of cells.csv, in order, from `niah.records.schema`."""
    always = [column for column in SCHEMA if column.name in CELL_COLUMNS]
    axes = [column for column in SCHEMA if column.name in AXES]
    further = [column for column in SCHEMA if column not in always and column not in axes]
    parts = [
        "## In every table",
        _columns(always),
        "## Further axes",
        "Varied beside length and position; a row without a value is a plain one.",
        _columns(axes),
        "## Where there is a value",
        _columns(further),
    ]
    return "\n\n".join(parts)


def _columns(columns: Iterable[Column]) -> str:
    rows = [(f"`{c.name}`", TYPES[c.type], c.unit, c.meaning) for c in columns]
    return table(("column", "type", "unit", "meaning"), rows)


def needle_sets() -> str:
    """Render the needles that a run takes by default, the sets that can be fetched, and the label vocabularies."""
    labels = []
    for name in NAMES:
        classes = vocabulary(name)
        labels.append((f"`{name}`", str(len(classes)), ", ".join(classes.names[:3]) + ", .."))
    parts = [
        "## Default needles",
        table(
            ("labels of the models", "needles", "clips"),
            [
                ("`synthetic`", f"`{EMBEDDED}`: computed by this package", str(EMBEDDED_LIMIT)),
                ("`audioset-527`, or a part", f"`{AUDIOSET_EVALUATION}`", str(HUB_LIMIT)),
            ],
        ),
        "## Sets to fetch",
        "`niah data fetch NAME` fetches a set into the cache, checks it, unpacks it and prints what `--needles` takes; "
        "`niah data fetch hf:OWNER/NAME` a set of the Hugging Face hub.",
        table(
            ("name", "what", "labels", "licence"),
            [(f"`{s.name}`", s.title, f"`{s.labels}`", s.licence) for s in fetchable_sets()],
        ),
        "## Vocabularies",
        "A model's scores are columns in the order of its vocabulary. A file of your own (CSV with "
        "`index,mid,display_name`) may take the place of a name.",
        table(("name", "classes", "begins with"), labels),
    ]
    return "\n\n".join(parts)


def command_line() -> str:
    """Render all commands and options, from the command line itself."""
    return "\n\n".join(_command("niah", typer.main.get_command(app)))


# The types of commands and options are typer's own and have no public names.
def _command(name: str, command: Any) -> Iterator[str]:
    context = typer.Context(command, info_name=name)
    if name != "niah":
        yield f"## {name}"
    yield inspect.cleandoc(command.help or "").replace("\f", "")
    usage = " ".join(command.collect_usage_pieces(context))
    usage = re.sub(r"\{(\w+)\}", lambda match: match[1].upper(), usage)
    yield f"```text\n{name} {usage}\n```"
    parameters = [each for each in command.get_params(context) if each.name != "help"]
    panels: dict[str, list[Any]] = {}
    for parameter in parameters:
        if not getattr(parameter, "hidden", False):
            panels.setdefault(getattr(parameter, "rich_help_panel", None) or "", []).append(
                parameter
            )
    for panel, own in panels.items():
        if panel:
            yield f"**{panel}**"
        yield table(("option", "meaning"), [(_names(each), _meaning(each)) for each in own])
    for each, inner in getattr(command, "commands", {}).items():
        yield from _command(f"{name} {each}", inner)


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{(parameter.metavar or parameter.name).upper()}`"
    names = ", ".join(f"`{name}`" for name in parameter.opts)
    secondary = "".join(f" / `{name}`" for name in parameter.secondary_opts)
    return names + secondary


def _meaning(parameter: Any) -> str:
    text = " ".join((getattr(parameter, "help", None) or "").split())
    default = parameter.default
    shown = getattr(parameter, "show_default", False)
    if shown and default not in (None, "", False, ()) and not callable(default):
        text += f" [default: {default}]"
    return text.replace("[", r"\[")  # a word in square brackets would be a reference


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a Markdown table; bars in texts are escaped."""
    lines = [header, ("---",) * len(header), *rows]
    texts = ([text.replace("|", r"\|") for text in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in texts)
