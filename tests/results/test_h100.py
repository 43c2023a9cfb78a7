"""The page of the H100 says what its tables carry."""

import csv
import json
import re
from typing import Any

import pytest

from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "results" / "h100"
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
LENGTHS = {"10 s": 10.0, "300 s": 300.0, "2.5 h": 9000.0, "training step": 10.24}
STEPS = 22.8e9  # of DASS-medium's scans at 2.5 h, times channels and directions


def forward(name: str) -> dict[tuple[str, float], Any]:
    rows = json.loads((FOLDER / name).read_text(encoding="utf-8"))["rows"]
    return {(row["model"], row["seconds"]): row for row in rows}


def milliseconds(text: str) -> float:
    return float(text.removesuffix(" ms"))


def table() -> dict[tuple[str, str], list[float]]:
    """Return the official code's milliseconds, ours, their ratio, and its peak in GiB."""
    found = re.findall(
        r"^\| (dass-\w+), ([\w. ]+) \| ([\d.]+) ms \| ([\d.]+) ms \| ([\d.]+) \| ([\d.]+) GiB \|$",
        PAGE,
        re.MULTILINE,
    )
    return {(model, what): [float(x) for x in rest] for model, what, *rest in found}


def test_the_table_is_that_of_the_measurement() -> None:
    measured = {(row["model"], float(row["length_s"])): row for row in rows("official_dass.csv")}
    assert len(measured) == len(table()) == 8
    for (model, what), (official, ours, ratio, official_gib) in table().items():
        row = measured[model, LENGTHS[what]]
        assert official == pytest.approx(1e3 * float(row["official_s"]), rel=5e-3)
        assert ours == pytest.approx(1e3 * float(row["ours_s"]), rel=5e-3)
        assert ratio == pytest.approx(float(row["speedup"]), abs=0.06)
        assert official_gib == pytest.approx(int(row["official_peak_bytes"]) / 2**30, rel=0.02)
        assert ratio >= 2
        if row["what"] == "forward":
            assert float(row["difference"]) < 0.0045


def test_sentences_have_their_figures() -> None:
    now, second, first = (forward(f"forward{name}.json") for name in ("", "-second", "-first"))
    long = now["dass-medium", 9000]
    assert (round(long["kernels"][0]["ms"]), round(long["ms"])) == (261, 263)
    assert "261 ms of kernels for a median of 263 ms" in PAGE
    assert round(first["dass-medium", 9000]["ms"]) == 622
    assert round(second["dass-medium", 9000]["ms"]) == 319
    assert all(row["equal_bits"] for row in (*now.values(), *second.values()))
    columns = [
        parts_of(long["kernels"]),
        [x for x in parts_of(second["dass-medium", 9000]["kernels"]) if x],
    ]
    assert columns == [[57, 34, 13, 45, 27, 14, 2, 69], [89, 34, 13, 44, 32, 20, 86]]
    lines = re.findall(r"^\| [\w ,()'`]+ \| (\d+) \| (\d*) ?\| .*\|$", PAGE, re.MULTILINE)
    assert [[int(x) for x in column if x] for column in zip(*lines, strict=True)] == columns


def parts_of(kernels: list[dict[str, Any]]) -> list[int]:
    """Return the milliseconds of the scans' phases, the other kernels of ours, and the rest."""
    parts = {kernel["name"]: kernel["ms"] for kernel in kernels}
    named = [parts["_outputs"], parts["_line_pairs"], parts["_states"] + parts["_block_totals"]]
    others = ("_linear_gelu", "_layer_norm", "_depthwise_silu", "_first_halving")
    named += [parts.get(name, 0.0) for name in others]
    return [round(ms) for ms in (*named, parts["all"] - sum(named))]


