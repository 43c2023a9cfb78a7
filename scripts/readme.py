"""Write the generated parts of the README files, each between two marks.

    python scripts/readme.py          rewrite them
    python scripts/readme.py --check  exit 1 if one is stale

README.md: the results table is what `niah leaderboard results/embedded` writes of it (a committed `niah run` without
arguments), the performance tables come from results/benchmarks/bench.json (`make bench`). models/README.md and
haystacks/README.md list the cards and recipes beside them, results/README.md the runs below it. docs/ has the columns
of cells.csv, the command line, and the label vocabularies (`scripts/reference.py`).
"""

import csv
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import reference

from niah.cards import ModelCard, Weights, haystack_cards, model_cards
from niah.pages import leaderboard
from niah.pages.leaderboard import markdown
from niah.training.recipes import read_recipe

ROOT = Path(__file__).resolve().parent.parent
RUN = ROOT / "results" / "embedded"
H100 = ROOT / "results" / "h100"
YAMNET = ROOT / "results" / "yamnet-esc50" / "niah-v2.1"
LENGTHS_S = (10.0, 50.0, 300.0, 9000.0)
SCENES = (  # haystack, SNR in dB, and both in words
    ("silence", "", "digital silence"),
    ("coffee_shop", "10.0", "a restaurant, 10 dB below it"),
    ("babble", "10.0", "people talking, 10 dB below it"),
    ("gaussian", "10.0", "white noise, 10 dB below it"),
    ("babble", "0.0", "people talking, as loud as it"),
)
BENCHMARKS = ROOT / "results" / "benchmarks" / "bench.json"
_ARXIV = re.compile(r"arXiv:(\d+\.\d+)")
SHOWN = {
    "test_scene_after_the_first[gaussian-dass-v1]": "2.5 h scene in Gaussian noise, after the first clip",
    "test_scene_after_the_first[babble-dass-v1]": "2.5 h scene in babble, after the first clip",
    "test_scene_after_the_first[zero-dass-v1]": "2.5 h scene in zeros, after the first clip",
    "test_first_scene[gaussian]": "2.5 h scene in Gaussian noise, the first clip (fills the bank)",
    "test_scene_the_plain_way": "2.5 h scene the plain way: fresh noise and its filter bank a clip",
    "test_filter_bank_of_two_and_a_half_hours": "filter bank of 2.5 h of audio",
}


def results() -> str:
    """The leaderboard's table of the committed run, without its speeds, which are of a busy machine."""
    (board,) = leaderboard.boards(leaderboard.read([RUN]))
    table = markdown.table(board)
    caption = table.caption.partition("; seconds of audio")[0]
    rows = tuple(row[:-1] for row in table.rows)
    return replace(table, caption=caption, header=table.header[:-1], rows=rows).markdown().strip()


def finding() -> str:
    """Render YAMNet's mAP in each kind of scene, its clips alone first, by the mean of its patches' probabilities."""
    with (YAMNET / "cells.csv").open(newline="", encoding="utf-8") as file:
        cells = [c for c in csv.DictReader(file) if c["model"] == "yamnet"]  # the 8-bit export
    cells = [c for c in cells if c["pooling"] == "mean-probability" and not c.get("control")]
    cells = [c for c in cells if c["position"] in ("", "0.5")]
    (alone,) = (c for c in cells if c["haystack"] == "none")
    rows = [
        ("the clips alone, 10 s", f"**{float(alone['mAP']):.2f}**", *[""] * (len(LENGTHS_S) - 1))
    ]
    for haystack, level, title in SCENES:
        own = {
            float(c["length_s"]): c
            for c in cells
            if c["haystack"] == haystack and c["snr_db"] == level
        }
        scores = [f"{float(own[s]['mAP']):.2f}" if s in own else "" for s in LENGTHS_S]
        rows.append((title, *scores))
    header = ("hidden in", *(f"{s:g} s" if s < 3600 else f"{s / 3600:g} h" for s in LENGTHS_S))
    return _table(header, rows)


def performance() -> str:
    """Render the seconds of scenes and filter bank, beside those of the plain way."""
    measured = json.loads(BENCHMARKS.read_text())
    medians = {each["name"]: each["stats"]["median"] for each in measured["benchmarks"]}
    plain = medians["test_scene_the_plain_way"]
    rows = [
        f"| {title} | {medians[name]:.2f} s | {plain / medians[name]:.1f} x |"
        for name, title in SHOWN.items()
    ]
    return "\n".join(["| what | median | against the plain way |", "| --- | --- | --- |", *rows])


