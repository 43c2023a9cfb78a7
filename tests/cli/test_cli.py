"""The command line: one clear line and exit status 2 for bad input, nothing half-written, no torch to list."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from niah.cli import main
from niah.version import __version__
from tests.helpers import tiny


@dataclass(frozen=True)
class Answer:
    """What a command left: exit status and what it printed."""

    status: int
    stdout: str
    stderr: str

    def refusal(self) -> str:
        """The one line of a command that refused, without `niah: `."""
        assert self.status == 2, self
        assert "Traceback" not in self.stderr
        lines = self.stderr.splitlines()
        assert len(lines) == 1, self.stderr
        assert lines[0].startswith("niah: ")
        return lines[0].removeprefix("niah: ")


Niah = Callable[..., Answer]


@pytest.fixture
def niah(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Niah:
    """`niah ARGUMENTS` in this process."""

    def run(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["niah", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capfd.readouterr()
        code = caught.value.code
        return Answer(code if isinstance(code, int) else 0, out, err)

    return run


@dataclass(frozen=True)
class Material:
    """A card, weights and clips, and the arguments of a quick run on them."""

    folder: Path
    card: Path
    weights: Path
    clips: Path

    def run(self, out: Path, needles: Path | None = None) -> list[object]:
        return [
            *("run", "--model", self.card, "--checkpoint", self.weights),
            *("--needles", needles or self.clips, "--haystack", "zero", "--lengths", "10,12"),
            *("--device", "cpu", "--out", out),
        ]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("material")
    return Material(folder, tiny.card(folder), tiny.checkpoint(folder), tiny.manifest(folder))


# --- the main job


def test_run_ends_with_the_table_the_figures_and_the_page(
    niah: Niah, material: Material, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    answer = niah(*material.run(out))
    assert (answer.status, answer.stderr) == (0, "")
    assert "tiny" in answer.stdout
    for name in ("tables.md", "figures", "report.html"):
        assert str(out / name) in answer.stdout
        assert (out / name).exists()
    assert list((out / "figures").glob("*.png"))


def test_dry_run_lists_cells_and_writes_nothing(
    niah: Niah, material: Material, tmp_path: Path
) -> None:
    answer = niah(*material.run(tmp_path / "out"), "--dry-run")
    assert answer.status == 0
    assert answer.stdout.splitlines() == [
        "tiny, needle alone",
        "tiny, zero, 12 s, position 0.5",
        "2 cells, 0 of them done already; nothing was run",
    ]
    assert not (tmp_path / "out").exists()


def test_dry_run_lists_what_is_done(niah: Niah, material: Material, tmp_path: Path) -> None:
    arguments = material.run(tmp_path / "out")
    niah(*arguments)
    answer = niah(*arguments, "--lengths", "12,20", "--dry-run")
    assert answer.stdout.splitlines() == [
        "tiny, needle alone (done)",
        "tiny, zero, 12 s, position 0.5 (done)",
        "tiny, zero, 20 s, position 0.5",
        "3 cells, 2 of them done already; nothing was run",
    ]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--checkpoint", "nothere.pth"], "nothere.pth"),
        (["--needles", "nothere.csv"], "nothere.csv"),
        (["--haystack", "babbel"], "unknown haystack 'babbel'. Did you mean 'babble'"),
        (["--model", "dass-small", "--needles", "synthetic"], "label"),
    ],
)
def test_dry_run_refuses_what_the_run_would(
    given: list[str], told: str, niah: Niah, tmp_path: Path
) -> None:
    model = [] if "--model" in given else ["--model", "dass-nano"]
    answer = niah("run", *model, *given, "--limit", "2", "--out", tmp_path / "out", "--dry-run")
    assert answer.status == 2
    assert told in answer.stderr
    assert answer.stdout == ""


def test_a_failed_cell_is_exit_status_1(niah: Niah, material: Material, tmp_path: Path) -> None:
    card = tiny.card(tmp_path, "short", longest=1100)
    arguments = [card if each == material.card else each for each in material.run(tmp_path / "out")]
    answer = niah(*arguments)
    assert answer.status == 1
    assert (
        "note: short, zero, 12 s, position 0.5: error: this tagger takes at most 1100 frames"
        in (answer.stderr)
    )
    assert "1 cell failed" in answer.stderr.splitlines()[-1]
    assert (tmp_path / "out" / "report.html").exists()


def test_report_redoes_what_run_made(niah: Niah, material: Material, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = niah(*material.run(out))
    cells = (out / "cells.csv").read_bytes()
    tables = (out / "tables.md").read_bytes()
    (out / "tables.md").unlink()
    assert niah("report", out).stdout == first.stdout
    assert (out / "tables.md").read_bytes() == tables
    assert (out / "cells.csv").read_bytes() == cells


def test_verify_loads_and_runs(niah: Niah, material: Material) -> None:
    answer = niah(
        *("models", "verify", material.card, "--checkpoint", material.weights, "--lengths", "10,20")
    )
    assert answer.status == 0
    assert "tiny: loads strictly" in answer.stdout
    assert "20 s (2000 frames)" in answer.stdout


# --- bad clips: named, counted, listed; the run goes on

BAD = ("missing", "truncated", "silent", "zero-length", "zero-bytes", "nan", "text")


def spoil(path: Path, kind: str) -> None:
    samples = tiny.tone(20).astype(np.float32)
    if kind == "missing":
        path.unlink(missing_ok=True)
    elif kind == "truncated":
        soundfile.write(path, samples, tiny.SAMPLE_RATE)
        path.write_bytes(path.read_bytes()[:100_000])
    elif kind == "silent":
        soundfile.write(path, 0 * samples, tiny.SAMPLE_RATE)
    elif kind == "zero-length":
        soundfile.write(path, samples[:0], tiny.SAMPLE_RATE)
    elif kind == "zero-bytes":
        path.write_bytes(b"")
    elif kind == "nan":
        samples[800] = np.nan
        soundfile.write(path, samples, tiny.SAMPLE_RATE, subtype="FLOAT")
    else:
        path.write_text("This is no sound.\n" * 100)


@pytest.fixture
def spoilt(tmp_path: Path) -> Path:
    """Six good clips and one of every kind of bad one."""
    extra = [(f"{kind}.wav", tiny.IDS[0]) for kind in BAD]
    path = tiny.manifest(tmp_path / "clips", extra=extra)
    for kind in BAD:
        spoil(path.parent / f"{kind}.wav", kind)
    return path


def test_bad_clips_are_named_counted_and_listed(
    niah: Niah, material: Material, tmp_path: Path, spoilt: Path
) -> None:
    out = tmp_path / "out"
    answer = niah(*material.run(out, spoilt))
    assert answer.status == 0, answer.stderr
    assert answer.stderr.startswith("note: 7 of 13 clips left out: ")
    told = json.loads((out / "run.json").read_text())
    assert {clip["id"] for clip in told["excluded_clips"]} == set(BAD)
    for clip in told["excluded_clips"]:
        assert f"{clip['id']}.wav" in clip["reason"]
        assert "\n" not in clip["reason"]
    reasons = {clip["id"]: clip["reason"] for clip in told["excluded_clips"]}
    for kind, word in (
        *(("missing", "no such file"), ("truncated", "truncated"), ("silent", "silent")),
        *(("zero-length", "no samples"), ("zero-bytes", "0 bytes"), ("nan", "NaN")),
        ("text", "not a sound file"),
    ):
        assert word in reasons[kind]
    assert set(pd.read_csv(out / "cells.csv")["n_clips"]) == {6}
    assert "missing.wav" in (out / "report.html").read_text()


@pytest.mark.parametrize("kind", BAD)
def test_strict_stops_at_a_bad_clip(
    niah: Niah, material: Material, tmp_path: Path, kind: str
) -> None:
    clips = tiny.manifest(tmp_path / "clips", 1, [(f"{kind}.wav", tiny.IDS[0])])
    spoil(clips.parent / f"{kind}.wav", kind)
    told = niah(*material.run(tmp_path / "out", clips), "--strict").refusal()
    assert f"{kind}.wav: " in told
    assert not (tmp_path / "out").exists()


def test_no_clip_left_is_refused(niah: Niah, material: Material, tmp_path: Path) -> None:
    clips = tiny.manifest(tmp_path / "clips", 2)
    for file in clips.parent.glob("*.wav"):
        file.unlink()
    told = niah(*material.run(tmp_path / "out", clips)).refusal()
    assert told.startswith("none of the 2 clips of clips/clips.csv can be used; the first: ")
    assert not (tmp_path / "out").exists()


def test_stereo_and_8_khz_are_used_and_told(niah: Niah, material: Material, tmp_path: Path) -> None:
    clips = tiny.manifest(tmp_path / "clips", 3)
    sound = tiny.tone(0)
    soundfile.write(clips.parent / "clip00.wav", np.stack([sound, 0.5 * sound], 1), 16000)
    soundfile.write(clips.parent / "clip01.wav", tiny.tone(1, rate=8000), 8000)
    answer = niah(*material.run(tmp_path / "out", clips))
    assert answer.status == 0
    notes = sorted(answer.stderr.splitlines())
    assert notes == [
        "note: 1 clip: resampled from 8000 Hz (clip01)",
        "note: 1 clip: stereo averaged (clip00)",
    ]
    told = json.loads((tmp_path / "out" / "run.json").read_text())
    assert sorted(told["notes"]) == [note.removeprefix("note: ") for note in notes]
    assert set(pd.read_csv(tmp_path / "out" / "cells.csv")["n_clips"]) == {3}
    told = niah(*material.run(tmp_path / "strict", clips), "--strict").refusal()
    assert "refused under --strict" in told
    assert not (tmp_path / "strict").exists()


# --- wrong input


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("path,labels\n", "has a header but no rows"),
        ("file,labels\na.wav,/t/low\n", "lacks the column 'path'"),
        ("path,class\na.wav,/t/low\n", "lacks a column 'labels'"),
        ("path,labels\na.wav\n", "line 2: has 1 cells where the header has 2"),
        ("path,labels\na.wav,\n", "line 2: has no label"),
        ("path,labels\n,/t/low\n", "line 2: has no path"),
        (
            "path,labels\na.wav,/t/lo\n",
            "line 2: label '/t/lo' is not in vocabulary 'labels'. Did you mean '/t/low'",
        ),
        ("path,labels\na.wav,/t/low\na.wav,/t/low\n", "is listed twice"),
    ],
)
def test_a_malformed_manifest(
    niah: Niah, material: Material, tmp_path: Path, text: str, told: str
) -> None:
    clips = tmp_path / "clips.csv"
    clips.write_text(text)
    line = niah(*material.run(tmp_path / "out", clips)).refusal()
    assert str(clips) in line
    assert told in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("clips.json", b"{", "clips.json"),
        ("clips.json", b'{"data": 3}', "clips.json"),
        ("clips.json", b"[]", "clips.json"),
        ("clips.parquet", b"PAR1 or not", "clips.parquet"),
        ("clips.csv", b"\xff\xfe\x00\x01", "is not UTF-8 text"),
        ("clips.txt2", b"x", "must be a .json, .csv or .parquet file, or a folder"),
    ],
)
def test_needles_of_another_kind(
    niah: Niah, material: Material, tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    clips = tmp_path / name
    clips.write_bytes(content)
    assert told in niah(*material.run(tmp_path / "out", clips)).refusal()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--foo"], "No such option: --foo"),
        (["--model", "dass-nan"], "unknown model 'dass-nan'. Did you mean 'dass-nano'"),
        (["--haystack", "babbel"], "unknown haystack 'babbel'. Did you mean 'babble'"),
        (["--haystack", "no/where.wav"], "haystack no/where.wav: no such file"),
        (["--protocol", "dass-v2"], "protocol 'dass-v2': unknown. Did you mean 'dass-v1'"),
        (["--needles", "synthetik"], "needles synthetik: no such file or folder. Did you mean"),
        (["--needles", "no/where.csv"], "needles no/where.csv: no such file or folder"),
        (["--lengths", "5"], "length 5 s: shorter than the needle"),
        (["--lengths", "10,ten"], "'10,ten' must be numbers, separated by commas"),
        (["--lengths", ""], "at least one of lengths"),
        (["--positions", "1.5"], "position 1.5: must lie in [0, 1]"),
        (["--positions=-0.1"], "position -0.1: must lie in [0, 1]"),
        (["--snr", "loud"], "'loud' must be numbers"),
        (["--snr", "nan"], "--snr must be a number of decibels, got nan"),
        (["--limit", "0"], "--limit must be 1 or more"),
        (["--limit", "some"], "Invalid value for '--limit'"),
        (["--batch-size", "big"], "--batch-size must be 'auto' or a whole number, got 'big'"),
        (["--batch-size", "0"], "--batch-size"),
        (["--window", "0"], "--window"),
        (["--dtype", "float8"], "unknown dtype 'float8'"),
        (["--device", "cuda:99"], "device 'cuda:99' is not on this machine"),
        (["--haystack", "babble", "--babble", "nowhere.wav"], "nowhere.wav: no such file"),
        (["--checkpoint", "nowhere.pth"], "nowhere.pth"),
        (["--protocol", "dass-v1", "--haystack", "silence"], "'silence' is not part of dass-v1"),
        (["extra"], "extra"),
    ],
)
def test_wrong_options_of_run(
    niah: Niah,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["--model", "dass-nano", "--checkpoint", "random", "--device", "cpu", "--limit", "2"]
    given = ["--model", "dass-nano"] if "--checkpoint" in arguments else given
    given = given[2:] if "--model" in arguments else given
    given += [] if "--lengths" in arguments else ["--lengths", "12"]
    given += [] if "--haystack" in arguments else ["--haystack", "zero"]  # talkers take seconds
    line = niah("run", *given, "--out", "out", *arguments).refusal()
    assert told in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["rnu"], "No such command 'rnu'. Did you mean 'run'?"),
        (["report"], "Missing argument"),
        (["report", "nowhere"], "nowhere is not a run directory"),
        (["check", "nowhere"], "nowhere is no cells.csv and no run directory"),
        (["models", "show", "dass-smal"], "unknown model 'dass-smal'. Did you mean 'dass-small'"),
        (["models", "verify", "ast-sin-base"], "has no released weights: give --checkpoint FILE"),
        (["train", "dass-nan", "--out", "x"], "unknown recipe 'dass-nan'. Did you mean"),
        (["data", "verify", "nowhere.csv"], "needles nowhere.csv: no such file or folder"),
        (["data", "verify", "x.csv", "--labels", "audioset"], "vocabulary 'audioset' is unknown"),
        (["preview", "--needle", "no.wav", "--out", "x"], "no.wav: no such file"),
        (["preview", "--out", "x"], "Missing option '--needle'"),
    ],
)
def test_wrong_input_of_other_commands(
    niah: Niah,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert told in niah(*arguments).refusal()
    assert not list(tmp_path.iterdir())


def test_niah_alone_shows_the_commands(niah: Niah) -> None:
    answer = niah()
    assert answer.status == 0
    assert "preview" in answer.stdout
    assert answer.stderr == ""


def test_the_version_is_told(niah: Niah) -> None:
    assert niah("--version").stdout == f"niah {__version__}\n"


def test_the_help_of_run_has_the_usual_options_first(niah: Niah) -> None:
    shown = niah("run", "--help").stdout
    places = [
        shown.index(text) for text in ("--model  ", "--lengths  ", "--checkpoint  ", "--dtype  ")
    ]
    assert places == sorted(places)
    groups = ("Models and needles", "Scenes", "Sliding windows", "How it is run", "Further axes")
    assert all(group in shown for group in groups)


def test_a_checkpoint_of_another_shape_says_which_keys(
    niah: Niah, material: Material, tmp_path: Path
) -> None:
    arguments = material.run(tmp_path / "out")
    for weights, told in (
        (tiny.checkpoint(tmp_path, hidden=8), "hidden.weight is (8, 128), not (16, 128)"),
        (tiny.checkpoint(tmp_path, classes=5), "head.weight is (5, 16), not (3, 16)"),
    ):
        given = [weights if each == material.weights else each for each in arguments]
        line = niah(*given).refusal()
        assert str(weights) in line
        assert told in line
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(
    niah: Niah, material: Material, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    assert "is not empty and not a run" in niah(*material.run(tmp_path)).refusal()
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]
    line = niah(*material.run(tmp_path / "thesis.txt")).refusal()
    assert "is a file" in line
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_folder_of_another_run_is_left_alone(
    niah: Niah, material: Material, tmp_path: Path
) -> None:
    assert niah(*material.run(tmp_path)).status == 0
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    line = niah(*material.run(tmp_path), "--protocol", "dass-v1").refusal()
    assert "protocol is niah-v2.1 there, dass-v1 now" in line
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


# --- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB, where this process may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "niah-test", str(folder)]
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a full disk needs a small tmpfs: only root on Linux may mount one")
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a full disk needs a small tmpfs: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_one_line_and_the_rest_is_whole(
    niah: Niah, material: Material, small_disk: Path
) -> None:
    out = small_disk / "out"
    line = niah(*material.run(out), "--lengths", "12,13,14,15,16,17,18,19,20").refusal()
    assert "no space left" in line
    assert str(small_disk) in line
    assert not [file for file in out.rglob("*") if file.name.endswith(".tmp")]
    rows, scores = list(out.glob("cells/*.json")), list(out.glob("scores/*.parquet"))
    assert rows
    assert len(scores) >= len(rows)
    for file in rows:
        assert json.loads(file.read_text())["row"]["status"] == "ok"
    for file in scores:
        assert len(pd.read_parquet(file)) == 6


def test_a_full_cache_is_one_line(
    niah: Niah,
    material: Material,
    small_disk: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NIAH_CACHE", str(small_disk / "cache"))
    assert "no space left" in niah(*material.run(tmp_path / "out")).refusal()
    assert not (tmp_path / "out").exists()
    assert not [file for file in small_disk.rglob("*") if file.is_file()]


def test_a_disk_too_small_for_training_features_is_one_line(
    niah: Niah,
    material: Material,
    small_disk: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not a crash: they are written through a memory map."""
    monkeypatch.setenv("NIAH_CACHE", str(small_disk / "cache"))
    recipe = tmp_path / "recipe.toml"
    clips = f'train = "{material.clips}"\nvalidation = "{material.clips}"\n'
    recipe.write_text(f'model = "{material.card}"\n{clips}')
    assert "no space left" in niah("train", recipe, "--out", tmp_path / "out").refusal()
    assert not (tmp_path / "out").exists()
    left = {file.suffix for file in small_disk.rglob("*") if file.is_file()}
    assert left <= {
        ".json",
        ".npy",
        ".lock",
    }  # what the same command goes on from, nothing temporary


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE is POSIX")
def test_a_file_that_may_not_grow_is_one_line(
    niah: Niah, material: Material, tmp_path: Path
) -> None:
    """As a full disk does it, for those who may not mount one: no file may pass 2 KiB."""
    assert niah(*material.run(tmp_path / "first")).status == 0  # the cache is filled
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))
    try:
        line = niah(*material.run(tmp_path / "out")).refusal()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f"cannot write to {tmp_path / 'out'}" in line
    assert "too large" in line
    assert not list((tmp_path / "out").rglob("*.tmp"))


