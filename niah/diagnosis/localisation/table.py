"""Localisation as shown: localisation.csv, one row a cell, and localisation.md, one row a curve. No torch."""

from collections.abc import Sequence
from pathlib import Path

from niah.diagnosis.localisation.curves import located_curves
from niah.diagnosis.localisation.rows import CSV_FILE, Located, csv_text, read
from niah.records.naming import length_name
from niah.records.run_directory import RunDirectory
from niah.system import atomic
from niah.system.plurals import plural
from niah.tables.positions import positions_note
from niah.tables.table import Table

MARKDOWN_FILE = "localisation.md"


def write(run: Path) -> list[Path]:
    """Write `localisation.csv` and `localisation.md` of the stored cells; return their paths."""
    table = stored_table(run)
    texts = {CSV_FILE: csv_text(read(run)), MARKDOWN_FILE: table.markdown() if table else ""}
    for name, text in texts.items():
        with atomic.atomic_write(run / name) as stream:
            stream.write(text.encode())
    return [run / name for name in texts]


def stored_table(run: Path) -> Table | None:
    """Return the table of a run's cells; None where nothing was located."""
    return localisation_table(read(run), protocol_of(run))


def protocol_of(run: Path) -> str:
    """Return the protocol of a run's scenes; "" where no run.json says it."""
    if not (run / "run.json").is_file():
        return ""
    return str(RunDirectory(run).run_json()["identity"].get("protocol", ""))


def localisation_table(rows: Sequence[Located], protocol: str = "") -> Table | None:
    """Return a row a model, method, scene and position, a column a length; None without rows.

    Args:
        rows: the cells.
        protocol: of their scenes, for a note on positions that are not where they say.
    """
    if not rows:
        return None
    lengths = sorted({row.length_s for row in rows})
    *others, most = sorted({row.clips for row in rows})
    clips = ", ".join([*map(str, others), plural(most, "clip")])
    tolerance = ", ".join(f"{s:g}" for s in sorted({row.tolerance_s for row in rows}))
    caption = (
        f"Localisation: per cent of (clip, label) pairs whose peak lies within {tolerance} s of the centre of "
        f"the clip [95 % interval], what a guess gets (chance), and the median distance; {clips}."
    )
    body = [
        (
            *(curve.model, curve.method, curve.scene, curve.position_text),
            *(_entry(curve.by_length.get(length)) for length in lengths),
        )
        for curve in located_curves(rows)
    ]
    header = ("model", "method", "haystack", "position", *map(length_name, lengths))
    places = [{**vars(row), "protocol": protocol} for row in rows]
    note = positions_note(places)
    return Table(caption, header, tuple(body), (note,) if note else ())


def _entry(row: Located | None) -> str:
    if row is None:
        return ""
    interval = f"[{100 * row.hit_lo:.0f}, {100 * row.hit_hi:.0f}]"
    chance = f"chance {100 * row.chance_hit:.0f}"
    return f"{100 * row.hit_rate:.0f} {interval} ({chance}), {row.median_error_s:.1f} s"
