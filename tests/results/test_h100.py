"""The page of the H100 says what its tables carry."""

import csv
import json
import re
from typing import Any

import pytest

from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "results" / "h100"
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
LENGTHS = {"10 s": 10, "50 s": 50, "300 s": 300, "1000 s": 1000, "1 h": 3600, "2.5 h": 9000}


def forward(name: str) -> dict[float, Any]:
    rows = json.loads((FOLDER / name).read_text(encoding="utf-8"))["rows"]
    return {row["seconds"]: row for row in rows}


def table() -> dict[int, list[float]]:
    rows = re.findall(r"^\| ([\d.]+ [sh]) \| (.*) \|$", PAGE, re.MULTILINE)
    return {
        LENGTHS[length]: [float(x.split()[0]) for x in rest.split(" | ")] for length, rest in rows
    }


def test_the_table_is_that_of_the_measurement() -> None:
    with (FOLDER / "official_dass.csv").open(newline="", encoding="utf-8") as file:
        rows = {float(row["length_s"]): row for row in csv.DictReader(file)}
    assert set(rows) == set(table())
    for length, (official, ours, ratio, official_gib, own_gib) in table().items():
        row = rows[length]
        assert official == pytest.approx(1e3 * float(row["official_s"]), rel=5e-3)
        assert ours == pytest.approx(1e3 * float(row["ours_s"]), rel=5e-3)
        assert ratio == pytest.approx(official / ours, abs=0.06)
        assert official_gib == pytest.approx(int(row["official_peak_bytes"]) / 2**30, rel=0.02)
        assert own_gib == pytest.approx(int(row["ours_peak_bytes"]) / 2**30, rel=0.02)
        assert float(row["difference"]) < 0.0045
    assert all(ratio >= 2 for length, (_, _, ratio, *_) in table().items() if length >= 300)


def test_sentences_have_their_figures() -> None:
    now, before = forward("forward.json"), forward("forward-before.json")
    assert now[9000]["ms"] == pytest.approx(357, abs=0.5)
    assert now[9000]["kernels"][0]["ms"] == pytest.approx(358, abs=0.5)
    assert now[86400]["ms"] == pytest.approx(3720, abs=5)
    assert now[86400]["peak_gib"] == pytest.approx(45.4, abs=0.05)
    assert [round(before[s]["ms"], 1) for s in (10, 300)] == [36.7, 106.9]
    assert round(before[9000]["ms"]) == 622
    assert all(row["equal_bits"] for row in now.values())
    parts = {kernel["name"]: kernel["ms"] for kernel in now[9000]["kernels"]}
    assert round(parts["_outputs"]) == 99
    assert round(parts["_line_pairs"]) == 42
    assert round(parts["_states"] + parts["_block_totals"]) == 13
    assert round(parts["_layer_norm"]) == 32
    assert round(parts["_depthwise_silu"]) == 20
    assert round(next(ms for name, ms in parts.items() if "Gelu" in name)) == 35


def test_the_operations_page_counts_with_it() -> None:
    page = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    _, ours, *_ = table()[9000]
    assert f"{round(9000 / (ours / 1e3), -2):,.0f}\nseconds of audio a second" in page
    assert f"take {20_000 * ours / 1e3 / 3600:.1f} hours" in page


SWEPT = {
    "zeros": ("zero", None),
    **{f"Gaussian noise, {snr} dB": ("gaussian", snr) for snr in (0, 10, 20)},
    **{f"babble, {snr} dB": ("babble", snr) for snr in (0, 10, 20)},
}


def rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_sweep_on_real_audio_is_that_of_the_cells() -> None:
    cells = rows("run/cells.csv")
    assert {row["model"] for row in cells} == {"ast-sin-small", "dass-small"}
    middle = {
        (
            row["haystack"],
            float(row["snr_db"]) if row["snr_db"] else None,
            float(row["length_s"]),
        ): row
        for row in cells
        if row["position"] in ("", "0.5") and row["model"] == "ast-sin-small"
    }
    found = re.findall(r"^\| ([\w ,]+) \| (0\.\d+) \| (0\.\d+) \| (0\.\d+) \|$", PAGE, re.MULTILINE)
    assert {name for name, *_ in found} == set(SWEPT)
    for name, *values in found:
        own = [middle[*SWEPT[name], length] for length in (50, 100, 300)]
        assert values == [f"{float(row['mAP']):.3f}" for row in own]
    assert f"{float(middle['none', None, 10]['chance_mAP']):.3f}" == "0.145"
    for length in (50, 100, 300):
        babble = middle["babble", 10, length]
        assert float(babble["mAP_lo"]) < float(babble["chance_mAP"])
    assert json.loads((FOLDER / "run" / "run.json").read_text())["hardware"]["gpu"].startswith(
        "NVIDIA H100"
    )


def in_zeros(row: dict[str, str]) -> str:
    """Write a cell as the page does."""
    score = f"{float(row['mAP']):.3f}"
    if row["haystack"] == "none":
        return f"{score} [{float(row['mAP_lo']):.3f}, {float(row['mAP_hi']):.3f}]"
    drop, most, least = (-100 * float(row[key]) for key in ("drop", "drop_hi", "drop_lo"))
    return f"{score} ({drop:+.0f} % [{most:+.0f}, {least:+.0f}])"