# --- what does not need torch does not import it

WITHOUT_TORCH = """
import sys
from niah.cli import main
for arguments in {commands!r}:
    sys.argv = ["niah", *arguments]
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, (arguments, stop.code)
    heavy = {{"torch", "timm", "librosa", "numba"}} & set(sys.modules)
    assert not heavy, (arguments, heavy)
"""


@pytest.fixture(scope="module")
def finished(material: Material) -> Path:
    import niah

    out = material.folder / "finished"
    niah.run(
        models=str(material.card),
        checkpoint=str(material.weights),
        needles=str(material.clips),
        haystack="zero",
        lengths=[10, 12],
        device="cpu",
        out=out,
    )
    return out


def test_reading_runs_never_imports_torch(finished: Path, cache: Path, tmp_path: Path) -> None:
    run = str(finished)
    commands = [["report", run], ["check", run, "--against", run], ["compare", run, run]]
    commands += [["leaderboard", run, "--out", str(tmp_path / "site")]]
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH.format(commands=commands)],
        env=tiny.environment(cache),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "site" / "index.html").is_file()


def test_the_listings_list_what_there_is(niah: Niah) -> None:
    models, haystacks = niah("models").stdout, niah("haystacks").stdout
    for name in ("dass-small", "dass-medium", "ast-interp", "dass-nano"):
        assert name in models
    for name in ("zero", "silence", "gaussian", "babble-official"):
        assert name in haystacks
    shown = niah("models", "show", "dass-medium").stdout
    assert "arXiv:2407.04082" in shown