def speed() -> str:
    """Render the speed of DASS, and of the scans beside other implementations; both sides of a ratio are of one run."""
    measured = json.loads(BENCHMARKS.read_text())
    figures = {each["name"]: each["extra_info"] for each in measured["benchmarks"]}
    rows = []
    for seconds, name in ((10, "10-1024-3.0"), (50, "50-5000-3.5")):
        own = figures[f"test_dass_small_against_the_plain_loop[{name}]"]
        rows.append(
            f"| DASS-small, {seconds} s | {own['niah s']:.2f} s | {own['times faster']:.1f} x the plain loop's speed; "
            f"{own['times its matrix work']:.2f} x the time of its matrix products alone |"
        )
    with BENCHMARKS.with_name("one_pass.csv").open(newline="", encoding="utf-8") as stream:
        passes = {(row["model"], row["length_s"]): row for row in csv.DictReader(stream)}
    for model in ("dass-small", "dass-medium"):
        short, long = (passes[model, length] for length in ("300", "9000"))
        growth = float(long["wall_s"]) / 30 / float(short["wall_s"])
        rows.append(
            f"| {model.replace('dass', 'DASS')}, 2.5 h in one pass, 2026-11-26 | {float(long['wall_s']):.0f} s | "
            f"{long['peak_gib']} GiB at the peak; {growth:.2f} x the time per second of 300 s |"
        )
    day = passes["dass-small", "86400"]
    rows.append(
        "| DASS-small, 24 h in one pass, 2026-11-26, beside other work | "
        f"{float(day['wall_s']) / 60:.0f} min | {day['peak_gib']} GiB at the peak, 4.1 of them the features |"
    )
    rows += _on_a_card()
    peers = {
        "first_stage_against_the_official_reference": "mamba-ssm's `selective_scan_ref`",
        "first_stage_against_mambapy": "mambapy's pscan",
    }
    for name, peer in peers.items():
        own = figures[f"test_{name}"]
        rows.append(
            f"| scan of DASS's first stage, 300 s | {own['sequence ns an element']:.1f} ns an element | "
            f"{own['times faster']:.0f} x {peer} |"
        )
    for model, title in (("aum-base", "AuM-base"), ("ssamba-tiny", "SSAMBA-tiny")):
        own = figures[f"test_models_at_300_s_against_mambapy[{model}]"]
        rows.append(
            f"| {title}, two layers, 300 s | | {own['times faster']:.1f} x the same through mambapy's pscan |"
        )
    return "\n".join(["| what | time | beside |", "| --- | --- | --- |", *rows])


def _on_a_card() -> list[str]:
    """Render what DASS-medium takes on an H100, beside its authors' code in another lease."""
    with (H100 / "bench.csv").open(newline="", encoding="utf-8") as stream:
        passes = {(row["model"], float(row["length_s"])): row for row in csv.DictReader(stream)}
    with (H100 / "official_dass.csv").open(newline="", encoding="utf-8") as stream:
        (official,) = (
            row
            for row in csv.DictReader(stream)
            if (row["what"], row["model"], row["length_s"]) == ("forward", "dass-medium", "9000.0")
        )
    theirs = (
        f"; its authors' code, in another lease: {float(official['official_s']):.2f} s, "
        f"{int(official['official_peak_bytes']) / 2**30:.1f} GiB"
    )
    return [
        f"| DASS-medium, {length} in one pass, on an H100 in bfloat16 | "
        f"{float(row['latency_s']):.{digits}f} s | "
        f"{int(row['peak_memory_bytes']) / 2**30:.1f} GiB at the peak{beside} |"
        for length, digits, row, beside in (
            ("2.5 h", 3, passes["dass-medium", 9000.0], theirs),
            ("24 h", 2, passes["dass-medium", 86400.0], ""),
        )
    ]


