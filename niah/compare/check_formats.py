"""A `CheckResult` as text: Markdown for people, JUnit XML and GitHub annotations for machines.

A result that compared nothing is a failure in each of them, as it is for the exit status.
"""

import re
from collections.abc import Callable
from xml.etree import ElementTree

from niah.compare.check import CheckResult, CheckRow
from niah.errors import NiahError, nearest

SUITE = "niah check"
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def written(result: CheckResult, form: str) -> str:
    """The result in the format of that name. Raises `NiahError` for an unknown one."""
    if form not in FORMATS:
        raise NiahError(f"--format '{form}' is unknown.{nearest(form, FORMATS)}")
    return FORMATS[form](result)


def junit(result: CheckResult) -> str:
    """One test case a comparison, in the schema that Jenkins, GitLab and GitHub actions read."""
    rows = result.rows
    failures = sum(not row.ok for row in rows) if rows else 1
    counts = {"tests": str(max(1, len(rows))), "failures": str(failures), "errors": "0"}
    suites = ElementTree.Element("testsuites", {"name": SUITE, **counts})
    suite = ElementTree.SubElement(suites, "testsuite", {"name": SUITE, **counts, "skipped": "0"})
    for row in rows:
        case = _case(suite, f"{row.cell}: {row.quantity}")
        if not row.ok:
            _fail(case, _told(row))
    if not rows:
        _fail(_case(suite, "anything to compare"), result.verdict())
    if result.notes:
        ElementTree.SubElement(suite, "system-out").text = _xml("\n".join(result.notes))
    ElementTree.indent(suites)
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return head + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _case(suite: ElementTree.Element, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(
        suite, "testcase", {"classname": "niah.check", "name": _xml(name), "time": "0"}
    )


def _fail(case: ElementTree.Element, message: str) -> None:
    failure = ElementTree.SubElement(case, "failure", {"message": _xml(message), "type": "off"})
    failure.text = _xml(message)


def _xml(text: str) -> str:
    """Without the characters that XML 1.0 has no way to hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def github(result: CheckResult) -> str:
    """Workflow commands: an error a comparison that is off, the verdict, notes as warnings."""
    off = [row for row in result.rows if not row.ok]
    told = [_annotation("error", row.cell, _told(row)) for row in off]
    told.append(_annotation("notice" if result.ok else "error", SUITE, result.verdict()))
    told += [_annotation("warning", SUITE, note) for note in result.notes]
    return "\n".join(told) + "\n"


def _annotation(level: str, title: str, message: str) -> str:
    return f"::{level} title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _told(row: CheckRow) -> str:
    """ "dass-small, 10 s: mAP is 0.4600, not 0.4720 +- 0.0010"."""
    measured = row.status if row.measured != row.measured else f"{row.measured:.4f}"
    name = row.quantity.removesuffix("_below")
    wanted = "below" if name != row.quantity else "not"
    return (
        f"{row.cell}: {name} is {measured}, {'must be ' * (wanted == 'below')}{wanted} "
        f"{row.reference:.4f} (tolerance {row.tolerance:.4f})"
    )


FORMATS: dict[str, Callable[[CheckResult], str]] = {
    "markdown": CheckResult.markdown,
    "junit": junit,
    "github": github,
}