@pytest.mark.parametrize(("model", "lengths"), [("dass-small", 6), ("ast-sin-small", 4)])
def test_scores_in_zeros_are_those_of_the_cells(model: str, lengths: int) -> None:
    cells = [r for r in rows("run/cells.csv") if r["model"] == model]
    own = sorted(
        (r for r in cells if r["haystack"] in ("none", "zero")), key=lambda r: float(r["length_s"])
    )
    (line,) = re.findall(rf"^\| {model} \| (.*?)[ |]*$", PAGE, re.MULTILINE)
    assert line.split(" | ") == [in_zeros(row) for row in own]
    assert len(own) == lengths


def test_scores_in_noise_are_those_of_the_cells() -> None:
    files = {"dass-small": "noise/cells.csv", "ast-sin-small": "run/cells.csv"}
    lines = re.findall(
        r"^\| ([\w ]+), 10 dB \| (dass-small|ast-sin-small) \| (.*) \|$", PAGE, re.MULTILINE
    )
    assert len(lines) == 4
    for noise, model, values in lines:
        haystack, _ = SWEPT[f"{noise}, 10 dB"]
        own = [
            row
            for row in rows(files[model])
            if (row["model"], row["haystack"], row["snr_db"]) == (model, haystack, "10.0")
            and row["position"] in ("", "0.5")
        ]
        by_length = {float(row["length_s"]): row for row in own}
        shown = [
            "{:.3f} [{:.3f}, {:.3f}]".format(
                *(float(row[key]) for key in ("mAP", "mAP_lo", "mAP_hi"))
            )
            for row in (by_length[length] for length in (10.0, 50.0, 100.0))
        ]
        assert values.split(" | ") == shown


def test_dass_on_a_cpu_scores_in_zeros_as_on_the_card() -> None:
    scores = [
        {
            (r["haystack"], float(r["length_s"])): float(r["mAP"])
            for r in rows(file)
            if r["model"] == "dass-small"
        }
        for file in ("noise/cells.csv", "run/cells.csv")
    ]
    for length in (50.0, 100.0):
        cpu, card = (each["zero", length] for each in scores)
        assert abs(cpu - card) < 0.002


def test_dass_small_learnt_and_keeps_more() -> None:
    log = rows("dass-small.csv")
    (row,) = (
        r for r in rows("run/cells.csv") if r["model"] == "dass-small" and r["length_s"] == "3000.0"
    )
    base = float(row["base_mAP"])
    stale, fresh = (float(log[epoch - 1]["validation_mAP"]) for epoch in (83, 84))
    assert f"{stale:.3f} after epoch 83, and {fresh:.3f} after epoch 84" in PAGE
    assert float(log[-1]["averaged_mAP"]) == pytest.approx(base, abs=1e-6)
    assert (len(log), round(base, 3), round(100 * float(row["relative"]))) == (100, 0.911, 59)


def test_golden_vectors_hold_on_the_card() -> None:
    text = " ".join(PAGE.split())
    errors: dict[str, dict[str, float]] = {}
    for row in rows("goldens.csv"):
        assert row["ok"] == "True"
        of_dtype = errors.setdefault(row["dtype"], {})
        of_dtype[row["model"]] = max(float(row["error"]), of_dtype.get(row["model"], 0))
    single, half, short = (errors[dtype] for dtype in ("float32", "float16", "bfloat16"))
    assert (
        f"{len(single)} models in float32 (largest error {max(single.values()):.1e})"
        in text.replace("e-5", "e-05")
    )
    wide = short.pop("aum-base")
    assert (
        f"{len(short) + 1} in bfloat16 ({100 * wide:.1f} % of the largest logit for AuM-base"
        in text
    )
    assert f"{100 * max(short.values()):.1f} % for the others at most" in text
    assert f"{len(half)} in float16 ({100 * max(half.values()):.1f} %)" in text


def test_the_training_step_is_that_of_its_profile() -> None:
    (row,) = json.loads((FOLDER / "training-step.json").read_text())["rows"]
    kernels = {each["name"]: each for each in row["kernels"]}
    spans = ("Optimizer.step#AdamW.step", "_CrossScanBackward", "_CrossScan")  # of other kernels
    own = kernels["all"]["ms"] - sum(kernels[name]["ms"] for name in spans)
    assert (round(row["ms"]), round(own)) == (140, 38)
    assert round(kernels["all"]["calls"], -2) == 2800
    assert round(kernels["_gradients"]["ms"], 1) == 8.7
    timed: dict[str, list[float]] = {}
    for each in rows("choices.csv"):
        timed.setdefault(each["way"], []).append(float(each["ms"]))
    table = re.findall(
        r"^\| (\d+), (\d), (\d), (\d+) MB \| ([\d.]+) ms \| ([\d.]+) ms \|$", PAGE, re.MULTILINE
    )
    assert len(table) == 6
    for channels, warps, programs, megabytes, *times in table:
        way = timed[f"{channels} w{warps} p{programs} {megabytes}M"]
        assert times == [f"{time:.3g}" for time in way]


def test_what_the_head_bias_does_is_in_its_table() -> None:
    by: dict[tuple[str, str], list[str]] = {}
    for row in rows("head-bias.csv"):
        area = f"{float(row['validation_auc']):.3f}"
        by.setdefault((row["precision"], row["head_bias"]), []).append(area)
    text = " ".join(PAGE.split())
    zero, odds = ", ".join(by["bfloat16", "0"]), ", ".join(by["bfloat16", "-6.3"])
    assert f"after epochs 1 to 3 is {zero} in bfloat16" in text
    assert f"now in both recipes) {odds}." in text
