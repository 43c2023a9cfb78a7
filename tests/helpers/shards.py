"""Labelled sounds as tar shards in webdataset's layout and as Parquet shards with embedded files."""

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from tests.helpers import tiny


def encoded(index: int) -> bytes:
    """A tone of `tiny`, as FLAC."""
    content = io.BytesIO()
    soundfile.write(content, tiny.tone(index), tiny.SAMPLE_RATE, format="FLAC")
    return content.getvalue()


def tar_shard(path: Path, clips: Sequence[tuple[str, bytes, str]]) -> Path:
    """Write clips (name, sound, labels) to a tar file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as stream:
        for name, sound, labels in clips:
            for suffix, data in (("flac", sound), ("txt", labels.encode())):
                entry = tarfile.TarInfo(f"{name}.{suffix}")
                entry.size = len(data)
                stream.addfile(entry, io.BytesIO(data))
    return path


def parquet_shard(path: Path, clips: Sequence[tuple[str, bytes, str]]) -> Path:
    """Write clips (name, sound, labels) to a Parquet file, three rows a group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {
        "id": [name for name, _, _ in clips],
        "audio": [{"bytes": sound, "path": f"{name}.flac"} for name, sound, _ in clips],
        "labels": [labels.split(";") for _, _, labels in clips],
    }
    pq.write_table(pa.table(columns), path, row_group_size=3)
    return path


def shards(folder: Path, clips: int, shards: int, kind: str = "tar") -> Path:
    """Write tones with the labels of `tiny.manifest` to some shards; return their folder."""
    write = tar_shard if kind == "tar" else parquet_shard
    for shard in range(shards):
        numbers = range(shard, clips, shards)
        write(
            folder / f"{shard:03d}.{kind}",
            [(f"clip{k:02d}", encoded(k), tiny.IDS[k % len(tiny.IDS)]) for k in numbers],
        )
    return folder
