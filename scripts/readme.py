"""Write the generated parts of README.md: the results table and the performance table.

    python scripts/readme.py          rewrite them
    python scripts/readme.py --check  exit 1 if they are stale

The first is what `niah leaderboard results/embedded` writes of it (a committed `niah run` without
arguments); the second comes from results/benchmarks/bench.json (`make bench`).
"""

import json
import sys
from pathlib import Path

from niah import leaderboard
from niah.leaderboard import markdown

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


def rendered(text: str) -> str:
    for name, part in (("results", results()), ("performance", performance())):
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