def test_the_roofline_is_that_of_the_cards_rates() -> None:
    machine = forward_machine()
    assert machine["bytes_per_s"] == pytest.approx(3.00e12, rel=2e-3)
    assert machine["multiply_adds_per_s"] == pytest.approx(28.4e12, rel=2e-3)
    assert machine["powers_of_2_per_s"] == pytest.approx(4.01e12, rel=2e-3)
    stages = (  # positions, channels, blocks, elements of a direction's coordinates
        (225_000 * 32, 96, 2, 8),
        (112_500 * 16, 192, 2, 16),
        (56_250 * 8, 384, 20, 32),
        (28_125 * 4, 768, 2, 64),
    )
    elements = sum(positions * channels * blocks for positions, channels, blocks, _ in stages)
    coordinates = sum(4 * positions * blocks * row for positions, _, blocks, row in stages)
    assert 4 * elements == pytest.approx(STEPS, rel=2e-3)
    for kernel, maps, instructions in (("_outputs", 2, 193), ("_line_pairs", 1, 172)):
        least = [
            2 * (maps * elements + coordinates) / machine["bytes_per_s"],
            STEPS / 256 * instructions / (machine["multiply_adds_per_s"] / 32),
            2 * STEPS / machine["powers_of_2_per_s"],
        ]
        (line,) = re.findall(rf"^\| .*`{kernel}`\) \| \d+ \| \d+ \| (.*) \|$", PAGE, re.MULTILINE)
        assert line.split(" | ") == [f"{1e3 * seconds:.0f}" for seconds in least]
    operations = sum(2 * 4 * positions * C * C * blocks for positions, C, blocks, _ in stages)
    assert f"where its operations need {1e3 * operations / machine['flops_per_s']:.0f}" in PAGE
    # read and written: three norms in a block, whose last one of a stage also writes the map; the stem's and halvings'
    others = 225_000 * 32 * 96 + sum(positions * C for positions, C, *_ in stages[1:])
    last = sum(positions * C for positions, C, *_ in stages)
    moved = {"LayerNorm": 12 * elements + 2 * last + 4 * others, "depthwise": 4 * elements}
    moved["stem's"] = 2 * 450_000 * 64 * 48 + 2 * 900_000 * 128
    for name, moved_bytes in moved.items():
        (least_ms,) = re.findall(rf"^\| {name}.*? \| (\d+) \| \| \|$", PAGE, re.MULTILINE)
        assert least_ms == f"{1e3 * moved_bytes / machine['bytes_per_s']:.0f}"


def test_the_third_phases_sizes_are_those_that_were_timed() -> None:
    timed: dict[str, list[float]] = {}
    whole = 0.0
    for row in rows("choices.csv"):
        if row["what"] == "scan" and row["way"].startswith("16x32 w2"):
            if row["way"].endswith("r255 p4") and row["channels"] == "96":
                whole += float(row["ms"])
            if row["part"] == "outputs":
                _, _, _, registers, programs = row["way"].split()
                timed.setdefault(f"{registers[1:]}, {programs[1:]}", []).append(float(row["ms"]))
    lines = re.findall(r"^  \| (\d+, \d)[\w ()]* \| ([\d. ms|]+) \|$", PAGE, re.MULTILINE)
    found = {way: [milliseconds(cell) for cell in cells.split(" | ")] for way, cells in lines}
    assert found == {way: [round(ms, 1) for ms in times] for way, times in timed.items()}
    assert f"takes {whole / 2:.1f} ms now at 2.5 h" in " ".join(PAGE.split())  # of two blocks


def test_gradients_in_mixed_precision_were_seen_on_the_card() -> None:
    outcomes = rows("outcomes-gradients.csv")
    assert [row["outcome"] for row in outcomes] == 8 * ["passed"]
    assert all("mixed_precision" in row["test"] for row in outcomes)


def forward_machine() -> dict[str, float]:
    machine: dict[str, float] = json.loads((FOLDER / "forward.json").read_text())["machine"]
    return machine