def models() -> str:
    """A table for each family of cards."""
    families: dict[str, list[ModelCard]] = {}
    for card in model_cards():
        families.setdefault(card.family, []).append(card)
    parts = []
    for family, cards in sorted(families.items(), key=lambda each: each[0].lower()):
        rows = [
            (
                f"[{card.name}]({card.path.name})",
                f"{card.parameters / 1e6:.3g} M",
                f"{card.trained_on} ({card.trained_on_s:g} s)",
                ", ".join(
                    f"{name.removesuffix('_mAP')} {mAP:g}" for name, mAP in card.published.items()
                ),
                ", ".join(_source(*entry) for entry in card.weights.items()) or "none released",
                card.licence,
            )
            for card in cards
        ]
        header = ("model", "parameters", "trained on", "published mAP", "weights", "licence")
        papers = sorted({paper for card in cards for paper in _ARXIV.findall(card.paper)})
        links = ", ".join(f"[arXiv:{paper}](https://arxiv.org/abs/{paper})" for paper in papers)
        parts.append(f"### {family}\n\n{links}\n\n{_table(header, rows)}")
    return "\n\n".join(parts)


def _source(name: str, weights: Weights) -> str:
    """Where one checkpoint comes from, as a link."""
    if weights.file:
        return f"[{name}]({weights.file})"
    if weights.hub:
        return f"[{name}](https://huggingface.co/{weights.hub}) (hub)"
    if weights.url:
        return f"[{name}]({weights.url}) (address)"
    if weights.package:
        return f"{name} (in the package {weights.package} {weights.package_version})"
    return f"[{name}]({weights.by_hand}) (by hand)"


def recipes() -> str:
    rows = []
    for path in sorted((ROOT / "models" / "recipes").glob("*.toml")):
        recipe = read_recipe(path)
        rows.append((f"[{path.stem}](recipes/{path.name})", recipe.model, recipe.summary))
    return _table(("recipe", "model", "what it trains"), rows)


def haystacks() -> str:
    rows = [
        (f"[{card.name}]({card.path.name})", card.description, card.origin, card.licence)
        for card in haystack_cards()
    ]
    return _table(("haystack", "what", "origin", "licence"), rows)


def runs() -> str:
    """The committed run directories: what was measured over which clips."""
    rows = []
    for path in sorted((ROOT / "results").rglob("cells.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            cells = list(csv.DictReader(file))
        folder = path.parent.relative_to(ROOT / "results").as_posix()
        values = {name: sorted({cell[name] for cell in cells}) for name in cells[0]}
        lengths = sorted(map(float, values["length_s"]))
        rows.append(
            (
                f"[{folder}]({folder}/cells.csv)",
                ", ".join(values["protocol"]),
                ", ".join(
                    f"{n} of `{needles}`"
                    for needles in values["needles"]
                    for n in values["n_clips"]
                ),
                str(len(values["model"])),
                ", ".join(name for name in values["haystack"] if name != "none"),
                f"{lengths[0]:g} to {lengths[-1]:g} s",
                str(len(cells)),
            )
        )
    header = ("run directory", "protocol", "clips", "models", "haystacks", "lengths", "cells")
    return _table(header, rows)


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# The generated parts of each file, by the name in their marks.
DOCUMENTS: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "README.md": {
        "finding": finding,
        "results": results,
        "performance": performance,
        "speed": speed,
    },
    "models/README.md": {"models": models, "recipes": recipes},
    "haystacks/README.md": {"haystacks": haystacks},
    "results/README.md": {"runs": runs},
    "docs/cli.md": {"command line": reference.command_line},
    "docs/columns.md": {"columns": reference.columns},
    "docs/needle-sets.md": {"needle sets": reference.needle_sets},
}


def rendered(document: str, text: str) -> str:
    """Return the text of a document with its generated parts made again."""
    for name, part in DOCUMENTS[document].items():
        begin, end = f"<!-- {name}: scripts/readme.py -->", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        if not after:
            raise SystemExit(f"{document} has no part between '{begin}' and '{end}'")
        text = f"{before}{begin}\n\n{part()}\n\n{end}{after}"
    return text


def main(arguments: list[str]) -> int:
    stale = 0
    for document in DOCUMENTS:
        path = ROOT / document
        text = path.read_text("utf-8")
        fresh = rendered(document, text)
        if fresh == text:
            continue
        stale += 1
        if "--check" in arguments:
            print(f"{document} is stale: run `python scripts/readme.py`", file=sys.stderr)
        else:
            path.write_text(fresh, "utf-8")
    return int(stale > 0 and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
