"""Run directories: whole or not at all, one writer, resumable, checked when written."""

import errno
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from niah.errors import NiahError
from niah.records import schema as cells
from niah.records import summarise as summary
from niah.records.run_directory import RunDirectory
from niah.records.run_json import SCHEMA_VERSION
from niah.records.schema import CELL_COLUMNS, cell_key, validate_row
from niah.records.summarise import summarise
from tests.helpers import examples
from tests.helpers.preloaded import Preloaded

COLUMNS = (
    "cell, model, checkpoint_sha256, protocol, needles, n_clips, haystack, snr_db, length_s, "
    "frames, position, window_s, seed, status, mAP, mAP_lo, mAP_hi, auc, d_prime, base_mAP, "
    "chance_mAP, relative, drop, drop_lo, drop_hi, classes_scored, latency_s, rtf, "
    "peak_memory_bytes, batch_size, device, dtype, kernel, niah_version, error"
)

CELL = "0123456789abcdef0123"


def files_of(run: RunDirectory) -> dict[str, bytes]:
    files = [path for path in run.path.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(file.relative_to(run.path)): file.read_bytes() for file in files}


# --- cells


def test_columns_are_the_contract() -> None:
    assert ", ".join(CELL_COLUMNS) == COLUMNS


def test_cell_key_is_of_values_not_of_spelling() -> None:
    key = cell_key({"model": "m", "length_s": 10, "snr_db": None})
    assert key == cell_key({"snr_db": None, "length_s": 10.0, "model": "m"})
    assert len(key) == 20
    assert int(key, 16)
    assert key != cell_key({"model": "m", "length_s": 10.5, "snr_db": None})
    assert key != cell_key({"model": "m", "length_s": "10", "snr_db": None})
    assert cell_key({"seed": 2**63}) != cell_key({"seed": 2**63 + 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, [1]])
def test_cell_key_refuses_what_has_no_one_spelling(value: Any) -> None:
    with pytest.raises(NiahError, match="x must be"):
        cell_key({"x": value})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"mAp": 0.5}, "Did you mean 'mAP'"),
        ({"status": "fine"}, "ok, oom, error"),
        ({"mAP": 47.6}, "per cent"),
        ({"position": -0.1}, "position"),
        ({"n_clips": 2.5}, "n_clips .* int"),
        ({"model": 3}, "model .* str"),
        ({"model": None}, "model .* given"),
        ({"seed": True}, "seed"),
    ],
)
def test_rows_are_checked(change: dict[str, Any], told: str) -> None:
    with pytest.raises(NiahError, match=told):
        validate_row({**examples.row(), **change})


def test_a_row_without_a_column_is_refused() -> None:
    short = examples.row()
    del short["kernel"]
    with pytest.raises(NiahError, match="lacks kernel"):
        validate_row(short)


def test_rows_take_numpy_numbers_and_nan() -> None:
    made = validate_row({**examples.row(), "mAP": np.float32(0.5), "drop": np.nan, "n_clips": 24})
    assert made["mAP"] == 0.5
    assert made["drop"] is None
    assert list(made) == list(CELL_COLUMNS)


def test_optional_columns_are_there_when_they_are_used(tmp_path: Path) -> None:
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        examples.add(run, 3.0)
        assert list(run.cells().columns) == [*CELL_COLUMNS, "scores_sha256"]
        examples.add(run, 2.0, length_s=50.0, needle_count=2, pooling="max")
        examples.add(run, 2.0, length_s=50.0, control="sham")
        summarise(run)
        table = run.cells()
    assert list(table.columns) == [
        *CELL_COLUMNS,
        *("control", "pooling", "needle_count", "adjusted", "adjusted_lo", "adjusted_hi"),
        "scores_sha256",
    ]
    assert table["needle_count"].dropna().tolist() == [2]
    assert table.loc[table["control"].notna(), "mAP"].isna().all()
    pd.testing.assert_frame_equal(cells.read_csv(run.path / "cells.csv"), table)
    assert list(validate_row({**examples.row(), "level": None})) == list(CELL_COLUMNS)
    with pytest.raises(NiahError, match="Did you mean 'pooling'"):
        validate_row({**examples.row(), "poling": "max"})
    with pytest.raises(NiahError, match=r"needle_count .* int"):
        validate_row({**examples.row(), "needle_count": 1.5})


