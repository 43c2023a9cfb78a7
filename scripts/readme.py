"""Write the generated parts of README.md: the results table and the two performance tables.

    python scripts/readme.py          rewrite them
    python scripts/readme.py --check  exit 1 if they are stale

The first is what `niah leaderboard results/embedded` writes of it (a committed `niah run` without
arguments); the others come from results/benchmarks/bench.json (`make bench`).
"""

import json
import sys
from pathlib import Path

from niah.pages import leaderboard
from niah.pages.leaderboard import markdown

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
RUN = ROOT / "results" / "embedded"
BENCHMARKS = ROOT / "results" / "benchmarks" / "bench.json"
SHOWN = {
    "test_scene_after_the_first[gaussian-dass-v1]": "2.5 h scene in Gaussian noise, after the first clip",
    "test_scene_after_the_first[babble-dass-v1]": "2.5 h scene in babble, after the first clip",
    "test_scene_after_the_first[zero-dass-v1]": "2.5 h scene in zeros, after the first clip",
    "test_first_scene[gaussian]": "2.5 h scene in Gaussian noise, the first clip (fills the bank)",
    "test_scene_the_plain_way": "2.5 h scene the plain way: fresh noise and its filter bank a clip",
    "test_filter_bank_of_two_and_a_half_hours": "filter bank of 2.5 h of audio",
}


def results() -> str:
    """The leaderboard's table of the committed run: one list of clips, so one board."""
    (board,) = leaderboard.boards(leaderboard.read([RUN]))
    return markdown.table(board).markdown().strip()


def performance() -> str:
    measured = json.loads(BENCHMARKS.read_text())
    medians = {each["name"]: each["stats"]["median"] for each in measured["benchmarks"]}
    plain = medians["test_scene_the_plain_way"]
    rows = [
        f"| {told} | {medians[name]:.2f} s | {plain / medians[name]:.1f} x |"
        for name, told in SHOWN.items()
    ]
    return "\n".join(["| what | median | against the plain way |", "| --- | --- | --- |", *rows])


def speed() -> str:
    """DASS whole, and the scans beside others'; every ratio is of one run."""
    measured = json.loads(BENCHMARKS.read_text())
    told = {each["name"]: each["extra_info"] for each in measured["benchmarks"]}
    rows = []
    for seconds, name in ((10, "10-1024-3.0"), (50, "50-5000-3.5")):
        of = told[f"test_dass_small_against_the_plain_loop[{name}]"]
        rows.append(
            f"| DASS-small, {seconds} s | {of['niah s']:.2f} s | {of['times faster']:.1f} x the plain loop's speed; "
            f"{of['times its matrix work']:.2f} x the time of its matrix products alone |"
        )
    for model in ("dass-small", "dass-medium"):
        (of,) = (
            v
            for k, v in told.items()
            if k.startswith(f"test_two_and_a_half_hours_in_one_pass[{model}")
        )
        rows.append(
            f"| {model.replace('dass', 'DASS')}, 2.5 h in one pass | {of['9000 s']['wall']:.0f} s | "
            f"{of['peak GiB']:.2f} GiB at the peak; "
            f"{of['time a second grows']['wall']:.2f} x the time per second of 300 s |"
        )
    peers = {
        "first_stage_against_the_official_reference": "mamba-ssm's `selective_scan_ref`",
        "first_stage_against_mambapy": "mambapy's pscan",
    }
    for name, peer in peers.items():
        of = told[f"test_{name}"]
        rows.append(
            f"| scan of DASS's first stage, 300 s | {of['sequence ns an element']:.1f} ns an element | "
            f"{of['times faster']:.0f} x {peer} |"
        )
    for model, title in (("aum-base", "AuM-base"), ("ssamba-tiny", "SSAMBA-tiny")):
        of = told[f"test_models_at_300_s_against_mambapy[{model}]"]
        rows.append(
            f"| {title}, two layers, 300 s | | {of['times faster']:.1f} x the same through mambapy's pscan |"
        )
    return "\n".join(["| what | time | beside |", "| --- | --- | --- |", *rows])


def rendered(text: str) -> str:
    for name, part in (("results", results()), ("performance", performance()), ("speed", speed())):
        begin, end = f"<!-- {name}: scripts/readme.py -->", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        if not after:
            raise SystemExit(f"README.md has no part between '{begin}' and '{end}'")
        text = f"{before}{begin}\n\n{part}\n\n{end}{after}"
    return text


def main(arguments: list[str]) -> int:
    text = README.read_text()
    fresh = rendered(text)
    if "--check" in arguments:
        if fresh != text:
            print("README.md is stale: run `python scripts/readme.py`", file=sys.stderr)
        return int(fresh != text)
    README.write_text(fresh)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
