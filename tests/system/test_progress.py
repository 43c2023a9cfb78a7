"""Progress in a log: a line a minute with the time left, and one at the end; a quick job prints nothing."""

import pytest

from niah.system import progress


def test_a_log_has_a_line_a_minute_and_one_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 50.0, 120.0, 130.0, 3840.0, 3840.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with progress.LogLines(disable=True) as bar:
        task = bar.add_task("sweep", total=40, detail="dass-nano, zero, 20 s")
        for advance in (5, 5, 10, 20):
            bar.advance(task, advance)
    assert capsys.readouterr().err.splitlines() == [
        "sweep: 25 %, after 2 min, about 6 min left, dass-nano, zero, 20 s",
        "sweep: 100 %, after 1 h 4 min, dass-nano, zero, 20 s",
        "sweep: ended after 1 h 4 min",
    ]


def test_a_quick_job_prints_nothing_to_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress.track(range(3), "clips")) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_times_below_90_s_are_in_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 20.0, 20.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    monkeypatch.setattr(progress, "LINE_EVERY_S", 5.0)
    with progress.LogLines(disable=True) as bar:
        bar.advance(bar.add_task("fetching a.zip", total=4, detail=""))
    assert capsys.readouterr().err.splitlines() == [
        "fetching a.zip: 25 %, after 20 s, about 60 s left",
        "fetching a.zip: ended after 20 s",
    ]
