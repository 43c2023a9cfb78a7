"""The gate's result for people and for continuous integration, and its command."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from niah.compare.check_formats import formatted
from niah.compare.check_result import CheckResult, CheckRow
from niah.errors import NiahError
from tests.helpers import examples
from tests.helpers.command_line import Niah

NAME = 'a<b>&"\x00:, 50 %\n::error'
OFF = CheckRow(NAME, "mAP", 0.441, 0.3, 0.005, lo=0.1, hi=0.18, p=1e-5, p_corrected=0.00002)
FINE = CheckRow("fine, 10 s", "mAP", 0.4, 0.42, 0.005, lo=-0.05, hi=0.01, p=0.2, p_corrected=0.2)
MISSING = CheckRow("gone, 50 s", "mAP", float("nan"), 0.4, 0.005, status="missing")
RESULT = CheckResult((FINE, OFF, MISSING), ("a note",), "how")


def test_markdown_has_failures_first_and_escapes() -> None:
    lines = formatted(RESULT, "markdown").splitlines()
    assert lines[0] == "1 of 2 comparisons is off; 1 cell of the reference is missing."
    assert lines[2].startswith(
        "| cell | quantity | measured | reference | difference [95 %] | p (Holm) |"
    )
    assert "+0.1410 [+0.1000, +0.1800] | &lt; 0.0001" in lines[4]
    assert [line.split("|")[-2].strip() for line in lines[4:7]] == ["OFF", "missing", "ok"]
    assert lines[-2:] == ["- how", "- a note"]


def test_junit_is_valid_and_counts() -> None:
    suites = ElementTree.fromstring(formatted(RESULT, "junit"))
    (suite,) = suites
    assert (suites.tag, suite.tag) == ("testsuites", "testsuite")
    cases = suite.findall("testcase")
    assert {case.get("classname") for case in cases} == {"niah.check"}
    failures = [case.find("failure") for case in cases]
    assert [f is not None and f.get("type") for f in failures] == [False, "off", "missing"]
    assert [suite.get(name) for name in ("tests", "failures", "skipped")] == ["3", "2", "0"]
    assert failures[1] is not None
    assert "0.4410, not 0.3000 (tolerance 0.0050, p < 0.0001)" in str(failures[1].get("message"))
    assert suite.findtext("system-out") == "how\na note"


def test_junit_skips_what_may_be_missing() -> None:
    result = CheckResult((FINE, replace(MISSING, allow_missing=True)))
    assert result.ok
    (suite,) = ElementTree.fromstring(formatted(result, "junit"))
    assert [suite.get(name) for name in ("tests", "failures", "skipped")] == ["2", "0", "1"]
    (skipped,) = suite.iter("skipped")
    assert "the run lacks this cell" in str(skipped.get("message"))


def test_github_annotations_are_one_line_each() -> None:
    lines = formatted(RESULT, "github").splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("::error title=a<b>")
    assert "50 %25%0A%3A%3Aerror" in lines[0]
    assert lines[0].count("::") == 3  # the two of the command, and one inside the message
    assert lines[1].startswith("::error title=gone%2C 50 s::")
    assert lines[2].startswith("::error title=niah check::1 of 2 comparisons is off")
    assert lines[3] == "::warning title=niah check::a note"


@pytest.mark.parametrize("form", ["markdown", "junit", "github"])
@pytest.mark.parametrize("rows", [(), (replace(MISSING, allow_missing=True),)])
def test_nothing_compared_fails_in_every_format(form: str, rows: tuple[CheckRow, ...]) -> None:
    result = CheckResult(rows)
    assert not result.ok
    text = formatted(result, form)
    assert "Nothing was compared" in text
    assert {"junit": 'failures="1"', "github": "::error", "markdown": "."}[form] in text


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(NiahError, match="Did you mean 'junit'"):
        formatted(RESULT, "junitt")


def test_command_writes_a_file_and_its_exit_statuses(niah: Niah, tmp_path: Path) -> None:
    run, out = examples.make(tmp_path / "run").path, tmp_path / "check.xml"
    passed = niah("check", run, "--against", run, "--format", "junit", "--out", out)
    assert (passed.status, passed.stderr) == (0, "")
    assert "comparisons are off. Written to" in passed.stdout
    assert ElementTree.parse(out).getroot().get("failures") == "0"
    one = niah("check", run, "--against", run, "--model", "dass-nano", "--one-sided")
    assert one.status == 0
    assert "ast-sin-nano" not in one.stdout
    assert "not comparable with the published numbers" in niah("check", run).refusal()
