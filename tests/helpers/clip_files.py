"""Needle sets in small: tones as sound files and in Parquet shards, and sets as dictionaries."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from niah.needles import Needle, NeedleSet
from niah.vocabularies import vocabulary

AUDIOSET = vocabulary("audioset-527")


ESC10 = vocabulary("esc-10")


ESC50 = vocabulary("esc-50")


RATE = 16_000


def tone(frequency_hz: float = 440.0, seconds: float = 0.1) -> NDArray[np.float32]:
    t = np.arange(int(seconds * RATE)) / RATE
    return (0.5 * np.sin(2 * np.pi * frequency_hz * t)).astype(np.float32)


def write_tone(path: Path, frequency_hz: float = 440.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(frequency_hz), RATE)
    return path


def flac_bytes(tmp_path: Path, frequency_hz: float) -> bytes:
    return write_tone(tmp_path / "made.flac", frequency_hz).read_bytes()


def write_parquet(path: Path, columns: Mapping[str, Sequence[object]], group: int = 2) -> None:
    import pyarrow
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table(dict(columns)), path, row_group_size=group)


def by_id(needles: NeedleSet) -> dict[str, Needle]:
    return {needle.id: needle for needle in needles.needles}


def groups(needles: NeedleSet) -> dict[str, str]:
    return {needle.id: needle.group for needle in needles.needles}
