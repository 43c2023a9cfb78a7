"""Damaged run directories, as a stranger may send one: a small run with one of its files changed."""

import csv
import io
import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from niah.records.run_directory import RunDirectory
from niah.records.schema import COLUMNS
from niah.records.summarise import summarise
from tests.fuzz.mutations import (
    FLOATS,
    INTEGERS,
    changed_bytes,
    changed_tree,
    json_file,
    recoded,
    text,
    value,
)
from tests.helpers import examples

READER = "reader"  # file beside the run: which command reads it
READERS = (*("report",) * 8, *("leaderboard", "check", "compare") * 2, "drawn-report")
_NUMBERS = (
    *(
        "inf",
        "-inf",
        "nan",
        "1e400",
        "1e308",
        "-1",
        "0",
        "9" * 30,
        "9" * 400,
        "1_0",
        "0x1",
        " 1",
        "1.5",
        "True",
    ),
    *("1e-320", "1e18", "1e19", "٣"),
)
_RAW_CLASSES = (
    b"",
    b"[]",
    b"{}",
    b"3",
    b"null",
    b"[1,2]",
    b"\xff",
    b"[" * 100_000,
    b"9" * 5000,
    b'["\\ud800"]',
)
_TEXT_COLUMNS = ("model", "haystack", "needles", "kernel", "device")


@cache
def _files() -> dict[str, bytes]:
    """The files of a finished run of two models, by their paths within it."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "run"
        with RunDirectory.create_or_open(path, examples.IDENTITY) as run:
            about = {
                "presets": [],
                "notes": ["a note"],
                "excluded_clips": [{"id": "x", "reason": "silent"}],
            }
            haystacks = {"zero": {"contains": ["/m/09x0r"]}, "babble": {"contains": []}}
            models = {
                name: {"parameters": 1000, "random": False}
                for name in ("dass-nano", "ast-sin-nano")
            }
            hardware = {"cpu": "a processor", "cpus": 2}
            run.write_run_json(
                {**about, "haystacks": haystacks, "models": models, "hardware": hardware}
            )
            for model in models:
                rows = [examples.scored(run, 3.0, model=model, haystack="none", position=None)]
                rows.append(examples.scored(run, 2.0, model=model, length_s=20.0))
                run.write_rows((row, None) for row in rows)
            summarise(run)
        return {
            str(file.relative_to(path)): file.read_bytes()
            for file in sorted(path.rglob("*"))
            if file.is_file()
        }


def _copied(rng: Random, folder: Path, *names: str) -> Path:
    """Write the run's files, all or those that begin with one of `names`, and the name of its reader."""
    run = folder / "run"
    (folder / READER).write_text(rng.choice(READERS))
    for name, content in _files().items():
        if not names or name.startswith(names):
            (run / name).parent.mkdir(parents=True, exist_ok=True)
            (run / name).write_bytes(content)
    return run


def whole(folder: Path) -> Path:
    """Write the run as it is."""
    return _copied(Random(0), folder)


def run_json(rng: Random, folder: Path) -> Path:
    run = _copied(rng, folder)
    document = json.loads(_files()["run.json"])
    (run / "run.json").write_bytes(json_file(rng, document))
    return run


def row(rng: Random, folder: Path) -> Path:
    """One or all rows changed, without their checksums."""
    run = _copied(rng, folder)
    files = sorted((run / "cells").glob("*.json"))
    for file in rng.sample(files, rng.choice((1, 1, len(files)))):
        document = json.loads(file.read_bytes())
        kind = rng.random()
        if kind < 0.7:
            for _ in range(rng.choice((1, 1, 1, 2))):
                column = rng.choice(list(COLUMNS))
                document["row"][column] = _cell_value(rng, COLUMNS[column])
            file.write_bytes(_unsigned(document))
        elif kind < 0.8:
            file.write_bytes(_unsigned(changed_tree(rng, document)))
        else:
            document.pop("sha256")
            file.write_bytes(json_file(rng, document))
    return run


def _cell_value(rng: Random, kind: type) -> Any:
    """Return a value of a column's type in most cases, a plausible one in half of them."""
    if rng.random() < 0.1:
        return value(rng)
    if kind is str:
        return text(rng)
    plausible: tuple[Any, ...] = (None, 0, 1, 10, 20, 300)
    if kind is float:
        plausible = (None, 0.0, 1e-9, 0.5, 1.0, 10.0, 1e6)
    return rng.choice(plausible if rng.random() < 0.6 else INTEGERS if kind is int else FLOATS)


def _unsigned(document: Any) -> bytes:
    """Return a row's file without its checksum, as earlier versions wrote it and as who makes one up may."""
    if isinstance(document, dict):
        document.pop("sha256", None)
    return json.dumps(document).encode("utf-8", "surrogatepass")


def cells_csv(rng: Random, folder: Path) -> Path:
    """A published table, with run.json beside it in half of the cases."""
    run = _copied(rng, folder, "cells.csv", *(("run.json",) if rng.random() < 0.5 else ()))
    table = list(csv.reader(io.StringIO(_files()["cells.csv"].decode(), newline="")))
    for _ in range(rng.choice((0, 1, 1, 1, 2))):
        line, column = rng.choice(table[1:]), rng.randrange(len(table[0]))
        odd = _cell_value(rng, COLUMNS[table[0][column]])
        line[column] = (
            rng.choice(_NUMBERS) if rng.random() < 0.3 else "" if odd is None else str(odd)
        )
    if rng.random() < 0.1:
        rng.choice(table)[0:0] = ["more"]
    if rng.random() < 0.1:
        rng.choice(table).pop()
    if rng.random() < 0.1:
        table += [list(rng.choice(table))] * rng.choice((1, 50))
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(table)
    content = recoded(rng, written.getvalue())
    (run / "cells.csv").write_bytes(changed_bytes(rng, content) if rng.random() < 0.2 else content)
    return run


