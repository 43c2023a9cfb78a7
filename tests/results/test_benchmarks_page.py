"""The page of speed and memory says what was measured."""

import json
import re

from tests.results.committed import RESULTS, missing, per_cent, records, table


def benchmark_sentences() -> list[str]:
    measured = json.loads((RESULTS / "benchmarks" / "bench.json").read_text("utf-8"))
    info = {each["name"]: each["extra_info"] for each in measured["benchmarks"]}
    minutes, hours, (day,) = (
        [row for row in records(table("benchmarks/one_pass.csv")) if row.length_s == length]
        for length in (300, 9000, 86400)
    )
    first, later = records(table("benchmarks/report.csv"))
    former = [
        info[f"test_two_and_a_half_hours_in_one_pass[dass-{m}]"] for m in ("small-7", "medium-8")
    ]
    loop = [
        info[f"test_dass_small_against_the_plain_loop[{name}]"]
        for name in ("10-1024-3.0", "50-5000-3.5")
    ]
    official = info["test_first_stage_against_the_official_reference"]
    sequence = [
        info[f"test_sequence_scan_{who}"]["ns_per_element"] for who in ("ours", "of_mambapy")
    ]
    mambapy = info["test_first_stage_against_mambapy"]
    models = [
        info[f"test_models_at_300_s_against_mambapy[{m}]"] for m in ("aum-base", "ssamba-tiny")
    ]

    def ast(who: str, frames: int, kind: str = "", digits: int = 2) -> str:
        row = info[f"test_ast_{who}[{frames}{kind}]"]
        return f"{row['ns_per_element'] * frames / 1e9:.{digits}f}"

    plain = [
        info[f"test_recurrence_{who}"]["ns_per_element"]
        for who in ("ours", "of_accelerated_scan_in_torch")
    ]
    again = json.loads((RESULTS / "benchmarks" / "recurrence.json").read_text("utf-8"))
    again_ns = [each["extra_info"]["ns_per_element"] for each in again["benchmarks"]]
    beside = json.loads((RESULTS / "benchmarks" / "ast.json").read_text("utf-8"))
    of_ast = {each["name"]: each["stats"]["median"] for each in beside["benchmarks"]}
    overhead = records(table("benchmarks/overhead.csv"))
    runs = [row for row in overhead if row.part == "whole"]
    assert [row.run for row in runs] == [1, 2, 3]
    whole_s = [row.wall_seconds for row in runs]
    in_turn_s = [row.wall_seconds for row in overhead if row.part == "one by one"]
    in_relation = [row.share_of_one_by_one for row in runs]
    own_cost = [row.share_of_forwards - 1 for row in runs]
    networks = json.loads((RESULTS / "benchmarks" / "networks.json").read_text("utf-8"))
    dass, passt = (each["extra_info"]["theirs / ours"] for each in networks["benchmarks"])
    nano, small, nano_2, small_2 = records(table("benchmarks/training_pairs.csv"))
    assert [row.threads for row in (nano, small, nano_2, small_2)] == [1, 1, 2, 2]
    claims = [
        [field.strip() for field in line.strip("|").split("|")]
        for line in (RESULTS / "benchmarks/claims/bench.md").read_text("utf-8").splitlines()
        if re.match(r"\| \S+ : ", line)
    ]
    speed = {(row[0].split("-")[0], row[2]): float(row[3].split()[0]) for row in claims}
    memory = {(row[0].split("-")[0], row[2]): float(row[5].split()[0]) for row in claims}
    assert f"{memory['ssamba', 'as published']:.0f}" == "12"
    assert memory["ssamba", "fair"] < 1
    bench = table("benchmarks/models/bench.csv")
    bench = bench[(bench.kernel.isin(["sdpa", "sdpa-blocks"])) & (bench.status == "ok")]
    share = {(row.model, row.length_s): row.roofline_share for row in records(bench)}
    odd = {("beats-iter3", 50.0): "52", ("htsat", 10.0): "49"}
    assert {key: per_cent(share[key]) for key in odd} == odd
    usual = [value for key, value in share.items() if key not in odd]
    return [
        "2.5 h in one pass take DASS-small {:.0f} s and {:.2f} GiB, DASS-medium {:.0f} s and {:.2f} GiB".format(
            *(value for row in hours for value in (row.wall_s, row.peak_gib))
        ),
        "({:.2f} and {:.2f} x)".format(
            *(long.wall_s / 30 / short.wall_s for short, long in zip(minutes, hours, strict=True))
        ),
        f"A day (24 h) takes DASS-small {day.wall_s / 60:.0f} minutes and {day.peak_gib:.2f} GiB",
        f"{day.cpu_s / 288 / minutes[0].cpu_s:.2f} x the processor time per second of 300 s",
        f"{later.cells:,} cells x {later.clips:,} clips x {later.classes} classes takes {later.wall_s:.1f} s and "
        f"{later.peak_gib:.2f} GiB where metrics are stored, {first.wall_s:.1f} s where every metric",
        f"{of_ast['test_ast_ours[1024]']:.2f} s against timm's {of_ast['test_ast_of_timm[1024]']:.2f} at 10 s, "
        f"{of_ast['test_ast_ours[5000]']:.1f} against {of_ast['test_ast_of_timm[5000]']:.1f} at 50 s",
        f"takes {min(whole_s):.1f} to {max(whole_s):.1f} s in three runs",
        f"{min(in_relation):.2f} to {max(in_relation):.2f} x what its passes would take one by one",
        f"({min(in_turn_s):.1f} to {max(in_turn_s):.1f} s)",
        f"all else costs {per_cent(min(own_cost))} to {per_cent(max(own_cost))} % of the passes",
        "it was {:.2f} and {:.2f} GiB".format(*(row["peak GiB"] for row in former)),
        "spends {:.2f} x (10 s) and {:.2f} x (50 s)".format(
            *(row["times its matrix work"] for row in loop)
        ),
        f"It is {loop[0]['times faster']:.1f} and {loop[1]['times faster']:.1f} x as fast as our plain loop "
        f"({loop[0]['plain s']:.2f} s and {loop[1]['plain s']:.2f} s)",
        f"{official['times faster']:.0f} x selective_scan_ref, {sequence[1] / sequence[0]:.0f} to "
        f"{mambapy['times faster']:.0f} x mambapy's pscan",
        "at 300 s: {:.0f} and {:.0f} x the same network".format(
            *(row["times faster"] for row in models)
        ),
        f"are at {per_cent(min(usual))} to {per_cent(max(usual))} % of the roofline",
        f"(10 s: {ast('ours', 1024)} s against {ast('of_timm', 1024)} and {ast('of_transformers', 1024, '-sdpa')}; "
        f"30 s: "
        f"{ast('ours', 3000, digits=1)} s against {ast('of_timm', 3000, digits=1)} and "
        f"{ast('of_transformers', 3000, '-sdpa', 1)})",
        f"{speed['ssamba', 'as published']:.1f} x as fast in a twelfth of the memory",
        f"with fused attention, {speed['ssamba', 'fair']:.1f} x as fast",
        f"as published {speed['aum', 'as published']:.1f} x (published: 1.6 x); fair {speed['aum', 'fair']:.1f} x",
        f"takes {again_ns[0]:.1f} ns an element, accelerated-scan's reference in torch {again_ns[1]:.1f}",
        f"{plain[0]:.1f} against {plain[1]:.1f} in bench.json's run",
        f"DASS-small at 10 s is {dass:.1f} x as fast as the authors' network",
        f"PaSST-S {passt:.1f} x as fast as hear21passt",
        f"beside commit {nano.before}'s in turns: {nano.model} {nano.ratio:.2f} x as fast in processor seconds of one "
        f"thread, {small.model} {small.ratio:.2f} x; on the clock of two threads {nano_2.ratio:.2f} and "
        f"{small_2.ratio:.2f} x",
    ]


def test_the_page_says_what_was_measured() -> None:
    assert not missing("results/benchmarks/README.md", benchmark_sentences())