def test_csv_gives_back_the_table(tmp_path: Path) -> None:
    run = examples.make(tmp_path / "run")
    pd.testing.assert_frame_equal(cells.read_csv(run.path / "cells.csv"), run.cells())
    assert run.cells()["frames"].dtype == "Int64"
    assert run.cells()["mAP"].dtype == "float64"
    assert (run.path / "cells.csv").read_text().splitlines()[0] == ",".join(
        map(str, run.cells().columns)
    )


def test_what_is_no_cells_csv_is_told(tmp_path: Path) -> None:
    file = tmp_path / "cells.csv"
    for text in ("", "a,b\n1,2\n", ",".join(CELL_COLUMNS) + "\n" + ",".join("x" * 35)):
        file.write_text(text)
        with pytest.raises(NiahError, match=r"cells\.csv"):
            cells.read_csv(file)


# --- scores


def test_scores_come_back_as_stored_also_by_plain_pandas(tmp_path: Path) -> None:
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        cell = examples.add(run, 2.0)
        stored = run.read_scores(cell)
    expected = examples.logits(2.0).astype(np.float16)
    np.testing.assert_array_equal(stored.logits, expected)
    assert stored.logits.dtype == np.float32
    assert (stored.ids, stored.labels, stored.classes) == (
        examples.IDS,
        examples.LABELS,
        examples.CLASSES,
    )
    np.testing.assert_array_equal(stored.targets, examples.TARGETS)
    frame = pd.read_parquet(run.path / "scores" / f"{cell}.parquet")
    assert list(frame.columns) == ["id", "labels", "logits"]
    np.testing.assert_array_equal(np.stack(frame["logits"].to_list()), expected)
    assert list(frame["labels"][0]) == list(examples.LABELS[0])


def test_what_distracts_is_stored_beside_the_labels(tmp_path: Path) -> None:
    others = [(examples.CLASSES[(i + 3) % 6],) for i in range(examples.CLIPS)]
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        given = {"classes": examples.CLASSES, "distractors": others}
        run.write_scores(CELL, examples.IDS, examples.LABELS, examples.logits(1.0), **given)  # type: ignore[arg-type]
        stored = run.read_scores(CELL)
    assert stored.distractors == tuple(others)
    of_others = np.array([[name == label for name in examples.CLASSES] for (label,) in others])
    np.testing.assert_array_equal(stored.excluded, of_others & ~examples.TARGETS)
    assert stored.excluded.any()


def test_scores_must_fit_and_be_finite(tmp_path: Path) -> None:
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        good = examples.logits(1.0)
        with pytest.raises(NiahError, match="clips, classes"):
            run.write_scores(CELL, examples.IDS, examples.LABELS, good.T, classes=examples.CLASSES)
        for broken in (np.nan, np.inf, 1e300):
            with pytest.raises(NiahError, match="overflowed"):
                run.write_scores(
                    CELL, examples.IDS, examples.LABELS, good + broken, classes=examples.CLASSES
                )
        assert list((run.path / "scores").iterdir()) == []


def test_damaged_scores_are_done_again(tmp_path: Path) -> None:
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        kept, cut, lost = (examples.add(run, 1.0, length_s=s) for s in (10.0, 20.0, 30.0))
        failed = examples.add(run, 1.0, length_s=40.0, status="error", error="x")
        oom = examples.add(run, 1.0, length_s=50.0, status="oom")
        assert run.completed() == {kept, cut, lost, oom}
        assert failed not in run.completed()
        file = run.path / "scores" / f"{cut}.parquet"
        file.write_bytes(file.read_bytes()[:-40])
        (run.path / "scores" / f"{lost}.parquet").unlink()
        assert run.completed() == {kept, oom}
        with pytest.raises(NiahError, match="damaged"):
            run.read_scores(cut)
        with pytest.raises(NiahError, match="missing"):
            run.read_scores(lost)


# --- folders


def test_another_run_is_refused_and_told_apart(tmp_path: Path) -> None:
    examples.make(tmp_path / "run")
    with pytest.raises(NiahError, match="needles is made there, other now"):
        RunDirectory.create_or_open(tmp_path / "run", {**examples.IDENTITY, "needles": "other"})
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        assert len(run.completed()) == len(run.cells())


