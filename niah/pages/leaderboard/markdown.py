"""Boards as Markdown: `leaderboard.md`, and the table on the README's first screen.

One table a board, because scores of different protocols or clips are not comparable.
"""

from collections.abc import Sequence
from dataclasses import replace

from niah.diagnosis.false_alarms.table import recall_table
from niah.metrics.effective_length import LEVELS
from niah.pages.leaderboard.boards import Board, Entry
from niah.pages.leaderboard.ranking import MAP, Ranker, Ranking, at_chance, common_length
from niah.plots.curves import adjusted_of
from niah.records.naming import Point, length_name
from niah.records.schema import BASE_LENGTH_S
from niah.system.markdown_text import plain
from niah.system.number_text import number_text
from niah.tables.effective_lengths import effective_lengths, level_name
from niah.tables.positions import MOVED, MOVED_NOTE, is_moved
from niah.tables.table import CHANCE, Table


def text(boards: Sequence[Board]) -> str:
    """Return all boards, each with its caption, notes and table."""
    parts = ["# Leaderboard\n"]
    if len(boards) > 1:
        parts.append(
            f"{len(boards)} boards: rows of different protocols or lists of clips are not comparable, "
            "and are never ranked together.\n"
        )
    for board in boards:
        parts += [f"## {plain(board.needles)}, {plain(board.protocol)}\n", table(board).markdown()]
        recalls = recall_at_alarms_table(board)
        parts += [] if recalls is None else [recalls.markdown()]
        parts += [f"> {plain(note)}\n" for note in board.notes]
    return "\n".join(parts)


def table(board: Board) -> Table:
    """Return rank, model, scene, mAP at each length with the share left of it, L85, L50 and speed.

    Rows of a scene are in order of their rank at the longest common length. The speed is seconds of audio a second, at
    the longest length that was run.
    """
    modes = any(entry.system.mode != "native" for entry in board.entries)
    longer = [length for length in board.lengths if length != BASE_LENGTH_S]
    header = (
        *("rank", "model", "parameters"),
        *(["mode"] if modes else []),
        *("haystack", "position", "10 s"),
        *map(length_name, longer),
        *map(level_name, LEVELS),
        "x real time",
    )
    rankings = by_scene(board)
    rows = [
        _row(entry, ranking, longer, modes)
        for ranking, entries in rankings
        for entry in in_order(entries, ranking)
    ]
    by_intervals = sum(ranking.n_by_intervals for ranking, _ in rankings)
    notes = moved_notes(board)
    if by_intervals:
        notes += (by_intervals_note(by_intervals, sum(r.n_pairs for r, _ in rankings)),)
    return Table(
        _caption(board, [ranking for ranking, _ in rankings]),
        header,
        (*rows, *_chance_row(board, len(longer), len(header), modes)),
        notes,
    )


def moved_notes(board: Board) -> tuple[str, ...]:
    """Return the note on needles that the protocol moved to the scene's end, if there are any."""
    points = (p for entry in board.entries for p in entry.line.by_length.values())
    return (MOVED_NOTE,) if any(map(is_moved, points)) else ()


def recall_at_alarms_table(board: Board) -> Table | None:
    """Return recall at false alarms an hour by length, beyond the needle alone; None where no run has it."""
    listed = {}
    for entry in board.entries:
        for length_s, point in sorted(entry.line.by_length.items()):
            for row in board.recalls(point) if length_s != BASE_LENGTH_S else ():
                named = replace(row, model=entry.system.name, axes=entry.line.axes)
                listed[named.curve, row.per_hour, length_s] = named
    return recall_table(list(listed.values()))


def by_scene(board: Board) -> list[tuple[Ranking, list[Entry]]]:
    """Return the ranking by mAP at the longest common length of each scene, with the scene's entries."""
    ranker = Ranker(board)
    return [
        (ranker.rank(entries, common_length(entries), MAP), entries)
        for entries in board.scenes.values()
    ]


