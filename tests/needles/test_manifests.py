"""Manifests in Arrow's formats, and large CSV files by column, give the needle set of the reader of rows."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from niah.errors import NiahError
from niah.needles import NeedleSet, load_needles
from niah.needles.readers import large_csv
from niah.needles.table import NeedleTable
from niah.training.data.labels import SparseLabels
from niah.vocabularies import vocabulary

LABELS = vocabulary("esc-50")
ROWS = 400


def rows(rng: np.random.Generator) -> list[dict[str, str]]:
    """Clips in folders, some stems twice, labels by id or name, one unknown, some clips without."""
    table = []
    for row in range(ROWS):
        chosen = rng.choice(len(LABELS), rng.integers(0, 4), replace=False)
        labels = [LABELS.ids[c] if c % 3 else LABELS.names[c] for c in chosen]
        labels += ["yeti"] * (row % 50 == 0) + labels[:1] * (row % 7 == 0)
        stem = f"{1 + row % 5}-{row // 3}-A-{row % 50}" if row % 2 else f"clip.{row}"
        stem = f"again{row // 2}" if row < 8 else stem
        table.append(
            {
                "path": f"{'a' if row % 2 else 'b/c'}/{stem}.flac",
                "labels": ";".join(labels),
                "group": f" rec{row // 4} " if row % 3 else "",
                "split": "Train" if row % 10 else "eval",
            }
        )
    return table


def write_csv(path: Path, table: list[dict[str, str]], columns: tuple[str, ...]) -> Path:
    lines = [",".join(columns), *(",".join(row[name] for name in columns) for row in table)]
    path.write_text("\n".join(lines) + "\n")
    return path


def arrow_of(table: list[dict[str, str]], columns: tuple[str, ...], *, lists: bool) -> Any:
    made = {name: [row[name] for row in table] for name in columns}
    if lists:
        made["labels"] = [text.split(";") if text else None for text in made["labels"]]  # type: ignore[misc]
    return pa.table(made)


def write_file(path: Path, table: Any) -> Path:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=90)
    return path


def write_stream(path: Path, table: Any) -> Path:
    """As the `datasets` library stores its tables."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=150)
    return path


def write_parquet(path: Path, table: Any) -> Path:
    index = table.column_names.index("labels")
    if pa.types.is_string(table.schema.field("labels").type):
        table = table.set_column(index, "labels", table.column("labels").dictionary_encode())
    pq.write_table(table, path, row_group_size=130)
    return path


def assert_same(a: NeedleSet, b: NeedleSet) -> None:
    assert tuple(a.needles) == tuple(b.needles)
    assert a.ids_sha256 == b.ids_sha256
    assert a.clips_sha256 == b.clips_sha256
    assert np.array_equal(a.targets(), b.targets())
    assert a.licence == b.licence


