"""A `CheckResult` as text: Markdown for people, JSON, JUnit XML and GitHub annotations for machines.

A result that compared nothing is a failure in each of them, as it is for the exit status.
"""

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from math import isnan
from xml.etree import ElementTree

from niah.compare.check_result import CheckResult, CheckRow, p_text
from niah.errors import NiahError, nearest

SUITE = "niah check"
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def formatted(result: CheckResult, form: str) -> str:
    """Format a result.

    Args:
        result: of a gate.
        form: a key of `FORMATS`.

    Returns:
        The text.

    Raises:
        NiahError: an unknown format.
    """
    if form not in FORMATS:
        raise NiahError(f"--format '{form}' is unknown.{nearest(form, FORMATS)}")
    return FORMATS[form](result)


def junit(result: CheckResult) -> str:
    """Return one test case a comparison, in the schema that Jenkins, GitLab and GitHub actions read."""
    rows = result.rows
    skipped = [row for row in rows if row.verdict == "skipped"]
    empty = not result.n_compared and all(
        row.ok for row in rows
    )  # a result without comparisons is a failure
    counts = {
        "tests": str(len(rows) + empty),
        "failures": str(sum(not row.ok for row in rows) + empty),
        "errors": "0",
        "skipped": str(len(skipped)),
    }
    suites = ElementTree.Element("testsuites", {"name": SUITE, **counts})
    suite = ElementTree.SubElement(suites, "testsuite", {"name": SUITE, **counts})
    for row in rows:
        case = _case(suite, f"{row.cell}: {row.quantity}")
        if row.verdict == "skipped":
            ElementTree.SubElement(case, "skipped", {"message": _xml(_sentence(row))})
        elif not row.ok:
            _fail(case, _sentence(row), row.verdict)
    if empty:
        _fail(_case(suite, "anything to compare"), result.verdict(), "missing")
    if notes := [note for note in (result.how, *result.notes) if note]:
        ElementTree.SubElement(suite, "system-out").text = _xml("\n".join(notes))
    ElementTree.indent(suites)
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return head + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _case(suite: ElementTree.Element, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(
        suite, "testcase", {"classname": "niah.check", "name": _xml(name), "time": "0"}
    )


def _fail(case: ElementTree.Element, message: str, kind: str) -> None:
    about = {"message": _xml(message), "type": kind.lower()}
    failure = ElementTree.SubElement(case, "failure", about)
    failure.text = _xml(message)


def _xml(text: str) -> str:
    """Replace the characters that XML 1.0 cannot represent."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def github(result: CheckResult) -> str:
    """Return workflow commands: an error a row that fails, the verdict, and notes as warnings."""
    failed = [row for row in result.rows if not row.ok]
    commands = [_annotation("error", row.cell, _sentence(row)) for row in failed]
    commands.append(_annotation("notice" if result.ok else "error", SUITE, result.verdict()))
    commands += [_annotation("warning", SUITE, note) for note in result.notes]
    return "\n".join(commands) + "\n"


def _annotation(level: str, title: str, message: str) -> str:
    return f"::{level} title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _sentence(row: CheckRow) -> str:
    """Return a row in words: "dass-small, 10 s: mAP is 0.4600, not 0.4720 (tolerance 0.0050, p 0.0012)"."""
    if row.status == "missing":
        return f"{row.cell}: the run lacks this cell of the reference ({row.reference:.4f})"
    name = row.quantity.removesuffix("_below")
    wanted = "must be below" if name != row.quantity else "not"
    p = "" if isnan(row.p_corrected) else f", p {p_text(row.p_corrected)}"
    return (
        f"{row.cell}: {name} is {row.measured_text}, {wanted} {row.reference:.4f} "
        f"(tolerance {row.tolerance:.4f}{p})"
    )


def as_json(result: CheckResult) -> str:
    """Return the verdict, whether it passes, notes, and an object a comparison; a number that is not known is null."""
    rows = []
    for row in result.rows:
        values = {**asdict(row), "difference": row.difference, "verdict": row.verdict}
        rows.append(
            {k: None if isinstance(v, float) and isnan(v) else v for k, v in values.items()}
        )
    content = {
        "ok": result.ok,
        "verdict": result.verdict(),
        "how": result.how,
        "notes": list(result.notes),
        "comparisons": rows,
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS: dict[str, Callable[[CheckResult], str]] = {
    "markdown": CheckResult.markdown,
    "json": as_json,
    "junit": junit,
    "github": github,
}