# --- preview


@pytest.mark.parametrize("index", range(3))
def test_preview_equals_the_official_harness(
    niah: Niah, shared: Path, tmp_path: Path, index: int
) -> None:
    case = json.loads((shared / "golden" / "niah-official.json").read_text())["cases"][index]
    stem = "aum_" + case["wav"].removesuffix(".wav")
    answer = niah(
        "preview",
        *("--needle", shared / "data" / "audioset_like" / "audio" / f"{stem}.flac"),
        *("--haystack", case["noise"], "--snr", case["snr_db"]),
        *("--babble", shared / "data" / "babble" / "babble_all.wav"),
        *("--length", case["length_frames"] / 100, "--position", case["position"]),
        *("--protocol", "dass-v1", "--out", tmp_path / "out"),
    )
    assert answer.status == 0, answer.stderr
    assert len(answer.stdout.splitlines()) == 3
    features = np.load(tmp_path / "out" / "features.npy")
    assert features.dtype == np.float32
    assert features.shape == (case["out_frames"], 128)
    vectors = np.load(shared / "golden" / "niah-official.npz")
    rows, values = vectors[f"{case['name']}_rows"], vectors[f"{case['name']}_vals"]
    assert np.abs(features[rows] - values).max() < 2e-3
    assert np.linalg.norm(features) == pytest.approx(case["l2"], rel=1e-5)
    start = case["needle_start"]
    around = np.concatenate([features[:start], features[start + 1024 :]])
    if case["noise"] == "zero":
        assert not around.any()
    assert around.mean() == pytest.approx(case["haystack_mean"], abs=1e-4)
    assert features[start : start + 1024].mean() == pytest.approx(case["needle_mean"], abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--position", "1.5"], "position 1.5"),
        (["--length", "5"], "length 5 s: shorter than the needle"),
        (["--haystack", "babble", "--babble", "nowhere.wav"], "nowhere.wav: no such file"),
        (["--protocol", "niah-v3"], "Did you mean 'niah-v2'"),
        (["--protocol", "dass-v1", "--haystack", "silence"], "'silence' is not part of dass-v1"),
    ],
)
def test_preview_writes_nothing_for_wrong_input(
    niah: Niah, material: Material, tmp_path: Path, arguments: list[str], told: str
) -> None:
    needle = material.clips.parent / "clip00.wav"
    line = niah("preview", "--needle", needle, "--out", tmp_path / "out", *arguments).refusal()
    assert told in line
    assert not (tmp_path / "out").exists()
