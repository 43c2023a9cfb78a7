"""Lists as long as AudioSet's open in seconds, in half the memory of as many objects."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

CLIPS = 2_000_000
OPEN = """
import resource, sys, time
from niah.needles import load_needles
from niah.training.data.labels import SparseLabels
from niah.vocabularies import vocabulary
begin = time.process_time()
needles = load_needles(sys.argv[1], vocabulary=vocabulary("audioset-527"))
labels = SparseLabels.from_needles(needles)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(len(needles), len(labels.classes), round(time.process_time() - begin, 1), round(peak, 2), needles.ids_sha256)
"""


@pytest.mark.slow
def test_two_million_clips_open(tmp_path: Path) -> None:
    """A table by column, .arrow and .csv: seconds of the processor, and peak memory of the process."""
    paths = [f"audio/{k:011d}.flac" for k in range(CLIPS)]
    labels = [["/m/09x0r", "/m/04rlf"][: 1 + k % 2] for k in range(CLIPS)]
    arrow, text = tmp_path / "clips.arrow", tmp_path / "clips.csv"
    table = pa.table({"path": paths, "labels": labels})
    with pa.OSFile(str(arrow), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    with text.open("w") as stream:
        stream.write("path,labels\n")
        stream.writelines(f"{p},{';'.join(each)}\n" for p, each in zip(paths, labels, strict=True))
    hashes = set()
    for file, most_gib in ((arrow, 1.3), (text, 1.4)):
        command = [sys.executable, "-c", OPEN, str(file)]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        assert [int(n) for n in out[:2]] == [CLIPS, CLIPS * 3 // 2]
        print(f"{file.name}: {CLIPS:,} clips, {out[2]} s, {out[3]} GiB")
        assert float(out[2]) < 30
        assert float(out[3]) < most_gib
        hashes.add(out[4])
    assert len(hashes) == 1
