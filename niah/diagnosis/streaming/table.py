"""Tables of streams, a row a model and kind of scene: what it answers, and what that costs."""

from collections.abc import Sequence

from niah.diagnosis.streaming.rows import StreamScores
from niah.records.naming import length_name, system_names
from niah.system.plurals import plural
from niah.tables.table import Table

_WHERE = ("model", "fed", "haystack", "length", "position", "sound")


def stream_tables(rows: Sequence[StreamScores]) -> list[Table]:
    """Return the table of answers and that of their cost; none without rows."""
    return [_answers(rows), _cost(rows)] if rows else []


def _answers(rows: Sequence[StreamScores]) -> Table:
    caption = (
        "Streaming, answers: share of the (clip, label) pairs that are above their threshold already before the sound "
        "begins (early, which is no answer to it), and that rise above it so soon after that [95 % interval], the "
        "median wait, the share of hops above it while the sound lasts, changes of the decision in that time, seconds "
        "until it falls below it when the sound is over (median), and the drift of the logits without a needle, last "
        "third less middle third. Thresholds are of needle-free streams at the stated false alarms an hour and class, "
        "every hop above one being an alarm; a wait or a release that is not seen to its end is censored"
    )
    header = (
        *(*_WHERE, "false alarms/h", "early", "within 1 s", "2 s", "5 s", "10 s", "median wait"),
        *("hold", "flips", "release", "drift"),
    )
    return Table(caption, header, tuple(_answer_row(row, where) for row, where in _named(rows)))


def _answer_row(row: StreamScores, where: tuple[str, ...]) -> tuple[str, ...]:
    rate = f"{row.per_hour:g}"
    if row.answered is None:
        missing = (
            f"{row.outcome}: {60 * row.more_hours:.0f} min more" if row.more_hours else row.outcome
        )
        return (*where, f"{rate} ({missing})", *[""] * 9, _signed(row))
    return (
        *(*where, rate, "" if row.early is None else f"{row.early:.2f}"),
        _bounded(row.within_1, row.within_1_lo, row.within_1_hi),
        _bounded(row.within_2, row.within_2_lo, row.within_2_hi),
        _bounded(row.within_5, row.within_5_lo, row.within_5_hi),
        _bounded(row.within_10, row.within_10_lo, row.within_10_hi),
        _median(row.wait_s, row.wait_lo_s, row.wait_hi_s),
        _bounded(row.hold, row.hold_lo, row.hold_hi),
        _bounded(row.flips, row.flips_lo, row.flips_hi),
        _median(row.release_s, row.release_lo_s, row.release_hi_s),
        _signed(row),
    )


def _cost(rows: Sequence[StreamScores]) -> Table:
    caption = (
        "Streaming, cost: wall-clock time of a hop (median), how many times faster than the sound, the last quarter's "
        "hops over the second's, and the bytes that are kept from hop to hop, at most and at the end over the middle"
    )
    header = (*_WHERE, "a hop", "x real time", "slowdown", "state", "growth")
    body, seen = [], set()
    for row, where in _named(rows):
        if where not in seen:  # rates share their streams
            seen.add(where)
            cost = (f"{1000 * row.compute_s:.3g} ms", f"{row.rtf:.3g}", f"{row.slowdown:.2f}")
            state = f"{row.state_bytes / 1024:.1f} KiB", f"{row.state_growth:.2f}"
            body.append((*where, *cost, *state))
    return Table(caption, header, tuple(body))


def _named(rows: Sequence[StreamScores]) -> list[tuple[StreamScores, tuple[str, ...]]]:
    names = system_names((row.model, row.checkpoint_sha256) for row in rows)
    many = len({row.scenes for row in rows}) > 1
    return [
        (
            row,
            (
                *(names[row.model, row.checkpoint_sha256], fed_name(row), row.scene),
                *(length_name(row.length_s), f"{row.position:g}"),
                f"{row.sound_s:.1f} s"
                + (f" ({row.repeats} times)" if row.repeats > 1 else "")
                + (f", {plural(row.scenes, 'scene')}" if many else ""),
            ),
        )
        for row in rows
    ]


def fed_name(row: StreamScores) -> str:
    """Return how a model is fed: "1 s, state", "1 s, windows of 10 s"."""
    how = "state" if row.window_s is None else f"windows of {row.window_s:g} s"
    return f"{row.hop_s:g} s, {how}"


def _bounded(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if low is None or high is None else f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _median(value: float | None, low: float | None, high: float | None) -> str:
    """Return a median in seconds, "none" where it lies beyond what was watched."""
    if value is None and low is None:
        return "none"
    if low is None and high is None:  # of one recording
        return f"{value:.1f} s"
    texts = [f"{each:.1f} s" if each is not None else "none" for each in (value, low, high)]
    return f"{texts[0]} [{texts[1]}, {texts[2]}]"


def _signed(row: StreamScores) -> str:
    if row.drift is None:
        return ""
    if row.drift_lo is None or row.drift_hi is None:
        return f"{row.drift:+.2f}"
    return f"{row.drift:+.2f} [{row.drift_lo:+.2f}, {row.drift_hi:+.2f}]"
