"""Boards as Markdown: `leaderboard.md`, and the table on the README's first screen.

One table a board, because scores of different protocols or clips are not comparable.
"""

from collections.abc import Sequence

from niah.metrics.effective_length import LEVELS
from niah.pages.leaderboard.boards import Board, Entry
from niah.pages.leaderboard.effective import effective_lengths, name
from niah.records.naming import Point, length_name
from niah.records.schema import BASE_LENGTH_S
from niah.system.markdown_text import plain
from niah.tables.table import Table


def text(boards: Sequence[Board]) -> str:
    """All boards, each with its caption, notes and table."""
    parts = ["# Leaderboard\n"]
    if len(boards) > 1:
        parts.append(
            f"{len(boards)} boards: rows of different protocols or lists of clips are not comparable, "
            "and are never ranked together.\n"
        )
    for board in boards:
        parts += [f"## {plain(board.needles)}, {plain(board.protocol)}\n", table(board).markdown()]
        parts += [f"> {plain(note)}\n" for note in board.notes]
    return "\n".join(parts)


def table(board: Board) -> Table:
    """Model, scene; mAP at 10 s; per cent of it that is left at each length; L85, L50; speed.

    The speed is seconds of audio a second at the longest length that the entry was run at.
    """
    modes = any(entry.system.mode != "native" for entry in board.entries)
    longer = [length for length in board.lengths if length != BASE_LENGTH_S]
    header = (
        *("model", "parameters"),
        *(["mode"] if modes else []),
        *("haystack", "position", "10 s"),
        *map(length_name, longer),
        *map(name, LEVELS),
        "x real time",
    )
    rows = [_row(entry, longer, modes) for entry in board.entries]
    return Table(_caption(board), header, (*rows, *_chance_row(board, longer, len(header), modes)))


def millions(parameters: int | None) -> str:
    """ "48.6 M"; "" when not known."""
    return "" if parameters is None else f"{parameters / 1e6:.3g} M"


def _caption(board: Board) -> str:
    level = f", level {board.level}" if board.level not in (None, "surround") else ""
    return (
        f"mAP of {board.protocol}{level} on {board.n_clips} clips of {board.needles}; "
        "per cent of it left at each length; L85 and L50, the length at which 85 % and 50 % are left; "
        "seconds of audio processed in a second"
    )


def _row(entry: Entry, longer: Sequence[float], modes: bool) -> tuple[str, ...]:
    system, line = entry.system, entry.line
    position = "" if line.position is None else f"{line.position:g}"
    return (
        system.name,
        millions(system.parameters),
        *([system.mode] if modes else []),
        line.scene,
        position,
        _score(line.base),
        *(_share(line.by_length.get(length)) for length in longer),
        *("" if told is None else told.text for told in effective_lengths(line).values()),
        _speed(entry),
    )


def _score(point: Point | None) -> str:
    return "" if point is None or point["mAP"] is None else f"{point['mAP']:.3f}"


def _share(point: Point | None) -> str:
    if point is None:
        return ""
    if point["status"] != "ok":
        return {"oom": "out of memory"}.get(point["status"], "error")
    return "" if point["relative"] is None else f"{100 * point['relative']:.0f} %"


def _speed(entry: Entry) -> str:
    timed = [point["rtf"] for _, point in sorted(entry.line.by_length.items()) if point["rtf"]]
    return f"{float(f'{timed[-1]:.3g}'):g}" if timed else ""


def _chance_row(
    board: Board, longer: Sequence[float], columns: int, modes: bool
) -> list[tuple[str, ...]]:
    """The floor: mAP of random scores, and what per cent of the 10 s scores that is."""
    bases = [e.line.base["mAP"] for e in board.entries if e.line.base and e.line.base["mAP"]]
    if board.chance is None or not bases:
        return []
    shares = sorted({round(100 * board.chance / base) for base in bases})
    told = " to ".join(str(share) for share in dict.fromkeys((shares[0], shares[-1]))) + " %"
    lead = ("chance", *[""] * (4 if modes else 3), f"{board.chance:.3f}", *[told] * len(longer))
    return [(*lead, *[""] * (columns - len(lead)))]
