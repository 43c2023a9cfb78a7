"""The cost of a forward pass against the length of its input: latency, real-time factor, peak memory, roofline.

Every point (a model at a length) is measured on its own, on a CPU in a separate process: if it runs out of memory its
row has the status `oom`, and longer inputs of that model are not tried. Each row is written when it is measured; the
same command again resumes after the last one, retries errors, and measures anew what is of an edited model, another
version or another machine.

    latency_s    seconds of a forward pass a clip, from features on the device to scores in host memory: the median of
                 the repeats after warm-up
    rtf          seconds of audio a second of wall clock (higher is faster)
    peak_memory_bytes   of the CUDA allocator, else resident set of the process, weights and input included
"""

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from niah.bench.made_by import made_by
from niah.bench.measuring import measure as measure_point
from niah.bench.point import RATES, BenchPoint
from niah.errors import NiahError
from niah.system import atomic, spreadsheet
from niah.system.plurals import plural
from niah.system.text_tables import table_text
from niah.version import __version__

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "point", "model", "variant", "kernel", "length_s", "frames", "tokens", "batch_size", "window_s", "status",
    "latency_s", "latency_min_s", "rtf", "peak_memory_bytes", "loaded_memory_bytes", "matrix_gflop", "scan_gflop",
    "gbyte", "matrix_rate_gflops", "copy_rate_gbytes", "roofline_s", "roofline_share", "repeats", "warmup", "device",
    "dtype", "threads", "checkpoint_sha256", "niah_version", "error", "made_by",
)  # fmt: skip
_UNTIL_0_1 = COLUMNS[:-1]  # of folders that are there
_TEXTS = {"point": str, "made_by": str}


def bench(
    points: Sequence[BenchPoint],
    out: Path,
    report: Callable[[str], None],
    measure: Callable[[BenchPoint], dict[str, Any]] | None = None,
) -> "pd.DataFrame":
    """Measure the points that `out`/bench.csv lacks, shortest first; write bench.csv and machine.json.

    Args:
        points: what to measure.
        out: the folder of both files.
        report: gets a line before each measurement.
        measure: returns the row of one point; by default `niah.bench.measuring.measure`.

    Returns:
        The rows of `points`, with `COLUMNS`.
    """
    measure = measure or measure_point
    _refuse_foreign(out)
    points, device_names = _by_device(points)
    with atomic.one_line_os_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    now = {point.key: made_by(point) for point in points}
    stored = [row for row in read(out / "bench.csv") if row["status"] != "error"]
    rows = [row for row in stored if row["made_by"] == now.get(row["point"], row["made_by"])]
    measured = {row["point"] for row in rows} & set(now)
    if len(rows) < len(stored):
        report(
            f"{plural(len(stored) - len(rows), 'row')} of {out / 'bench.csv'} measured anew: the model's files, the "
            "version or the machine have changed"
        )
    if measured:
        report(
            f"{plural(len(measured), 'point')} of {len(now)} measured before, in {out / 'bench.csv'}"
        )
    rates: dict[str, Any] = {}
    for point in sorted(points, key=lambda p: (p.length_s, p.tokens)):
        if point.key in measured:
            continue
        rate_key = f"{device_names[point.device]} {point.dtype}"
        if rate_key not in rates:
            report(f"measuring this machine's rates ({rate_key})")
            rates[rate_key] = measure(_rates_point(point))
            _write_machine(out / "machine.json", rate_key, rates[rate_key])
        report(point.name)
        row = _too_long(point, points, rows) or measure(point)
        rates_here = rates[rate_key].get("rates", {})
        row = {"device": device_names[point.device], **row, "made_by": now[point.key]}
        rows.append(_row(point, row, rates_here))
        write(out / "bench.csv", rows)
    return frame(row for row in rows if row["point"] in {point.key for point in points})