def in_order(entries: Sequence[Entry], ranking: Ranking) -> list[Entry]:
    """Sort entries by falling mAP at the ranking's length; those without a score are last.

    Args:
        entries: of one scene.
        ranking: of the scene.
    """

    def falling(entry: Entry) -> tuple[bool, float]:
        point = entry.line.by_length.get(ranking.length_s)
        value = None if point is None else point["mAP"]
        return value is None, -(value or 0.0)

    return sorted(entries, key=falling)


def by_intervals_note(count: int, of: int) -> str:
    """Return the sentence on comparisons without stored scores.

    Args:
        count: number of such comparisons.
        of: number of all comparisons.
    """
    return (
        f"{count} of {of} comparisons of two systems are by their intervals, because the scores of the clips "
        "are not stored: intervals detect fewer differences than paired scores."
    )


def millions(parameters: int | None) -> str:
    """Return a number of parameters as "48.6 M"; "" if unknown."""
    return "" if parameters is None else f"{parameters / 1e6:.3g} M"


def _caption(board: Board, rankings: Sequence[Ranking]) -> str:
    ranked_at = " or ".join(length_name(s) for s in sorted({r.length_s for r in rankings}))
    return (
        f"mAP of {board.title}, ranked at {ranked_at}: "
        "models without a significant difference share a rank (in brackets, per cent that is left of the 10 s mAP / of "
        "its part above chance); L85 and L50, the length at which 85 % and 50 % of the 10 s mAP are left; "
        "seconds of audio processed in a second"
    )


def _row(entry: Entry, ranking: Ranking, longer: Sequence[float], modes: bool) -> tuple[str, ...]:
    system, curve = entry.system, entry.line
    position = "" if curve.position is None else f"{curve.position:g}"
    lengths = effective_lengths(curve).values()
    return (
        rank_text(entry, ranking),
        system.name,
        millions(system.parameters),
        *([system.mode] if modes else []),
        curve.scene,
        position,
        _score(curve.base),
        *(_left(curve.by_length.get(length)) for length in longer),
        *("" if length is None else length.text for length in lengths),
        _speed(entry),
    )


def rank_text(entry: Entry, ranking: Ranking) -> str:
    """Return "1", "1–3" or "at chance"; "" for an entry without a score at the ranking's length."""
    if entry not in ranking.ranks:
        return ""
    rank = ranking.ranks[entry]
    return "at chance" if rank is None else rank.text


def _score(point: Point | None) -> str:
    return "" if point is None or point["mAP"] is None else f"{point['mAP']:.3f}"


def _left(point: Point | None) -> str:
    if point is None:
        return ""
    if point["status"] != "ok":
        return {"oom": "out of memory"}.get(point["status"], "error")
    if point["relative"] is None:
        return _score(point)
    above = adjusted_of(point)
    parts = [f"{100 * point['relative']:.0f}"]
    parts += [number_text(100 * above[0], ".0f")] if above else []
    text = f"{_score(point)} ({' / '.join(parts)} %)"
    marks = [*(["at chance"] if at_chance(point) else []), *([MOVED] if is_moved(point) else [])]
    return " ".join([text, *marks])


def _speed(entry: Entry) -> str:
    timed = [point["rtf"] for _, point in sorted(entry.line.by_length.items()) if point["rtf"]]
    return f"{float(f'{timed[-1]:.3g}'):g}" if timed else ""


def _chance_row(board: Board, n_longer: int, n_columns: int, modes: bool) -> list[tuple[str, ...]]:
    """Return the row of the floor: expected mAP of random scores, the same at every length."""
    if board.chance is None:
        return []
    lead = ("", CHANCE, *[""] * (4 if modes else 3), *[f"{board.chance:.3f}"] * (1 + n_longer))
    return [(*lead, *[""] * (n_columns - len(lead)))]
