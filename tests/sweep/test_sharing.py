"""Several processes on one run directory: no cell twice, none lost, the table of one process."""

import dataclasses
import json
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from niah.errors import NiahError
from niah.records.parts import Part, Slicing, joined, read_part, write_part
from niah.records.run_directory import RunDirectory
from niah.sweep import evaluator
from niah.sweep.loop import sweep
from niah.sweep.options import RunOptions
from niah.sweep.pace import Pace
from niah.sweep.share import Share
from tests.helpers import tiny
from tests.helpers.preloaded import Preloaded, Process
from tests.helpers.tiny_sweep import Material, cells_of

LENGTHS = [10, 12, 14, 16, 18, 20]
FORWARDS = 6 * (
    1 + 2 * (len(LENGTHS) - 1)
)  # six clips: the base, and two haystacks at the other lengths
PROGRAM = """
import json, os, sys, time
from pathlib import Path
os.environ["TINY_LOG"] = sys.argv[1]
from niah.sweep import loop
from niah.sweep.options import RunOptions
from niah.sweep.share import Share
from niah.cli.machines import end_on_sigterm
options = RunOptions(**{k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(sys.argv[2]).items()})
options = loop.replace(options, out=Path(options.out))
all_cells = loop._Sweep.all_cells
def together(self):  # none begins before all have joined
    ready = options.out.with_suffix(".ready")
    ready.mkdir(exist_ok=True)
    (ready / str(os.getpid())).touch()
    while len(list(ready.iterdir())) < int(sys.argv[4]):
        time.sleep(0.01)
    all_cells(self)
if int(sys.argv[4]) > 1:
    loop._Sweep.all_cells = together
with end_on_sigterm():
    result = loop.run_sweep(options, lambda text: print(text, file=sys.stderr), Share.parse(sys.argv[3]))
print(json.dumps(result.still_working))
"""


def start(
    preloaded: Preloaded,
    material: Material,
    card: Path,
    out: Path,
    *,
    shard: str = "",
    together: int = 1,
    haystacks: tuple[str, ...] = ("zero", "gaussian"),
) -> Process:
    """Start a sweep in a process of its own, which begins when `together` processes have joined."""
    options = {
        "models": [str(card)],
        "checkpoint": str(material.weights),
        "needles": str(material.clips),
        "haystacks": haystacks,
        "lengths_s": LENGTHS,
        "protocol": "dass-v1",
        "device": "cpu",
        "out": str(out),
    }
    arguments = out.with_suffix(".log"), json.dumps(options), shard, together
    return preloaded.start(PROGRAM, *arguments)


