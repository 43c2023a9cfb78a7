"""The words of the code: references that a reader can have, docstrings that open with a verb or a noun."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import REPOSITORY

# Written in two parts so that this file does not contain what it looks for.
UNREACHABLE = (
    "fac" + r"ts\s+\d",
    "DESI" + r"GN\s+section",
    "LAY" + r"OUT\b",
    "shared/" + "cases",
    "shared/" + "facts",
)
OPENINGS = ("Of", "As", "What", "Those", "Whether", "How")


def sources(*folders: str) -> list[Path]:
    """Every Python file and document of these folders."""
    found = [path for folder in folders for path in (REPOSITORY / folder).rglob("*")]
    return sorted(path for path in found if path.suffix in (".py", ".md", ".toml", ".sh"))


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """The line and text of each docstring of a module."""
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, nodes) and (text := ast.get_docstring(node)):
            yield node.body[0].lineno, text


def test_nothing_cites_what_a_reader_cannot_have() -> None:
    """Papers by section, official code by file and function."""
    files = sources(
        "niah", "tests", "scripts", "benchmarks", "docs", "models", "haystacks", "results"
    )
    assert len(files) > 300
    pattern = re.compile("|".join(UNREACHABLE))
    found = [
        f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, "\n".join(found)


def test_docstrings_open_with_a_verb_or_a_noun() -> None:
    found, count = [], 0
    for path in sources("niah"):
        if path.suffix != ".py":
            continue
        for line, text in docstrings(path):
            count += 1
            if re.split(r"\W", text, maxsplit=1)[0] in OPENINGS:
                summary = text.splitlines()[0]
                found.append(f"{path.relative_to(REPOSITORY)}:{line}: {summary}")
    assert count > 1000
    assert not found, "\n".join(found)
