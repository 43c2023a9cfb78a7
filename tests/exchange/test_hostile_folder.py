"""A folder of scenes from a stranger, or one that was damaged: refused in one line, and nothing is scored by it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from niah.errors import NiahError
from niah.exchange.scene_set import read_answers, read_scene_set

CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "cell outside": (lambda c: c["cells"][0].update(key="../../../x"), "20 lowercase hex digits"),
    "column": (
        lambda c: c["cells"][0]["columns"].update(scores_sha256="0" * 64),
        "'scores_sha256', which tells no scene's place",
    ),
    "no protocol": (lambda c: c["identity"].pop("protocol"), "'identity.protocol' must be text"),
    "seed": (lambda c: c["identity"].update(seed=True), "'identity.seed' must be a whole number"),
    "haystack": (lambda c: c["haystacks"].update(zero={}), "'haystacks.zero.sha256' must be text"),
    "gain": (lambda c: c["sound"].update(gain_db=float("inf")), "'sound.gain_db' is inf"),
    "labels": (lambda c: c["labels"]["ids"].append(c["labels"]["ids"][0]), "different ids, each"),
    "label": (lambda c: c["labels"].update(ids=[3], names=["3"]), "'labels' must be texts"),
    "no cells": (lambda c: c["cells"].clear(), "'cells' must be different ones"),
    "cells": (lambda c: c.update(cells={"key": 3}), "'cells' must be a list"),
    "twice": (lambda c: c["cells"].append(c["cells"][0]), "'cells' must be different ones"),
}


@pytest.fixture
def folder(scenes: Path, tmp_path: Path) -> Path:
    for name in ("scenes.json", "answers.parquet"):
        shutil.copy(scenes / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("change", CHANGES)
def test_scenes_json_is_checked(folder: Path, change: str) -> None:
    file = folder / "scenes.json"
    content = json.loads(file.read_text())
    alter, message = CHANGES[change]
    alter(content)
    file.write_text(json.dumps(content))
    with pytest.raises(NiahError, match=message) as caught:
        read_scene_set(folder)
    assert "\n" not in str(caught.value)


def test_changed_answers_are_noticed(folder: Path) -> None:
    """A label typed in, a bit flipped, another clip in one cell, a column of another type."""
    file = folder / "answers.parquet"
    table = pq.read_table(file)
    stored = read_answers(folder)
    assert {len(answers) for answers in stored.values()} == {6}
    values = table.to_pydict()
    edits: tuple[tuple[str, list[Any]], ...] = (
        ("labels", [["/t/edited"], *values["labels"][1:]]),
        ("clip", ["other", *values["clip"][1:]]),
        ("clip", [values["clip"][1], *values["clip"][1:]]),
        ("scene", [1] * len(table)),
        ("labels", [None] * len(table)),
    )
    for column, entries in edits:
        index = table.column_names.index(column)
        edited = table.set_column(index, column, pa.array(entries))
        for metadata in (table.schema.metadata, None):
            pq.write_table(edited.replace_schema_metadata(metadata), file)
            if not metadata and entries[0] == ["/t/edited"]:
                read_answers(folder)  # as an earlier version wrote it: without a checksum
                continue
            with pytest.raises(NiahError, match="is damaged: write the scenes again"):
                read_answers(folder)
    pq.write_table(table.slice(0, 0), file)
    with pytest.raises(NiahError, match="is damaged"):
        read_answers(folder)


def test_a_small_file_that_unpacks_to_gigabytes_is_refused(folder: Path) -> None:
    table = pq.read_table(folder / "answers.parquet").slice(0, 1)
    long = pa.array([["x" * 100_000]], table.schema.field("labels").type)
    table = table.set_column(table.column_names.index("labels"), "labels", long)
    pq.write_table(pa.concat_tables([table] * 4000).combine_chunks(), folder / "answers.parquet")
    assert (folder / "answers.parquet").stat().st_size < 1 << 20
    with pytest.raises(NiahError, match="unpacks to more than 256 MiB"):
        read_answers(folder)
