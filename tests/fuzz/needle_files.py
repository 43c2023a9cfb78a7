"""Damaged lists of clips: JSON, CSV in its several layouts, AudioSet's segments, Parquet with sound; vocabularies."""

import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.mutations import changed_bytes, csv_file, json_file, recoded, text
from tests.fuzz.sounds import wav

MIDS = ("/m/068hy", "/m/07q6cd_", "/m/09x0r", "/m/04rlf")
NAMES = ("a", "b", "c")
_SEGMENTS = (("--4gqARaEJE", "0.000", "10.000"), ("abc", "30.000", "40.000"), ("xyz", "10", "20"))
_SECONDS = ("nan", "inf", "-inf", "1e400", "1e308", "-1", "1e-320", "1_0", "٣", "", " ", "9" * 400)
_TABLES: tuple[tuple[Sequence[str], Sequence[Sequence[str]]], ...] = (
    (("path", "labels"), [(f"{n}.wav", "/m/09x0r;/m/04rlf") for n in NAMES]),
    (("path", "label"), [(f"{n}.wav", "/m/068hy") for n in NAMES]),
    (("path", "label", "group", "licence"), [(f"{n}.wav", "Dog", f"g{n}", "CC") for n in NAMES]),
    (
        ("path", "label", "audioset_mid", "also_true_mids", "match"),
        [(f"{n}.wav", "dog", "/m/068hy", "/m/09x0r", "exact") for n in NAMES],
    ),
    (
        ("filename", "fold", "target", "category", "esc10"),
        [(f"{n}.wav", "4", "0", "dog", "True") for n in NAMES],
    ),
    (("fname", "labels", "mids"), [(n, "Dog", "/m/068hy,/m/09x0r") for n in NAMES]),
)


def sounds(folder: Path, names: Sequence[str] = NAMES) -> None:
    for name in names:
        (folder / f"{name}.wav").write_bytes(wav())


def ast_json(rng: Random, folder: Path) -> Path:
    sounds(folder)
    clips = [
        {"wav": f"{n}.wav", "labels": ",".join(rng.sample(MIDS, 2)), "video_id": n} for n in NAMES
    ]
    return _written(folder / "clips.json", json_file(rng, {"data": clips}))


def table(rng: Random, folder: Path) -> Path:
    sounds(folder)
    header, rows = rng.choice(_TABLES)
    name = rng.choice(("clips.csv", "clips.csv", "clips.csv", "eval.csv", "clips.tsv", "clips.txt"))
    return _written(folder / name, csv_file(rng, (header, *rows)))


def segments(rng: Random, folder: Path) -> Path:
    sounds(folder, ("--4gqARaEJE", "abc_30.000", "Yxyz_10_20"))
    rows = [[*each, f'"{",".join(rng.sample(MIDS, 2))}"'] for each in _SEGMENTS]
    for _ in range(rng.choice((0, 1, 1, 2))):
        column = rng.randrange(4)
        rng.choice(rows)[column] = rng.choice(_SECONDS) if column in (1, 2) else text(rng)
    head = rng.choice(
        (
            "# Segments csv created\n# num_ytids=3\n# YTID, start_seconds, end_seconds, positive_labels\n",
            "YTID,start_seconds,end_seconds,positive_labels\n",
            *("", "#\n", "# YTID\n# YTID\n"),
        )
    )
    content = recoded(rng, head + "".join(", ".join(row) + "\n" for row in rows))
    content = changed_bytes(rng, content) if rng.random() < 0.35 else content
    return _written(folder / "segments.csv", content)


def vocabulary(rng: Random, folder: Path) -> Path:
    rows = (("0", MIDS[0], "Dog"), ("1", MIDS[2], "Speech"), ("2", MIDS[3], "a, b"))
    kind = rng.random()
    if kind < 0.7:
        content = csv_file(rng, (("index", "mid", "display_name"), *rows))
    elif kind < 0.85:
        content = csv_file(
            rng, ((rng.choice(("label", "name", "mid")),), *((row[2],) for row in rows))
        )
    else:
        content = changed_bytes(rng, recoded(rng, "Dog\nSpeech\nMusic\n"))
    return _written(folder / rng.choice(("labels.csv", "labels.csv", "labels.txt")), content)


def parquet(rng: Random, folder: Path) -> Path:
    """A shard with other columns, or with damaged bytes: its footer in half of the cases."""
    content = _shard(rng) if rng.random() < 0.35 else _sound_shard(rng.random() < 0.5)
    kind = rng.random()
    if kind < 0.35:
        start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
        content = content[:start] + changed_bytes(rng, content[start:])
    elif kind < 0.65:
        content = changed_bytes(rng, content)
    return _written(folder / "shard.parquet", content)


@cache
def _sound_shard(is_audioset: bool) -> bytes:
    audio = [{"bytes": wav(bytes((k, 0, k, 3)) * 100), "path": "p"} for k in range(3)]
    if is_audioset:
        return _parquet(
            {
                "video_id": NAMES,
                "labels": [[MIDS[0]], [MIDS[2], MIDS[3]], [MIDS[0]]],
                "audio": audio,
            }
        )
    columns = {"filename": [f"{n}.wav" for n in NAMES], "fold": [1, 2, 3], "target": [0, 1, 2]}
    return _parquet(
        {**columns, "category": ["dog", "hen", "cat"], "esc10": [True, False, True], "audio": audio}
    )


def _parquet(columns: dict[str, Any]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = io.BytesIO()
    pq.write_table(pa.table(columns), content)
    return content.getvalue()


def _shard(rng: Random) -> bytes:
    """A well-formed Parquet file of columns of any types."""
    import pyarrow as pa

    rows = rng.choice((0, 1, 3, 3))

    def words() -> Any:
        return pa.array(
            [text(rng).encode("utf-8", "replace").decode() for _ in range(rows)], pa.string()
        )

    def sound(kind: Any) -> Any:
        each = (
            {"bytes": wav(), "path": "p"},
            {"bytes": None, "path": "p"},
            {"bytes": b"", "path": ""},
            None,
        )
        return pa.array(
            rng.choices(each, k=rows), pa.struct([("bytes", kind), ("path", pa.string())])
        )

    makers = (
        words,
        lambda: pa.array([[MIDS[0], text(rng).encode("utf-8", "replace").decode()]] * rows),
        lambda: pa.array([None] * rows, pa.string()),
        lambda: pa.array([1] * rows, pa.int64()),
        lambda: pa.array([MIDS[0]] * rows).dictionary_encode(),
        lambda: pa.array([[]] * rows, pa.list_(pa.string())),
        lambda: pa.array([b"\xff\xfe"] * rows, pa.binary()),
        lambda: pa.array([float("nan")] * rows),
        lambda: pa.array([2**62] * rows, pa.timestamp("us")),
        lambda: pa.array([[[["x"]]]] * rows),
        lambda: pa.array(
            [{"a": {"b": 1}}] * rows, pa.struct([("a", pa.struct([("b", pa.int64())]))])
        ),
    )
    names = (
        "video_id",
        "id",
        "filename",
        "fname",
        "labels",
        "category",
        "fold",
        "esc10",
        "group",
        "split",
    )
    columns = {name: rng.choice(makers)() for name in rng.sample(names, rng.randrange(1, 7))}
    columns.setdefault(rng.choice(("labels", "category")), words())
    columns.setdefault(rng.choice(("video_id", "filename")), words())
    if rng.random() < 0.95:
        columns["audio"] = rng.choice(
            (*(lambda: sound(pa.binary()),) * 4, lambda: sound(pa.large_binary()), *makers[:3])
        )()
    return _parquet(columns)


def _written(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    return file