def test_foreign_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(NiahError, match=r"thesis\.tex"):
        RunDirectory.create_or_open(tmp_path, examples.IDENTITY)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(NiahError, match="is a file"):
        RunDirectory.create_or_open(tmp_path / "thesis.tex", examples.IDENTITY)
    with pytest.raises(NiahError, match="cannot write"):
        RunDirectory.create_or_open(tmp_path / "thesis.tex" / "run", examples.IDENTITY)
    with pytest.raises(NiahError, match="not a run directory"):
        RunDirectory(tmp_path)


def test_newer_schema_and_broken_run_json_are_refused(tmp_path: Path) -> None:
    run = examples.make(tmp_path / "run")
    file = run.path / "run.json"
    content = json.loads(file.read_text())
    assert content["schema_version"] == SCHEMA_VERSION
    file.write_text(json.dumps({**content, "schema_version": SCHEMA_VERSION + 1}))
    with pytest.raises(NiahError, match="update niah"):
        RunDirectory(run.path)
    for text in ("{", "[]", "{}"):
        file.write_text(text)
        with pytest.raises(NiahError, match=r"run\.json"):
            RunDirectory.create_or_open(run.path, examples.IDENTITY)


def test_a_run_of_schema_1_is_read_and_becomes_one_of_2_when_it_is_written(tmp_path: Path) -> None:
    run = examples.make(tmp_path / "run")
    file = run.path / "run.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "schema_version": 1}))
    pd.testing.assert_frame_equal(RunDirectory(run.path).cells(), run.cells())
    assert json.loads(file.read_text())["schema_version"] == 1  # reading changes nothing
    with RunDirectory.create_or_open(run.path, examples.IDENTITY) as opened:
        assert len(opened.completed()) == len(run.cells())
    assert json.loads(file.read_text()) == content
    for older in (0, -1):
        file.write_text(json.dumps({**content, "schema_version": older}))
        with pytest.raises(NiahError, match="older than 1"):
            RunDirectory(run.path)


def test_the_committed_runs_are_of_a_schema_that_is_read() -> None:
    results = Path(__file__).resolve().parents[2] / "results"
    found = sorted(
        f.parent for f in results.rglob("run.json") if (f.parent / "cells.csv").is_file()
    )
    assert found
    for folder in found:
        assert not RunDirectory(folder).cells().empty


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with (
        RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY),
        pytest.raises(NiahError, match="another niah run"),
    ):
        RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY)
    RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY).close()


def test_amending_keeps_the_models_there(tmp_path: Path) -> None:
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        run.write_run_json({"models": {"a": {"parameters": 1}}, "notes": ["x"]})
        run.write_run_json({"models": {"b": {"parameters": 2}}, "identity": {"seed": 9}})
        content = run.run_json()
    assert set(content["models"]) == {"a", "b"}
    assert content["identity"] == examples.IDENTITY
    assert content["notes"] == ["x"]


# --- accidents


def test_a_full_disk_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        examples.add(run, 1.0)
        before = files_of(run)

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(NiahError, match=r"no space left for .*scores"):
            run.write_scores(
                CELL, examples.IDS, examples.LABELS, examples.logits(1.0), classes=examples.CLASSES
            )
        with pytest.raises(NiahError, match="no space left"):
            run.write_rows([(examples.row(length_s=20.0), None)])
        assert files_of(run) == before


def write_cells(path: Path, count: int) -> None:
    """Start or take up a run of `count` cells."""
    with RunDirectory.create_or_open(path, examples.IDENTITY) as run:
        done = run.completed()
        for index in range(count):
            if str(examples.row(length_s=10.0 + index)["cell"]) not in done:
                examples.add(run, 1.0, length_s=10.0 + index)


WRITER = """
import sys
from pathlib import Path
from tests.records.test_records import write_cells
write_cells(Path(sys.argv[1]), 10_000)
"""


