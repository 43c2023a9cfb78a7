"""The words of the code: reachable references, docstrings that open with a verb or a noun, names that say a thing."""

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
PARTICIPLES = ("told", "found", "held", "asked", "given", "kept")


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


def test_docstrings_can_be_encoded() -> None:
    """Python 3.13 and later compile no module that has half of a surrogate pair in a docstring."""
    files = sources("niah", "tests", "scripts", "benchmarks")
    texts = [each for path in files if path.suffix == ".py" for each in docstrings(path)]
    assert len(texts) > 1000
    assert not [text for _, text in texts if re.search("[\ud800-\udfff]", text)]


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


def names(path: Path) -> Iterator[tuple[int, str]]:
    """The line and name of each variable, argument, attribute, function and class of a module."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
                yield node.lineno, name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name


def test_names_say_what_a_value_is() -> None:
    """`logits`, `rows` or `matches` say what a value is; a bare participle does not."""
    bare, count = [], 0
    for path in sources("niah"):
        if path.suffix == ".py":
            for line, name in names(path):
                count += 1
                if name.strip("_").lower() in PARTICIPLES:
                    bare.append(f"{path.relative_to(REPOSITORY)}:{line}: {name}")
    assert count > 10_000
    assert not bare, "\n".join(bare)