def test_lengths_are_those_of_the_bench() -> None:
    cells = {
        (r["model"], float(r["length_s"])): r for r in rows("bench.csv") if r["status"] == "ok"
    }

    def seconds(model: str, length: float) -> float:
        return float(cells[model, length]["latency_s"])

    def gib(model: str, length: float) -> float:
        return int(cells[model, length]["peak_memory_bytes"]) / 2**30

    assert len({model for model, _ in cells}) == 7
    assert seconds("dass-medium", 9000) < 0.3 > 0.05 * gib("dass-medium", 9000)  # 6 GiB
    assert seconds("dass-medium", 86400) < 3
    text = " ".join(PAGE.split())
    medium, day = seconds("dass-medium", 9000), seconds("dass-medium", 86400)
    assert f"2.5 h in {1e3 * medium:.0f} ms and {gib('dass-medium', 9000):.1f} GiB" in text
    assert f"24 h in {day:.2f} s and {gib('dass-medium', 86400):.1f} GiB" in text
    small = (seconds("dass-small", length) for length in (9000, 86400))
    assert f"DASS-small {1e3 * next(small):.0f} ms and {next(small):.2f} s" in text
    hour = seconds("ast-sin-base", 3600)
    assert f"1 h in {hour:.1f} s, {hour / medium:.0f} times DASS-medium's 2.5 h" in text
    assert f"SSAST-tiny 2.5 h in {seconds('ssast-tiny-patch', 9000):.2f} s" in text
    aum = seconds("aum-base", 1000)
    assert f"AuM-base takes 1000 s in {1e3 * aum:.0f} ms" in text
    assert f"SSAMBA-tiny 2.5 h in {seconds('ssamba-tiny', 9000):.3f} s" in text
    assert max(length for model, length in cells if model == "aum-base") == 1000


def test_mambas_scan_is_that_of_its_tables() -> None:
    measured = {(r["model"], float(r["length_s"])): r for r in rows("mamba.csv")}
    found = re.findall(
        r"^\| (aum-base|ssamba-tiny), (\d+) s \| ([\d.]+) ms \| ([\d.]+) ms \| ([\d.]+) \|$",
        PAGE,
        re.MULTILINE,
    )
    assert len(found) == len(measured) == 5
    for model, length, *values in found:
        row = measured[model, float(length)]
        before, now = 1e3 * float(row["before_s"]), 1e3 * float(row["now_s"])
        assert values[:2] == [f"{before:#.3g}", f"{now:#.3g}"]
        assert values[2] == f"{before / now:.1f}"
    sizes: dict[str, list[str]] = {}
    for row in rows("choices.csv"):
        if row["what"] == "sequence":
            way = re.sub(r" warps?", "", row["way"])
            sizes.setdefault(way, []).append(f"{float(row['ms']):.3f} ms")
    lines = re.findall(r"^\| (\d, \d\d)[\w ()]* \| ([\d. ms|]+) \|$", PAGE, re.MULTILINE)
    assert {way: values.split(" | ") for way, values in lines} == sizes
    least = {r["benchmark"]: 1e3 * float(r["least_s"]) for r in rows("peers.csv")}
    text = " ".join(PAGE.split())
    scan, theirs = "sequence_scan_on_a_device", "sequence_scan_of_mamba_ssm_on_a_device"
    assert (
        f"{least[scan + '[450000]']:.2f} ms against {least[theirs + '[450000]']:.2f} for 450,000"
        in text
    )
    assert (
        f"{least[scan + '[4096]']:.2f} ms against {least[theirs + '[4096]']:.3f} for 4,096" in text
    )
    ours, official = (
        [least[f"map_scan_on_a_device[{whose}-{columns}]"] for columns in (225000, 7500)]
        for whose in ("triton", "vmamba")
    )
    assert f"{ours[0]:.1f} ms against {official[0]:.1f} at 2.5 h" in text
    assert f"{ours[1]:.2f} against {official[1]:.2f} at 300 s" in text
    powers = 15_000 * 1536 * 2 * 17 / forward_machine()["powers_of_2_per_s"]
    assert f"at least {1e3 * powers:.2f} ms for their powers of 2" in text