def test_kill_9_loses_at_most_the_cell_in_work(preloaded: Preloaded, tmp_path: Path) -> None:
    path = tmp_path / "run"
    n_before = 0
    for _ in range(2):
        process = preloaded.start(WRITER, path)
        while len(list(path.glob("cells/*.json"))) <= n_before:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        time.sleep(0.25)
        process.kill()
        process.communicate()
        run = RunDirectory(path)
        rows = {str(row["cell"]) for row, _ in run.rows()}
        assert rows == run.completed()
        written = {file.stem for file in (path / "scores").glob("*.parquet")}
        assert rows <= written
        assert len(written - rows) <= 1
        n_before = len(rows)
    many = len(run.completed())
    undisturbed = tmp_path / "undisturbed"
    for folder in (path, undisturbed):
        write_cells(folder, many + 2)
    assert files_of(run) == files_of(RunDirectory(undisturbed))


# --- summarise


def test_summary_is_of_the_stored_scores_and_the_base(tmp_path: Path) -> None:
    run = examples.make(tmp_path / "run")
    table: Any = run.cells().set_index(["model", "haystack", "snr_db", "position", "length_s"])
    alone = run.cells().query("length_s == 10")
    assert (alone["relative"] == 1).all()
    assert (alone["drop"] == 0).all()
    base = alone.set_index("model")["base_mAP"]
    assert alone.set_index("model")["mAP"].equals(base)
    row: Any = table.loc[("dass-nano", "babble", 10.0, 0.5, 50.0)]
    stored = run.read_scores(row["cell"])
    again = summary.cell_metrics(
        stored.targets,
        stored.logits,
        run.read_scores(str(alone.set_index("model")["cell"]["dass-nano"])).logits,
    )
    for name, value in again.items():
        assert row[name] == pytest.approx(value, nan_ok=True), name
    assert row["relative"] == pytest.approx(row["mAP"] / base["dass-nano"])
    assert row["drop"] == pytest.approx(1 - row["relative"])
    assert row["drop_lo"] < row["drop"] < row["drop_hi"]
    failed = run.cells().query("status == 'oom'")
    assert failed["mAP"].isna().all()


def test_only_what_changed_is_recomputed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples.make(tmp_path / "run")
    measured: list[object] = []
    true_metrics = summary.cell_metrics

    def counted(*arrays: Any, **more: Any) -> dict[str, float]:
        measured.append(arrays)
        return true_metrics(*arrays, **more)

    monkeypatch.setattr(summary, "cell_metrics", counted)
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        summarise(run)
        assert len(measured) == 0
        examples.add(run, 2.5, model="dass-nano", length_s=20.0)
        summarise(run)
        assert len(measured) == 1
        examples.add(run, 2.5, model="ast-sin-nano", haystack="none", position=None)
        summarise(run)  # a new base: all of that model's cells, not the other's
        others = run.cells().query("model == 'ast-sin-nano' and status == 'ok'")
        assert len(measured) == 1 + len(others)


def test_without_a_base_there_is_no_drop(tmp_path: Path) -> None:
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        examples.add(run, 2.0, length_s=50.0)
        examples.add(run, 2.0, length_s=10.0, model="another")
        examples.add(run, 2.0, length_s=10.0, window_s=10.0)
        summarise(run)
        row = run.cells().query("length_s == 50").iloc[0]
    assert row["mAP"] > row["chance_mAP"]
    assert np.isnan([row["base_mAP"], row["relative"], row["drop"], row["drop_lo"]]).all()
    assert row["mAP_lo"] < row["mAP_hi"]


def test_random_weights_have_no_accuracy(tmp_path: Path) -> None:
    run = examples.make(tmp_path / "run", {"models": {"dass-nano": {"random": True}}})
    table = run.cells()
    assert table["mAP"][table["model"] == "dass-nano"].isna().all()
    assert table["mAP"][table["model"] == "ast-sin-nano"].notna().any()


def test_other_clips_than_the_base_are_refused(tmp_path: Path) -> None:
    with RunDirectory.create_or_open(tmp_path / "run", examples.IDENTITY) as run:
        examples.add(run, 2.0)
        row = examples.row(length_s=20.0)
        run.write_scores(
            str(row["cell"]),
            examples.IDS[::-1],
            examples.LABELS,
            examples.logits(1.0),
            classes=examples.CLASSES,
        )
        run.write_rows([(row, None)])
        with pytest.raises(NiahError, match="different clips"):
            summarise(run)