def wait_for_rows(out: Path, count: int, *processes: Process) -> None:
    deadline = time.monotonic() + 300
    while len(list((out / "cells").glob("*.json"))) < count:
        ended = [each.poll() for each in processes]
        assert None in ended, [each.communicate() for each in processes]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def wait_until_together(out: Path, count: int) -> None:
    """Wait until all have joined; one that is killed before would be waited for by the others."""
    deadline = time.monotonic() + 300
    while len(list(out.with_suffix(".ready").glob("*"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def scored(out: Path) -> Counter[str]:
    """Number of scenes that were scored, by length in frames."""
    lines = out.with_suffix(".log").read_text().splitlines()
    return Counter(line.split()[1] for line in lines)


@pytest.fixture(scope="module")
def slow(material: Material) -> Path:
    return tiny.card(material.folder / "slow", delay_s=0.02)


@pytest.fixture(scope="module")
def alone(material: Material, slow: Path) -> Path:
    """The run of one process."""
    out = material.folder / "alone"
    material.run(out, models=str(slow), lengths=LENGTHS)
    return out


def assert_equal_runs(out: Path, alone: Path) -> None:
    pd.testing.assert_frame_equal(cells_of(out), cells_of(alone))
    for file in sorted((alone / "scores").iterdir()):
        assert (out / "scores" / file.name).read_bytes() == file.read_bytes()
    parts = {"cells", "cells.csv", "run.json", "scores", "figures", "report.html"}
    parts |= {"tables.md", "tables.csv", "tables.tex"}
    assert {file.name for file in out.iterdir()} <= parts
    assert not [file for file in out.rglob("*") if file.name.endswith(".tmp")]


@pytest.mark.parametrize("shards", [["", "", ""], ["1/3", "2/3", "3/3"]])
def test_three_processes_share_a_run(
    shards: list[str],
    preloaded: Preloaded,
    material: Material,
    slow: Path,
    alone: Path,
    tmp_path: Path,
) -> None:
    """By accident (the same command three times) and on purpose (shards): each scene is scored once."""
    out = tmp_path / "out"
    processes = [start(preloaded, material, slow, out, shard=shard, together=3) for shard in shards]
    output = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], output
    assert_equal_runs(out, alone)
    assert scored(out).total() == FORWARDS
    assert len({line.split()[0] for line in out.with_suffix(".log").read_text().splitlines()}) > 1
    assert "also at work in" in " ".join(err for _, err in output)
    waiting = [json.loads(stdout) for stdout, _ in output]
    assert [] in waiting  # the last one
    if not shards[0]:
        assert waiting == [[], [], []]


def test_shards_in_folders_of_their_own_do_their_own_cells_alone(
    material: Material, slow: Path, tmp_path: Path
) -> None:
    keys: list[str] = []
    for number in (1, 2):
        options = RunOptions(
            models=(str(slow),),
            checkpoint=str(material.weights),
            needles=str(material.clips),
            haystacks=("zero",),
            lengths_s=(10.0, 12.0, 14.0),
            protocol="dass-v1",
            device="cpu",
            out=tmp_path / str(number),
        )
        keys += list(sweep(options, share=Share(number, 2))["cell"])
    assert len(keys) == len(set(keys)) == 3


def one_killed_and_finished(
    preloaded: Preloaded, material: Material, slow: Path, alone: Path, out: Path, seed: int
) -> None:
    """Kill one of two processes at a moment that the seed chooses; the other one finishes its cells too."""
    rng = random.Random(seed)
    processes = [start(preloaded, material, slow, out, together=2) for _ in range(2)]
    wait_until_together(out, 2)
    wait_for_rows(out, rng.randrange(8), *processes)
    time.sleep(rng.uniform(0.0, 0.3))
    victim = rng.randrange(2)
    processes[victim].kill()
    processes[victim].communicate()
    _, stderr = processes[1 - victim].communicate()
    assert processes[1 - victim].returncode == 0, stderr
    assert_equal_runs(out, alone)
    assert scored(out).total() <= FORWARDS + 6  # what the dead one had in work is done again


@pytest.mark.parametrize("seed", range(1))
def test_the_other_process_finishes_what_a_killed_one_left(
    preloaded: Preloaded, material: Material, slow: Path, alone: Path, tmp_path: Path, seed: int
) -> None:
    one_killed_and_finished(preloaded, material, slow, alone, tmp_path / "out", seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 21))
def test_the_other_process_finishes_at_any_moment(
    preloaded: Preloaded, material: Material, slow: Path, alone: Path, tmp_path: Path, seed: int
) -> None:
    one_killed_and_finished(preloaded, material, slow, alone, tmp_path / "out", seed)


def test_a_cell_that_always_kills_its_process_is_an_error_after_three(
    preloaded: Preloaded, material: Material, tmp_path: Path
) -> None:
    deadly, out = tiny.card(tmp_path, deadly=1400), tmp_path / "out"
    for _ in range(3):
        process = start(preloaded, material, deadly, out, haystacks=("zero",))
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    before = {file.name: file.read_bytes() for file in (out / "scores").iterdir()}
    assert len(before) == 2
    process = start(preloaded, material, deadly, out, haystacks=("zero",))
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    table = pd.read_csv(out / "cells.csv").set_index("length_s")
    assert dict(table["status"]) == {s: "error" if s == 14 else "ok" for s in LENGTHS}
    assert "died 3 times" in table["error"][14]
    assert table["mAP"].notna().sum() == len(LENGTHS) - 1
    for name, content in before.items():
        assert (out / "scores" / name).read_bytes() == content


def test_sigterm_gives_claims_back_at_once(
    preloaded: Preloaded, material: Material, slow: Path, alone: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = start(preloaded, material, slow, out)
    wait_for_rows(out, 2, process)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate()
    assert process.returncode == 143, stderr
    assert stderr.strip() == "niah: stopped; the same command goes on from what is finished"
    states = [json.loads(f.read_text())["state"] for f in out.glob("claims/*.json")]
    assert "working" not in states
    material.run(out, models=str(slow), lengths=LENGTHS)
    assert_equal_runs(out, alone)


def test_slices_of_a_long_cell_are_the_whole_bit_for_bit(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tiny.card(tmp_path, delay_s=0.05)
    out, whole = tmp_path / "out", tmp_path / "whole"
    monkeypatch.setattr(evaluator, "LEAST_AUDIO_S", 100.0)
    written: list[int] = []

    def noted(run: Path, unit: str, first: int, part: Part) -> None:
        written.append(first)
        write_part(run, unit, first, part)

    monkeypatch.setattr("niah.sweep.work.write_part", noted)
    options = RunOptions(
        models=(str(slow),),
        checkpoint=str(material.weights),
        needles=str(material.clips),
        haystacks=("gaussian",),
        lengths_s=(20.0,),
        protocol="dass-v1",
        device="cpu",
        batch_size=2,
        out=out,
    )
    sweep(options, share=Share(slice_s=0.1))
    assert set(written) == {0, 2, 4} or set(written) == {0, 4}  # how long a batch takes is forecast
    assert not (out / "parts").exists()
    monkeypatch.setenv("TINY_LOG", str(whole.with_suffix(".log")))
    sweep(dataclasses.replace(options, out=whole))
    # short at any pace: nothing is scored to forecast it (but one batch to see that passes at once give the same bits)
    assert set(scored(whole)) == {"1024", "2000"}
    assert all(6 <= scenes <= 8 for scenes in scored(whole).values())
    pd.testing.assert_frame_equal(cells_of(out), cells_of(whole))
    for file in (whole / "scores").iterdir():
        assert (out / "scores" / file.name).read_bytes() == file.read_bytes()


def test_a_torn_slice_is_not_believed(tmp_path: Path) -> None:
    import numpy as np

    part = Part(np.ones((4, 3), np.float32), 0.5, 7)
    write_part(tmp_path, "unit", 8, part)
    stored = read_part(tmp_path, "unit", range(8, 12))
    assert stored is not None
    assert (stored.latency_s, stored.peak_memory_bytes) == (0.5, 7)
    assert joined([stored, part]).logits.shape == (8, 3)
    assert read_part(tmp_path, "unit", range(8, 11)) is None  # of other clips
    (file,) = (tmp_path / "parts").iterdir()
    content = bytearray(file.read_bytes())
    for bit in range(0, 8 * len(content), 101):
        content[bit // 8] ^= 1 << bit % 8
        file.write_bytes(content)
        assert read_part(tmp_path, "unit", range(8, 12)) is None
        content[bit // 8] ^= 1 << bit % 8


def test_slices_start_at_whole_batches_and_have_every_clip_once() -> None:
    rng = random.Random(0)
    for _ in range(200):
        clips, batch = rng.randrange(1, 500), rng.randrange(1, 40)
        slicing = Slicing.of_seconds(clips, batch, rng.uniform(0.01, 3.0), rng.uniform(0.1, 60))
        if slicing is None:
            continue
        slices = slicing.slices()
        assert [clip for each in slices for clip in each] == list(range(clips))
        assert len(slices) > 1
        assert all(each.start % batch == 0 for each in slices)


def test_pace_follows_the_power_of_the_length() -> None:
    pace = Pace()
    assert pace.seconds(10) is None
    assert pace.most_seconds(10) is None
    pace.add(10, 2.0)
    assert pace.seconds(30) == pytest.approx(6.0)
    assert pace.most_seconds(9) is None
    assert pace.most_seconds(10) == 2.0
    pace.add(20, 8.0)
    pace.add(20, 9.0)
    assert pace.most_seconds(30) == pytest.approx(8.0 * 1.5**2)
    assert pace.seconds(80) == pytest.approx(8.0 * 4**2)
    assert pace.seconds(5) == pytest.approx(2.0 / 4)
    pace.add(40, 16.0)
    assert pace.seconds(80) == pytest.approx(32.0)
    assert pace.seconds(30) == pytest.approx(12.0)


@pytest.mark.parametrize(
    "text", ["3", "0/8", "9/8", "a/b", "1/", "/8", "-1/2", "1/2/3", "1/999999", "1/0"]
)
def test_a_wrong_shard_is_refused(text: str) -> None:
    with pytest.raises(NiahError, match="--shard"):
        Share.parse(text)


def test_an_unwritable_directory_is_one_line_and_the_same_command_goes_on(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write_scores = RunDirectory.write_scores
    calls = []

    def fails_once(self: RunDirectory, *arguments: object, **options: object) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise NiahError(f"cannot write to {out}: Read-only file system")
        write_scores(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(RunDirectory, "write_scores", fails_once)
    with pytest.raises(NiahError, match="Read-only"):
        material.run(out)
    before = {file.name for file in (out / "scores").iterdir()}
    assert len(before) == 2
    material.run(out)
    assert len(calls) == 3 + 3
    whole = tmp_path / "whole"
    material.run(whole)
    pd.testing.assert_frame_equal(cells_of(out), cells_of(whole))


@pytest.mark.slow
def test_two_that_share_are_as_fast_as_two_that_do_not(
    preloaded: Preloaded, material: Material, tmp_path: Path
) -> None:
    """Two workers on one directory score as many scenes a second, to 15 %, as two with a directory each.

    The tagger sleeps, so that other work on the machine counts for little.
    """
    card = tiny.card(tmp_path, delay_s=0.1)

    def seconds(outs: list[Path], shards: list[str]) -> float:
        processes = [
            start(preloaded, material, card, out, shard=shard, together=2)
            for out, shard in zip(outs, shards, strict=True)
        ]
        for process in processes:
            _, stderr = process.communicate()
            assert process.returncode == 0, stderr
        times = [
            float(line.split()[2])
            for out in set(outs)
            for line in out.with_suffix(".log").read_text().splitlines()
        ]
        assert len(times) == FORWARDS
        return max(times) - min(times)

    shared = tmp_path / "shared"
    together = seconds([shared, shared], ["", ""])
    # folders of one name share their start: each waits for the other's process
    apart = [tmp_path / name / "apart" for name in ("a", "b")]
    for out in apart:
        out.parent.mkdir()
        (out.parent / "apart.ready").symlink_to(tmp_path / "both.ready")
    (tmp_path / "both.ready").mkdir()
    alone = seconds(apart, ["1/2", "2/2"])
    print(f"{together:.1f} s on one directory, {alone:.1f} s on two")
    assert together < 1.15 * alone, (together, alone)