def test_the_operations_page_counts_with_it() -> None:
    page = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    (ours,) = (
        1e3 * float(row["latency_s"])
        for row in rows("bench.csv")
        if (row["model"], float(row["length_s"])) == ("dass-medium", 9000)
    )
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
    (before,) = forward("training-step-before.json").values()
    kernels = {each["name"]: each for each in before["kernels"]}
    spans = ("Optimizer.step#AdamW.step", "_CrossScanBackward", "_CrossScan")  # of other kernels
    own = kernels["all"]["ms"] - sum(kernels[name]["ms"] for name in spans)
    assert (round(before["ms"]), round(own)) == (140, 38)
    assert round(kernels["all"]["calls"], -2) == 2800
    now = forward("training-step.json")
    assert [round(row["ms"], 1) for row in now.values()] == [39.3, 26.6, 17.0]
    medium = {each["name"]: each["ms"] for each in now["dass-medium", 10.24]["kernels"]}
    assert round(medium["_gradients"], 1) == 11.2
    timed: dict[str, list[float]] = {}
    for each in rows("choices.csv"):
        if each["what"] != "gradients":
            continue
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


def scores_in(noise: str, cells: list[dict[str, str]]) -> list[str]:
    """Return a training's scores in one noise by length, as the page writes them: first that of the clips alone."""
    haystack, snr = SWEPT[noise.replace(" at ", ", ")]
    level = "" if snr is None else f"{snr:.1f}"
    own = {
        float(row["length_s"]): f"{float(row['mAP']):.3f}"
        for row in cells
        if (row["haystack"], row["snr_db"]) == (haystack, level)
    }
    (alone,) = (row for row in cells if row["haystack"] == "none")
    own.setdefault(10.0, f"{float(alone['mAP']):.3f}")
    return [own[length] for length in sorted(own)]


def test_the_second_training_is_that_of_its_cells() -> None:
    cells = rows("second/cells.csv")
    assert len(cells) == 42
    log = rows("second/training.csv")
    text = " ".join(PAGE.split())
    base = next(row for row in cells if row["haystack"] == "none")
    assert len(log) == 70
    assert float(log[-1]["averaged_mAP"]) == pytest.approx(float(base["mAP"]), abs=1e-3)
    score = "{:.3f} [{:.3f}, {:.3f}]".format(*(float(base[k]) for k in ("mAP", "mAP_lo", "mAP_hi")))
    assert f"It learnt less: {score} at 10 s" in text
    found = re.findall(r"^\| in ([\w ]+?) \| (0\.\d.*) \|$", PAGE, re.MULTILINE)
    assert len(found) == len(SWEPT)
    for noise, values in found:
        assert values.split(" | ") == scores_in(noise, cells)
    far = [row for row in cells if row["haystack"] == "babble" and float(row["length_s"]) >= 1000]
    assert all(float(row["mAP_lo"]) < float(row["chance_mAP"]) for row in far)
    (last,) = (r for r in cells if r["haystack"] == "zero" and r["length_s"] == "3000.0")
    assert round(100 * float(last["relative"])) == 46


def test_the_third_training_is_that_of_its_cells() -> None:
    cells = rows("third/cells.csv")
    log = rows("third/training.csv")
    base = next(row for row in cells if row["haystack"] == "none")
    assert (len(cells), len(log)) == (35, 90)
    text = " ".join(PAGE.split())
    score = "{:.3f} [{:.3f}, {:.3f}]".format(*(float(base[k]) for k in ("mAP", "mAP_lo", "mAP_hi")))
    assert f"[third/training.csv](third/training.csv)): {score} at 10 s" in text
    found = re.findall(r"^\| ([\w ]+?), 90 epochs \| (0\.\d.*) \|$", PAGE, re.MULTILINE)
    assert len(found) == len(SWEPT)
    for noise, values in found:
        assert values.split(" | ") == scores_in(noise, cells)
    noisy = [r for r in cells if r["snr_db"] and float(r["length_s"]) == 1000]
    assert len(noisy) == 6
    assert all(float(row["mAP_lo"]) < float(row["chance_mAP"]) for row in noisy)
    shares = [
        round(100 * float(row["relative"]))
        for file in ("run/cells.csv", "second/cells.csv", "third/cells.csv")
        for row in rows(file)
        if (row["model"], row["haystack"], row["length_s"]) == ("dass-small", "zero", "1000.0")
    ]
    assert f"keep {shares[0]}, {shares[1]} and {shares[2]} % of their own score at 10 s" in text
