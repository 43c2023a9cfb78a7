"""Pages from templates: everything from outside is text, and only the page's own script runs.

The templates in `templates/` are filled by jinja2 with autoescape on. A page's content security policy allows exactly
the style and script in it (by their hash) and no requests, so that even a mistake in escaping could neither run code
nor send data.
"""

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

    from niah.tables.table import Table


def page(name: str, *, style: str, script: str, data: str = "", **values: Any) -> str:
    """Fill a template.

    Args:
        name: the template's file in `templates/`.
        style: the content of its one <style>.
        script: the content of its one <script> that runs.
        data: JSON without "<", ">" and "&", the content of a <script> that does not run.
        values: what the template shows; texts are escaped.

    Returns:
        The HTML.
    """
    from markupsafe import Markup

    return (
        _environment()
        .get_template(name)
        .render(
            policy=policy(style, script),
            style=Markup(style),
            script=Markup(script),
            data=Markup(data),
            **values,
        )
    )


def table_html(table: "Table") -> Any:
    """Return a table as markup for a template; `niah.tables.table` escapes its texts."""
    from markupsafe import Markup

    return Markup(table.html())


def part(folder: str, name: str) -> str:
    """Read a style or script that is shipped beside the pages.

    Args:
        folder: in this package.
        name: of the file.
    """
    return files("niah.pages").joinpath(*folder.split("/"), name).read_text("utf-8")


def policy(style: str, script: str) -> str:
    """Return the content security policy of a page with exactly this style and this script.

    Args:
        style: the content of its one <style>.
        script: the content of its one <script>.
    """
    return (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("niah.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["table"] = table_html
    return environment