def _refuse_foreign(out: Path) -> None:
    """Refuse to write over files that no `niah bench` has made.

    Raises:
        NiahError: there is one.
    """
    machine = out / "machine.json"
    if machine.is_file() and "rates" not in atomic.read_json(machine):
        raise NiahError(f"{machine} is no `niah bench`'s and would be lost: give another --out")
    for name in ("bench.md", "efficiency.png"):
        if (out / name).exists() and not (out / "bench.csv").exists():
            raise NiahError(
                f"{out / name} is no `niah bench`'s (there is no bench.csv) and would be lost: give another --out"
            )


def _by_device(points: Iterable[BenchPoint]) -> tuple[list[BenchPoint], dict[str, str]]:
    """Return the points with "auto" for the name of the device that it stands for, and each name's device.

    One that is named and one that is chosen are then the same point, and not measured twice.
    """
    from niah.adapters.loading import choose_device

    usual = choose_device("auto")
    points = [
        replace(point, device="auto") if choose_device(point.device) == usual else point
        for point in points
    ]
    names = {point.device for point in points}
    return points, {name: str(choose_device(name)) for name in names}


def frame(rows: Iterable[dict[str, Any]]) -> "pd.DataFrame":
    """Return rows as a table with `COLUMNS`."""
    import pandas as pd

    return pd.DataFrame(list(rows), columns=list(COLUMNS))


def write(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows to a bench.csv."""
    with atomic.atomic_write(file) as stream:
        stream.write(spreadsheet.frame_text(frame(rows)).encode())


def read(file: Path) -> list[dict[str, Any]]:
    """Read the rows of a bench.csv; an empty list if there is none.

    Raises:
        NiahError: the file cannot be read, or is of another version.
    """
    if not file.exists():
        return []
    import pandas as pd

    try:
        table = pd.read_csv(file, dtype=_TEXTS)
        if tuple(table.columns) not in (COLUMNS, _UNTIL_0_1):  # saved again by another program
            text, delimiter = table_text(file)
            table = pd.read_csv(io.StringIO(text), sep=delimiter, dtype=_TEXTS)
    except (ValueError, OSError, NiahError) as error:
        raise NiahError(
            f"{file} cannot be read: {error}; move it away, or give another --out"
        ) from error
    if tuple(table.columns) not in (COLUMNS, _UNTIL_0_1):
        raise NiahError(f"{file} has other columns than this version's: give another --out")
    if "made_by" not in table:
        table["made_by"] = ""
    return [
        {str(k): spreadsheet.unguarded(v) if isinstance(v, str) else v for k, v in row.items()}
        for row in table.to_dict("records")
    ]


def _row(point: BenchPoint, measured: dict[str, Any], rates: dict[str, float]) -> dict[str, Any]:
    row = {**asdict(point), "point": point.key, "niah_version": __version__, **measured}
    if "matrix_gflop" in row and rates:
        row["matrix_rate_gflops"] = rates["matrix_flops"] / 1e9
        row["copy_rate_gbytes"] = rates["copy_bytes"] / 1e9
        row["roofline_s"] = max(
            row["matrix_gflop"] / row["matrix_rate_gflops"], row["gbyte"] / row["copy_rate_gbytes"]
        )
        if row.get("latency_s"):
            row["roofline_share"] = row["roofline_s"] / row["latency_s"]
    return {name: row.get(name) for name in COLUMNS}


def _too_long(
    point: BenchPoint, points: Sequence[BenchPoint], rows: Sequence[dict[str, Any]]
) -> dict[str, Any] | None:
    """Return a row for a point that is longer than one that ran out of memory, else None."""
    same = {p.key: p for p in points if p.series == point.series}
    for row in rows:
        if row["status"] == "oom" and row["point"] in same:
            shorter = same[row["point"]].name
            return {"status": "oom", "error": f"not tried: out of memory at {shorter}"}
    return None


def _rates_point(point: BenchPoint) -> BenchPoint:
    return BenchPoint(RATES, 0.0, device=point.device, dtype=point.dtype)


def _write_machine(file: Path, key: str, machine: dict[str, Any]) -> None:
    known = atomic.read_json(file) if file.exists() else {}
    rates = {**known.get("rates", {}), key: machine.get("rates")}
    atomic.write_json(file, {**machine, "rates": rates})
