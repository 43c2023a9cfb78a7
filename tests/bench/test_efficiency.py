"""`niah bench`: operations counted as by hand, points in processes of their own, failures as rows, the claims."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from niah.adapters.loading import choose_device, load_model, takes_random_weights
from niah.adapters.network_adapter import NetworkAdapter
from niah.adapters.scan_choice import use_scan
from niah.adapters.sources import find_source
from niah.bench import claims, measuring
from niah.bench import report as efficiency_report
from niah.bench.bench import COLUMNS, bench, read
from niah.bench.measuring import _error_of
from niah.bench.point import PUBLISHED, RATES, BenchPoint
from niah.bench.roofline import work_of
from niah.cli import main
from niah.errors import NiahError
from niah.networks.dass.network import Dass
from tests.conftest import REPOSITORY
from tests.helpers import tiny

FLOAT = torch.float32


def network(name: str) -> torch.nn.Module:
    adapter = load_model(name, "random")
    assert isinstance(adapter, NetworkAdapter)
    return adapter.network


def test_models_without_a_card_have_points(tmp_path: Path) -> None:
    """A function of waveforms that crops to 4 s runs over windows, and no pass has an input that it had before."""
    (tmp_path / "heard.py").write_text(
        "from tests.helpers.waveform_tagger import PitchTagger\n\n\nclass Keeping(PitchTagger):\n    kept = []\n\n"
        "    def waveform_logits(self, waveforms):\n        self.kept.append(waveforms.clone())\n"
        "        return super().waveform_logits(waveforms)\n\n\ntagger = Keeping(fixed_seconds=4.0)\n"
    )
    point = BenchPoint(
        f"{tmp_path}/heard.py:tagger", 12.0, checkpoint="", repeats=2, warmup=1, device="cpu"
    )  # fmt: skip
    row = measuring.measure_point(point)
    assert row["status"] == "ok", row
    assert row["kernel"] == "waveform+window-max-hop2s"
    inputs = sys.modules["heard"].tagger.kept
    assert len(inputs) == 3 * 5  # windows at 0, 2, .. and 8 s in three passes
    assert not torch.equal(inputs[0], inputs[5])
    assert takes_random_weights(find_source("dass-small"))
    assert not takes_random_weights(find_source("yamnet"))
    assert not takes_random_weights(find_source(point.model, point.request))


def test_the_keys_of_points_stay_what_they_were() -> None:
    """Rows of folders that are there are resumed: settings of models without a card count where they are set."""
    plain = BenchPoint("dass-small", 10.0)
    assert plain.key == "c4eaaae635ca9726"
    assert BenchPoint("dass-small", 10.0, labels="esc-50").key != plain.key


def multiply_adds_of_dass(network: Dass, frames: int) -> int:
    """By hand, of the blocks: in, out and x projections, MLP, depthwise; and of the convolutions between."""
    config, total = network.config, 0
    columns, rows, channels = frames, 128, 1
    for width in config.stem:
        columns, rows = -(-columns // 2), -(-rows // 2)
        total += columns * rows * 9 * channels * width
        channels = width
    for stage, (depth, width) in enumerate(zip(config.depths, config.dims, strict=True)):
        if stage:
            columns, rows = -(-columns // 2), -(-rows // 2)
            total += columns * rows * 9 * config.dims[stage - 1] * width
        rank = width // 16
        total += depth * columns * rows * width * (2 * width + 8 * width + 4 * (rank + 2) + 9)
    return total + config.dims[-1] * config.classes


@pytest.mark.parametrize("name", ["dass-small", "dass-medium"])
def test_operations_of_dass_are_those_counted_by_hand(name: str) -> None:
    dass = network(name)
    assert isinstance(dass, Dass)
    work = work_of(dass, 1, 1024, 128, FLOAT)
    assert work.matrix_flop == pytest.approx(2 * multiply_adds_of_dass(dass, 1024), rel=1e-6)
    maps = sum(
        depth * width * 256 * 32 / 4**stage
        for stage, (depth, width) in enumerate(
            zip(dass.config.depths, dass.config.dims, strict=True)
        )
    )
    assert work.scan_flop == 80 * maps
    long = work_of(dass, 1, 16 * 1024, 128, FLOAT)
    assert long.matrix_flop == pytest.approx(16 * work.matrix_flop, rel=1e-3)


def test_operations_of_a_transformer_grow_with_the_square() -> None:
    ast = network("ast-sin-base")
    width, layers, tokens = 768, 12, 2 + 12 * 101
    work = work_of(ast, 1, 1024, 128, FLOAT)
    whole = 2 * 12 * width**2 * tokens + 2 * 2 * tokens**2 * width
    keys_and_values = 2 * 2 * width**2 * tokens  # of the last layer, which is read at two tokens
    patches = 2 * (tokens - 2) * 256 * width
    wanted = (layers - 1) * whole + keys_and_values + patches
    assert work.matrix_flop == pytest.approx(wanted, rel=1e-2)


@pytest.mark.parametrize(
    ("name", "mels"), [("dass-small", 128), ("audio-mamba", 64), ("aum-tiny", 128)]
)
def test_bytes_grow_with_what_is_read(name: str, mels: int) -> None:
    one = network(name)
    weights = 4 * sum(p.numel() for p in one.parameters())
    short, long = (work_of(one, 1, frames, mels, FLOAT) for frames in (1024, 2048))
    assert short.bytes > 1.5 * weights  # the maps between its blocks too
    assert long.bytes - weights == pytest.approx(2 * (short.bytes - weights), rel=0.05)


def test_counting_a_day_takes_no_memory_and_leaves_the_network_alone() -> None:
    dass = network("dass-nano")
    before = [p.clone() for p in dass.parameters()]
    day = work_of(dass, 1, 8_640_000, 128, FLOAT)
    assert day.bytes > 5e10
    assert all(torch.equal(a, b) for a, b in zip(before, dass.parameters(), strict=True))
    assert dass(torch.zeros(1, 64, 128)).device.type == "cpu"


class Fake:
    """Measures nothing; runs out of memory from `limit_s` on."""

    def __init__(self, limit_s: float = 1e9) -> None:
        self.limit_s = limit_s
        self.asked: list[str] = []

    def __call__(self, point: BenchPoint) -> dict[str, Any]:
        self.asked.append(point.name)
        if point.model == RATES:
            return {"rates": {"matrix_flops": 2e9, "copy_bytes": 4e9}}
        if point.length_s >= self.limit_s:
            return {"status": "oom", "error": "out of memory"}
        return {"status": "ok", "latency_s": 2.0, "matrix_gflop": 1.0, "gbyte": 4.0}


def points(*lengths_s: float, model: str = "a") -> list[BenchPoint]:
    return [BenchPoint(model, length_s) for length_s in lengths_s]


def no_words(_: str) -> None:
    pass


def test_the_same_bench_again_measures_only_what_is_new(tmp_path: Path) -> None:
    first, second = Fake(), Fake()
    bench(points(10, 50), tmp_path, no_words, first)
    table = bench(points(10, 50, 300), tmp_path, no_words, second)
    assert first.asked == ["rates 0 s", "a 10 s", "a 50 s"]
    assert second.asked == ["rates 0 s", "a 300 s"]
    assert list(table["length_s"]) == [10, 50, 300]
    assert set(table["roofline_s"]) == {1.0}  # 4 GB at 4 GB/s against 1 GFLOP at 2 GFLOP/s
    assert set(table["roofline_share"]) == {0.5}
    third = Fake()
    bench([BenchPoint("a", 10, batch_size=2)], tmp_path, no_words, third)
    assert "a 10 s" in third.asked  # another batch is another point


def test_an_edited_model_and_rows_of_another_machine_are_measured_anew(tmp_path: Path) -> None:
    """By what lies beside the model; rows of points that the command does not name stay."""
    out, model = tmp_path / "out", tmp_path / "model" / "tagger.py"
    model.parent.mkdir()
    model.write_text("def tagger(x): ...\n")
    mine = points(10, model=f"{model}:tagger")
    notes: list[str] = []
    bench([*points(10), *mine], out, no_words, Fake())
    model.write_text("def tagger(x): return 1\n")
    again = Fake()
    bench([*points(10), *mine], out, notes.append, again)
    assert again.asked == ["rates 0 s", mine[0].name]
    assert "1 row of" in notes[0]
    assert "1 point of 2 measured before" in notes[1]
    assert len(read(out / "bench.csv")) == 2
    lines = [line.rpartition(",")[0] for line in (out / "bench.csv").read_text().splitlines()]
    (out / "bench.csv").write_text("\n".join(lines))  # as until now, without what a row is of
    older = Fake()
    bench(mine, out, no_words, older)
    assert older.asked == again.asked
    assert [row["model"] for row in read(out / "bench.csv")] == ["a", mine[0].model]


def test_what_failed_is_tried_again(tmp_path: Path) -> None:
    def failing(point: BenchPoint) -> dict[str, Any]:
        return {"rates": {}} if point.model == RATES else {"status": "error"}

    bench(points(10), tmp_path, no_words, failing)
    again = Fake()
    table = bench(points(10), tmp_path, no_words, again)
    assert again.asked[-1] == "a 10 s"
    assert list(table["status"]) == ["ok"]


def test_what_is_longer_than_out_of_memory_is_not_tried(tmp_path: Path) -> None:
    fake = Fake(limit_s=50)
    table = bench([*points(300, 50, 10), *points(10, 300, model="b")], tmp_path, no_words, fake)
    assert "a 300 s" not in fake.asked
    rows = {(row["model"], row["length_s"]): row for row in table.to_dict("records")}
    assert rows["a", 300]["status"] == "oom"
    assert rows["a", 300]["error"] == "not tried: out of memory at a 50 s"
    assert rows["b", 300]["error"] == "out of memory"  # of its own


def test_a_csv_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bench.csv").write_text("model,latency\na,1\n")
    with pytest.raises(NiahError, match="other columns"):
        bench(points(10), tmp_path, no_words, Fake())


def test_a_killed_process_is_out_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shot = tmp_path / "python"
    shot.write_text(f"#!{sys.executable}\nimport os\nos.kill(os.getpid(), {int(signal.SIGKILL)})\n")
    shot.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(shot))
    assert measuring.measure_in_process(BenchPoint("a", 10))["status"] == "oom"


def test_refusals_and_lack_of_memory_are_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = tiny.card(tmp_path / "short", longest=512)
    row = measuring.measure_point(BenchPoint(str(short), 10.0))
    assert (row["status"], row["error"]) == ("error", "this tagger takes at most 512 frames")
    # 128 TiB for one output
    wide = tiny.card(tmp_path / "wide")
    monkeypatch.setattr(tiny.Network, "forward", lambda _, x: x.new_empty(len(x), 1 << 45))
    assert measuring.measure_point(BenchPoint(str(wide), 10.0))["status"] == "oom"


def test_as_published_is_full_attention_in_training_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, bool]] = []
    fused: Any = torch.backends.cuda.flash_sdp_enabled
    forward = tiny.Network.forward

    def watching(network: Any, x: torch.Tensor) -> torch.Tensor:
        seen.append((fused(), network.training))
        return forward(network, x)

    monkeypatch.setattr(tiny.Network, "forward", watching)
    card = str(tiny.card(tmp_path))
    row = measuring.measure_point(BenchPoint(card, 10.0, repeats=2, warmup=1))
    assert row["rtf"] == pytest.approx(10.0 / row["latency_s"])
    assert row["latency_min_s"] <= row["latency_s"]
    measuring.measure_point(
        BenchPoint(card, 10.0, variant=PUBLISHED, training=True, repeats=1, warmup=0)
    )
    # without data (operations are counted on the meta device) or with: warm-up, repeats, counting
    assert seen[:3] == [(True, False)] * 3
    assert seen[-2] == (False, True)


@pytest.mark.parametrize("name", ["ast-sin-nano", "ssamba-tiny"])
def test_as_many_tokens_as_asked(name: str) -> None:
    adapter = load_model(name, "random")
    assert isinstance(adapter, NetworkAdapter)
    frames = measuring._frames_of_tokens(adapter, 4096)
    count = measuring._tokens
    assert (count(adapter, frames) or 0) <= 4096 < (count(adapter, frames + 1) or 0)


def test_claims_are_ratios_of_the_rows() -> None:
    found = claims.claims(on_cpu=True)
    made = claims.points_of(found, "cpu", "float32", repeats=1)
    assert len(made) == 8
    assert {p.warmup for p in made if p.variant == PUBLISHED} == {0}
    assert {p.model for p in made if p.training} == {"ssamba-tiny", "ssast-tiny-patch"}
    rows: list[dict[str, Any]] = [
        {
            "model": p.model,
            "variant": p.variant,
            "batch_size": p.batch_size,
            "status": "ok",
            "latency_s": 3.2 if p.model.startswith("as") else 2.0,
            "peak_memory_bytes": 8.0 if p.model.startswith("s") else 1.0,
        }
        for p in made
    ]
    rows[-1]["status"] = "oom"
    _, lines = claims.table(found, rows)
    assert [line[3] for line in lines[:2]] == ["1.60 x", "1.60 x"]
    assert lines[0][4] == "1.60 x"
    assert lines[2][6] == "21.74 x"  # 95.4 % less memory
    assert lines[3][3] == "ssast-tiny-patch: oom"


def test_kernels_are_checked_before_they_are_set() -> None:
    dass, ast = (load_model(name) for name in ("dass-nano", "ast-sin-nano"))
    use_scan(dass, "chunked")
    assert dass.kernel.startswith("scan-chunked")
    use_scan(ast, "auto")
    with pytest.raises(NiahError, match="has no scan to choose"):
        use_scan(ast, "cpu")
    with pytest.raises(NiahError, match=r"unknown kernel 'tritn'\. Did you mean 'triton'"):
        use_scan(dass, "tritn")


def niah(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run `niah bench ARGUMENTS` in this process; return its exit status."""
    monkeypatch.setattr(sys, "argv", ["niah", "bench", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code if isinstance(stop.value.code, int) else 0


def test_the_command_measures_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The machine's rates in a process of their own, as everything is; the two points in this one."""

    def here(point: BenchPoint) -> dict[str, Any]:
        return in_a_process(point) if point.model == RATES else measuring.measure_point(point)

    in_a_process = measuring.measure_in_process
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setattr("niah.bench.bench.measure_point", here)
    out = tmp_path / "out"
    short = tiny.card(tmp_path / "short", longest=1024)
    arguments = ("--model", tiny.card(tmp_path), "--model", short, "--lengths", "20")
    assert niah(monkeypatch, *arguments, "--repeats", "2", "--out", out) == 1
    assert "1 point failed" in capfd.readouterr().err
    rows = (out / "bench.csv").read_text().splitlines()
    assert rows[0] == ",".join(COLUMNS)
    assert len(rows) == 3
    machine = json.loads((out / "machine.json").read_text())
    device = str(choose_device("auto"))
    assert machine["rates"][f"{device} float32"]["matrix_flops"] > 1e8
    assert {row["device"] for row in read(out / "bench.csv")} == {device}  # of the refusal too
    assert machine["hardware"]["cores"] == os.cpu_count()
    text = (out / "bench.md").read_text()
    assert text.count("| ok |") == 1
    assert "this tagger takes at most 1024 frames" in text
    monkeypatch.setattr("niah.bench.bench.measure_point", lambda _: pytest.fail("measured again"))
    again = (*arguments[:2], *arguments[4:], "--repeats", "2", "--device", device, "--out", out)
    assert niah(monkeypatch, *again) == 0
    whole = (out / "bench.md").read_text()
    assert whole == text  # of all that the folder holds, not of the last command


def test_an_input_shorter_than_the_needle_is_measured(tmp_path: Path) -> None:
    row = measuring.measure_point(BenchPoint(str(tiny.card(tmp_path)), 2.5, repeats=1, warmup=0))
    assert (row["status"], row["frames"], row["length_s"]) == ("ok", 250, 2.5)


@pytest.mark.parametrize("name", ["machine.json", "bench.md", "efficiency.png"])
def test_files_of_the_user_are_not_written_over(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(NiahError, match=rf"{name} is no `niah bench`'s"):
        bench([BenchPoint("dass-nano", 10.0)], tmp_path, print, lambda _: {})
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_curves_need_two_lengths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NIAH_FIGURES")  # as for a user
    row = dict.fromkeys(COLUMNS) | {"model": "a", "variant": "fair", "dtype": "float32"}
    measured = {"status": "ok", "latency_s": 1.0, "peak_memory_bytes": 2**30, "length_s": 10.0}
    rows = [row | measured, row | {"status": "oom", "length_s": 50.0}]
    assert efficiency_report.draw(rows, tmp_path) is None
    figure = efficiency_report.draw([*rows, row | measured | {"length_s": 20.0}], tmp_path)
    assert figure is not None
    assert figure.read_bytes()[:4] == b"\x89PNG"
    kinds = sorted(each.suffix for each in tmp_path.glob("efficiency.*"))
    assert kinds == [".pdf", ".png", ".svg"]


def test_the_command_lists_without_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o"
    assert niah(monkeypatch, "--preset", "claims", "--dry-run", "--out", out) == 0
    assert "aum-base 4096 tokens (published)" in capfd.readouterr().out
    assert not out.exists()
    assert niah(monkeypatch, "--preset", "claim") == 2
    assert "--preset 'claim': unknown" in capfd.readouterr().err


def test_curves_are_named_by_what_differs() -> None:
    row = dict.fromkeys(COLUMNS) | {"model": "a", "variant": "fair", "dtype": "float32"}
    assert efficiency_report.series(row) == "a"
    row |= {"variant": "published", "dtype": "bfloat16", "window_s": 10.0, "batch_size": 4}
    assert efficiency_report.series(row) == "a, 10 s windows, batch 4, as published, bfloat16"
    rows = [row | {"device": device} for device in ("cpu", "cuda")]
    assert [line[0] for line in efficiency_report.lines(rows)] == [
        f"{efficiency_report.series(row)}, {device}" for device in ("cpu", "cuda")
    ]


def test_an_exception_of_several_lines_keeps_its_name() -> None:
    printed = (
        'Traceback (most recent call last):\n  File "x.py", line 1, in f\nValueError: bad\nthing\n'
    )
    assert _error_of(printed, 1) == "ValueError: bad thing"
    assert _error_of("cannot go on\n", 1) == "cannot go on"
    assert _error_of("", -11) == "exit status -11"