@pytest.mark.parametrize("columns", [("path", "labels"), ("path", "labels", "group", "split")])
def test_every_format_gives_the_clips_of_the_csv(
    columns: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = rows(np.random.default_rng(0))
    text = write_csv(tmp_path / "clips.csv", table, columns)
    by_row = load_needles(text, vocabulary=LABELS)
    assert isinstance(by_row.needles, tuple)
    writers: dict[str, Callable[[Path, Any], Path]] = {
        "file.arrow": write_file,
        "stream.arrow": write_stream,
        "clips.parquet": write_parquet,
    }
    files = [text]
    for lists in (False, True):
        for name, write in writers.items():
            files.append(write(tmp_path / f"{lists}-{name}", arrow_of(table, columns, lists=lists)))
    monkeypatch.setattr(large_csv, "LEAST_BYTES", 0)
    queries = ["", "?split=train"] if "split" in columns else [""]
    for query in queries:
        monkeypatch.setattr(large_csv, "LEAST_BYTES", 1 << 40)
        expected = load_needles(f"{text}{query}", vocabulary=LABELS)
        few = load_needles(f"{text}{query}", vocabulary=LABELS, limit=37, seed=3)
        monkeypatch.setattr(large_csv, "LEAST_BYTES", 0)
        for file in files:
            needles = load_needles(f"{file}{query}", vocabulary=LABELS)
            assert isinstance(needles.needles, NeedleTable), file
            assert_same(needles, expected)
            assert sorted(needles.notes) == sorted(expected.notes)
            sparse = [SparseLabels.from_needles(each) for each in (needles, expected)]
            assert np.array_equal(sparse[0].starts, sparse[1].starts)
            assert np.array_equal(sparse[0].classes, sparse[1].classes)
            assert needles.needles[5] == expected.needles[5]
            assert tuple(needles.needles[7:9]) == tuple(expected.needles[7:9])
            assert_same(load_needles(f"{file}{query}", vocabulary=LABELS, limit=37, seed=3), few)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"path": ["a.wav", "a.wav"], "labels": ["dog", "dog"]},
            r"row 1: clip 'a\.wav' is listed twice \(before: .*row 0\)",
        ),
        ({"path": ["a.wav", ""]}, "row 1: has no path"),
        ({"path": ["a.wav", None]}, "row 1: has no path"),
        ({"path": [1, 2]}, "'path' must be text"),
        ({"labels": [1, 2]}, "must be text, or lists of text, but is int64"),
        ({"labels": ["yeti", "ogre"]}, r"row 0: label 'yeti' is not in .*No clip is left"),
        ({"labels": None}, "lacks a column 'labels'"),
        ({"path": None}, "lacks the column 'path'"),
    ],
)
def test_a_malformed_manifest_is_refused_in_one_line(
    change: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    made = {"path": ["a.wav", "b.wav"], "labels": ["dog", "cat"], **change}
    file = write_file(tmp_path / "x.arrow", pa.table({k: v for k, v in made.items() if v}))
    with pytest.raises(NiahError, match=reason) as error:
        load_needles(file, vocabulary=LABELS)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("column", ["file_name", "filename"])
def test_paths_have_the_names_that_they_have_in_a_csv(column: str, tmp_path: Path) -> None:
    """A Parquet table of file_name was taken for one of embedded sounds, and refused."""
    table = pa.table({column: ["a.wav", "b.wav"], "labels": ["dog", "cat"]})
    arrow = write_file(tmp_path / "x.arrow", table)
    parquet = write_parquet(tmp_path / "manifest.parquet", table)
    for spec in (arrow, parquet, tmp_path):
        needles = load_needles(spec, vocabulary=LABELS).needles
        assert {needle.id for needle in needles} == {"a", "b"}


def test_strict_filters_and_files_that_are_no_manifests(tmp_path: Path) -> None:
    table = pa.table({"path": ["a.wav", "b.wav"], "labels": [["dog"], ["cat", "yeti"]]})
    file = write_file(tmp_path / "manifest.arrow", table)
    assert len(load_needles(tmp_path, vocabulary=LABELS)) == 2  # a folder with a manifest
    for spec, reason in (
        (file, r"row 1: label 'yeti' is not in.*refused under --strict"),
        (f"{file}?fold=1", "no column 'fold' to filter by"),
        (f"{file}?path=c.wav", "no row passes the filter"),
    ):
        with pytest.raises(NiahError, match=reason):
            load_needles(spec, vocabulary=LABELS, strict=True)
    (tmp_path / "text.arrow").write_text("path,labels\n")
    with pytest.raises(NiahError, match="not a file of Arrow's"):
        load_needles(tmp_path / "text.arrow", vocabulary=LABELS)
    os.mkfifo(tmp_path / "pipe.arrow")
    with pytest.raises(NiahError, match="not a regular file"):
        load_needles(tmp_path / "pipe.arrow", vocabulary=LABELS)


@pytest.mark.parametrize(
    "text",
    [
        'path,labels\n"a.wav","dog"\n',
        "path,labels\na.wav,dog\na.wav,cat\n",
        "path,labels\na.wav,dog,rain\n",
        "path;labels\na.wav;dog\n",
        "path,labels,onset\na.wav,dog,1\n",
        "path,labels\na.wav,yeti\n",
    ],
)
def test_a_csv_that_is_not_plain_is_left_to_the_reader_of_rows(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from niah.needles.readers.rows import Request

    monkeypatch.setattr(large_csv, "LEAST_BYTES", 0)
    (tmp_path / "x.csv").write_text(text)
    assert large_csv.read(tmp_path / "x.csv", Request(LABELS)) is None


@pytest.mark.parametrize(
    "paths",
    [
        ["a.wav", "b.wav", "a.wav"],
        ["./a.wav", "b.wav", "a.wav"],
        ["x/../a.wav", "b.wav", "a.wav"],
        "absolute",
    ],
)
def test_a_clip_in_several_rows_is_one_needle_from_each_format(
    paths: list[str] | str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if paths == "absolute":
        paths = [f"{tmp_path}/a.wav", "b.wav", "a.wav"]
    columns = {"path": list(paths), "labels": ["dog", "dog;cat", "cat"]}
    text = tmp_path / "rows.csv"
    lines = zip(*columns.values(), strict=True)
    text.write_text("path,labels\n" + "".join(f"{a},{b}\n" for a, b in lines))
    expected = load_needles(text, vocabulary=LABELS)
    assert [needle.labels for needle in expected.needles] == [("dog", "cat"), ("dog", "cat")]
    monkeypatch.setattr(large_csv, "LEAST_BYTES", 0)
    lists = {**columns, "labels": [each.split(";") for each in columns["labels"]]}
    files = [
        text,
        write_file(tmp_path / "rows.arrow", pa.table(columns)),
        write_parquet(tmp_path / "rows.parquet", pa.table(columns)),
        write_stream(tmp_path / "lists.arrow", pa.table(lists)),
    ]
    for file in files:
        needles = load_needles(file, vocabulary=LABELS)
        assert_same(needles, expected)
        assert needles.notes == expected.notes


def test_a_lists_text_with_semicolons_is_one_from_each_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_csv, "LEAST_BYTES", 0)
    columns = {"path": ["a.wav", "b.wav"], "labels": ["[dog;cat]", "hen;yeti"]}
    (tmp_path / "x.csv").write_text("path,labels\na.wav,[dog;cat]\nb.wav,hen;yeti\n")
    write_file(tmp_path / "x.arrow", pa.table(columns))
    for file in tmp_path.glob("x.*"):
        needles = load_needles(file, vocabulary=LABELS).needles
        assert {needle.id: needle.labels for needle in needles} == {
            "a": ("dog", "cat"),
            "b": ("hen",),
        }


def test_a_set_that_datasets_saved_to_disk_is_to_be_parquet(tmp_path: Path) -> None:
    sounds = pa.table({"audio": [{"bytes": b"", "path": "a.wav"}], "label": ["dog"]})
    for spec in (write_stream(tmp_path / "data-00000-of-00001.arrow", sounds), tmp_path):
        with pytest.raises(NiahError, match=r"load_from_disk\(FOLDER\)\.to_parquet"):
            load_needles(spec, vocabulary=LABELS)


def test_paths_of_another_machine_that_meet_in_one_file_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sound would have two clips' labels, and be two clips."""
    monkeypatch.setattr(large_csv, "LEAST_BYTES", 0)
    columns = {"path": ["/away/a/x.wav", "/away/b/x.wav"], "labels": ["dog", "cat"]}
    (tmp_path / "x.csv").write_text("path,labels\n/away/a/x.wav,dog\n/away/b/x.wav,cat\n")
    items = [{"wav": a, "labels": b} for a, b in zip(*columns.values(), strict=True)]
    (tmp_path / "x.json").write_text(json.dumps({"data": items}))
    write_file(tmp_path / "x.arrow", pa.table(columns))
    write_parquet(tmp_path / "x.parquet", pa.table(columns))
    for file in tmp_path.glob("x.*"):
        with pytest.raises(NiahError, match="have one name in the folder of sounds"):
            load_needles(file, vocabulary=LABELS, audio_root=tmp_path)
        assert len(load_needles(file, vocabulary=LABELS)) == 2