def scores(rng: Random, folder: Path) -> Path:
    """One score file damaged or made up; the row says nothing of its checksum in most cases, as older rows do."""
    run = _copied(rng, folder)
    file = rng.choice(sorted((run / "scores").glob("*.parquet")))
    content, kind = file.read_bytes(), rng.random()
    if kind < 0.4:
        content = _other_scores(rng, content)
    elif kind < 0.7:
        start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
        content = content[:start] + changed_bytes(rng, content[start:])
    else:
        content = changed_bytes(rng, content)
    file.write_bytes(content)
    if rng.random() < 0.8:
        row_file = run / "cells" / f"{file.stem}.json"
        document = json.loads(row_file.read_bytes())
        document["row"].pop("scores_sha256")
        document["scored_from"] = None
        row_file.write_bytes(_unsigned(document))
    return run


def _other_scores(rng: Random, content: bytes) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(content))
    metadata, rows = dict(table.schema.metadata), len(table)
    columns = {name: table.column(name) for name in table.column_names}
    classes = len(json.loads(metadata[b"niah.classes"]))
    column = rng.choice(("id", "labels", "logits", "scores", "distractors", "group"))
    makers: tuple[Callable[[], Any], ...] = (
        lambda: pa.array([[float("nan")] * classes] * rows),
        lambda: pa.array([[1e300] * classes] * rows),
        lambda: pa.array([[0.5] * (classes + 1)] * rows),
        lambda: pa.array([[0.5] * (classes if k else 0) for k in range(rows)]),
        lambda: pa.array([[None] * classes] * rows, pa.list_(pa.float32())),
        lambda: pa.array([None] * rows, pa.list_(pa.float32())),
        lambda: pa.array([None] * rows, pa.string()),
        lambda: pa.array([None] * rows, pa.list_(pa.string())),
        lambda: pa.array([[None, "c1"]] * rows, pa.list_(pa.string())),
        lambda: pa.array(["same"] * rows),
        lambda: pa.array([1] * rows),
        lambda: pa.array([1.5] * rows),
        lambda: pa.array([b"\xff"] * rows),
        lambda: pa.array([["c0"]] * rows),
        lambda: pa.array([[]] * rows, pa.list_(pa.string())),
        lambda: pa.array([{"a": 1}] * rows),
    )
    kind = rng.random()
    if kind < 0.6:
        columns[column] = rng.choice(makers)()
    elif kind < 0.7:
        columns.pop(rng.choice(list(columns)))
    elif kind < 0.9:
        metadata[b"niah.classes"] = rng.choice(
            (*_RAW_CLASSES, json.dumps([text(rng)] * classes).encode())
        )
    else:
        metadata = {}
    made = io.BytesIO()
    changed = pa.table(columns).replace_schema_metadata(metadata)
    pq.write_table(changed.slice(0, rng.choice((rows, rows, 0, 1))), made)
    return made.getvalue()


def localisation(rng: Random, folder: Path) -> Path:
    run = _copied(rng, folder)
    (run / "localisation").mkdir()
    about = {
        **{
            "model": "dass-nano",
            "checkpoint_sha256": "f" * 64,
            "method": "positions",
            "haystack": "zero",
        },
        **{"snr_db": None, "length_s": 20.0, "position": 0.5, "window_s": None, "hop_s": None},
        **{"place_s": 0.3, "tolerance_s": 5.0},
    }
    pairs = [["c1", "dog", 3.0, True, 0.5, 0.3, 4.0], ["c2", "cat", 9.0, False, 2.5, 0.3, 4.0]]
    (run / "localisation" / f"{'a' * 20}.json").write_bytes(
        json_file(rng, {"about": about, "pairs": pairs})
    )
    if rng.random() < 0.2:  # as published: the table alone
        shutil.rmtree(run / "localisation")
        header = (
            *about,
            "clips",
            "pairs",
            "hit_rate",
            "hit_lo",
            "hit_hi",
            "chance_hit",
            "median_error_s",
            "chance_error_s",
        )
        line = [
            *("" if each is None else str(each) for each in about.values()),
            "2",
            "2",
            *["0.5"] * 6,
        ]
        line[rng.randrange(len(line))] = rng.choice((text(rng), rng.choice(_NUMBERS)))
        written = io.StringIO()
        csv.writer(written).writerows((header, line))
        (run / "localisation.csv").write_bytes(recoded(rng, written.getvalue()))
    return run


def names(rng: Random, folder: Path) -> Path:
    """A run whose names are odd: the same in every row, so that they are of one run."""
    run = _copied(rng, folder)
    odd = {name: text(rng) or "x" for name in rng.sample(_TEXT_COLUMNS, rng.randrange(1, 5))}
    for file in sorted((run / "cells").glob("*.json")):
        document = json.loads(file.read_bytes())
        document["row"] |= odd
        file.write_bytes(_unsigned(document))
    if rng.random() < 0.4:
        document = json.loads(_files()["run.json"])
        document["notes"] = [text(rng)]
        document["excluded_clips"] = [{"id": text(rng), "reason": text(rng)}]
        document["presets"] = [rng.choice(("fig1c", "fig3", text(rng)))]
        document["models"] = {odd.get("model", "dass-nano"): {"title": text(rng)}}
        (run / "run.json").write_text(json.dumps(document), "utf-8")
    return run
