"""Sentences of the results' pages, written again from the committed tables: a page that says another number fails."""

import re
from functools import cache
from math import erfc, hypot, sqrt
from typing import Any

import pandas as pd
import pytest

from tests.conftest import REPOSITORY

RESULTS = REPOSITORY / "results"


@cache
def page(name: str) -> str:
    """Return a page as one line, without emphasis and code marks."""
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    return " ".join(re.sub(r"\*\*|`|(?<!\w)\*|\*(?!\w)", "", text).split())


@cache
def table(name: str) -> pd.DataFrame:
    return pd.read_csv(RESULTS / name)


def cell(name: str, **where: Any) -> Any:
    """Return the one row of a table with these values; None means empty."""
    rows = table(name)
    for column, value in where.items():
        rows = rows[rows[column].isna() if value is None else rows[column] == value]
    assert len(rows) == 1, (where, len(rows))
    return rows.iloc[0]


def records(rows: pd.DataFrame) -> list[Any]:
    """Return a table's rows, their values as attributes."""
    return list(rows.itertuples())


def per_cent(value: float) -> str:
    return f"{100 * value:.0f}"


def bounds(row: Any) -> str:
    return f"[{row.mAP_lo:.3f}, {row.mAP_hi:.3f}]"


def short(value: float, digits: int = 3) -> str:
    """Return .818 for 0.818."""
    return f"{value:.{digits}f}".replace("0.", ".", 1)


def section(name: str, heading: str) -> str:
    text = (RESULTS / name).read_text("utf-8")
    return text.split(f"## {heading}\n")[1].split("\n## ")[0]


def printed(name: str, heading: str, *begin: str) -> list[str]:
    """Return the fields after the first ones of the one line of a section's table that begins with them."""
    lines = section(name, heading).splitlines()
    (line,) = [each for each in lines if each.startswith(f"| {' | '.join(begin)} |")]
    return [field.strip() for field in line.strip("|").split("|")][len(begin) :]


# --- YAMNet


def yamnet(
    haystack: str, snr: float | None, length: float, pooling: str = "mean-probability", **more: Any
) -> Any:
    where = {"model": "yamnet", "control": None, "position": 0.5, **more}
    if length == 10 or haystack == "none":
        where["position"] = None
    return cell(
        "yamnet-esc50/niah-v2.1/cells.csv",
        haystack=haystack, snr_db=snr, length_s=float(length), pooling=pooling, **where,
    )  # fmt: skip


def around(haystack: str, length: float, pooling: str) -> Any:
    return cell(
        "yamnet-esc50/dass-v1/cells.csv",
        haystack=haystack, length_s=float(length), pooling=pooling,
    )  # fmt: skip


def yamnet_sentences() -> list[str]:
    clean = {p: yamnet("none", None, 10, p) for p in ("mean-probability", "max", "average")}
    silent = yamnet("silence", None, 9000)
    noises = [("babble", 10.0), ("coffee_shop", 10.0), ("gaussian", 10.0)]
    here = [yamnet(*noise, 10) for noise in noises]
    later = [yamnet(*noise, 300) for noise in noises]
    of_noise = [row.relative_noise_base for row in later]
    long = yamnet("babble", 10.0, 9000)
    cafe = yamnet("coffee_shop", 10.0, 1000)
    loud = [yamnet(noise, 0.0, 300) for noise in ("babble", "coffee_shop")]
    louder = yamnet("gaussian", 0.0, 50)
    logits = [yamnet("babble", 10.0, s, "average") for s in (10, 300, 9000)]
    splice = around("babble", 1000, "average")
    exact = {p: yamnet("none", None, 10, p, model="yamnet-float") for p in clean}
    at_300 = [
        [
            yamnet(h, s, 300, p, model="yamnet-float")
            for h, s in (("silence", None), ("babble", 10.0))
        ]
        for p in ("mean-probability", "max")
    ]
    assert {short(rows[0].mAP, 2) for rows in at_300} == {".81"}
    small = [yamnet("silence", None, 50, "average", model=m) for m in ("yamnet", "yamnet-float")]
    mean, best = clean["mean-probability"], clean["max"]
    return [
        f"(8 bits: {short(mean.mAP)} by the mean of the patches' probabilities, {short(best.mAP)} by their maximum)",
        f"the mean has {short(yamnet('silence', None, 50).mAP)} at 50 s and {short(silent.mAP)} "
        f"[{short(silent.mAP_lo)}, {short(silent.mAP_hi)}] at 2.5 h ({per_cent(silent.adjusted)} %), the maximum "
        f"{short(yamnet('silence', None, 9000, 'max').mAP)} "
        f"({per_cent(yamnet('silence', None, 9000, 'max').adjusted)} %)",
        f"in 10 s of babble at 10 dB has {short(here[0].mAP)} already, in the restaurant {short(here[1].mAP)}, in "
        f"Gaussian "
        f"noise {short(here[2].mAP)}",
        f"At 300 s it is {short(later[0].mAP)}, {short(later[1].mAP)} and {short(later[2].mAP)}: "
        f"{per_cent(later[0].adjusted)}, "
        f"{per_cent(later[1].adjusted)} and {per_cent(later[2].adjusted)} % of the clean score above chance, and "
        f"between "
        f"{per_cent(min(of_noise))} and {per_cent(max(of_noise))} % of the score at 10 s in the same noise",
        f"After 2.5 h of babble it is {short(long.mAP)} [{short(long.mAP_lo)}, {short(long.mAP_hi)}], "
        f"{per_cent(long.relative_noise_base)} % of the score in 10 s of it, and after 1000 s of the restaurant "
        f"{short(cafe.mAP)} ({per_cent(cafe.adjusted)} % of the clean score)",
        f"At 0 dB {short(loud[0].mAP)} is left at 300 s in babble and {short(loud[1].mAP)} in the restaurant "
        f"({per_cent(loud[0].adjusted)} and {per_cent(loud[1].adjusted)} %), and {short(louder.mAP)} at 50 s in "
        f"Gaussian noise",
        f"the mean still has {short(around('babble', 1000, 'mean-probability').mAP)} at 1000 s "
        f"({per_cent(around('babble', 1000, 'mean-probability').adjusted)} %)",
        f"in babble at 10 dB from {short(logits[0].mAP)} at 10 s to {short(logits[1].mAP)} at 300 s "
        f"({per_cent(logits[1].adjusted)} % left above chance) and {short(logits[2].mAP)} at 2.5 h "
        f"({per_cent(logits[2].adjusted)} %); around a clean needle (dass-v1) it is {short(splice.mAP)} at 1000 s "
        f"({per_cent(splice.adjusted)} %)",
        f"both have .81 in silence at 300 s, {short(at_300[0][1].mAP)} and {short(at_300[1][1].mAP)} in babble",
        f"By the mean the export has {short(mean.mAP)} and full precision {short(exact['mean-probability'].mAP)}",
        f"the export is ahead in silence ({short(small[0].mAP)} and {short(small[1].mAP)} at 50 s)",
        f"Random scores have {short(mean.chance_mAP)}",
        *yamnet_printed(),
    ]


def yamnet_printed() -> list[str]:
    """Write the sentences on false alarms, scale, seams, positions and full precision."""
    tables = "yamnet-esc50/niah-v2.1/tables.md"
    alarms = [
        printed(tables, "Without a needle", f"yamnet, max in {noise}, 10 dB", length)[2].replace(
            "100 %", "all"
        )
        for noise in ("babble", "coffee_shop")
        for length in ("10 s", "300 s")
    ]
    for noise in ("babble", "coffee_shop"):
        assert (
            printed(
                tables, "Without a needle", f"yamnet, mean-probability in {noise}, 10 dB", "300 s"
            )[2]
            == "0 %"
        )
    scale = [
        printed(
            tables, "Calibration", "yamnet", "silence", "0.5", "whole, mean-probability", length
        )[3]
        for length in ("300 s", "2.5 h")
    ]
    seams = section(tables, "Sham seams")
    drift = [float(value) for value in re.findall(r"\| ([+-]\d\.\d{3}) \|", seams)]
    largest = [float(value) for value in re.findall(r"\(([+-]\d\.\d\d)\)", seams)]
    assert len(drift) == len(largest) == 16
    cells = table("yamnet-esc50/niah-v2.1/cells.csv")
    cells = cells[(cells.model == "yamnet") & (cells.pooling == "mean-probability")]
    cells = cells[cells.control.isna() & (cells.length_s == 300)]
    scenes = [
        own for _, own in cells.groupby(["haystack", "snr_db"], dropna=False) if len(own) == 5
    ]
    assert len(scenes) == 3
    apart = max(own.mAP.max() - own.mAP.min() for own in scenes)
    widths = [value for own in scenes for value in own.mAP_hi - own.mAP_lo]
    by_bits = {
        pooling: yamnet("none", None, 10, pooling).mAP
        - yamnet("none", None, 10, pooling, model="yamnet-float").mAP
        for pooling in ("mean-probability", "max")
    }
    return [
        f"in {alarms[0]} of 10 s and {alarms[1]} of 300 s of babble, and in {alarms[2]} and {alarms[3]} of those "
        f"of the restaurant",
        f"In silence, {scale[0]} of their likelihood at 300 s and {scale[1]} at 2.5 h are lost by scale alone",
        f"differ from those without by {short(max(map(abs, drift)), 2)} in log odds at most, in the mean over "
        f"classes, and by "
        f"{short(max(map(abs, largest)), 2)} in the class that moves most",
        f"the five positions differ by {short(apart, 2)} at most by the mean, with intervals of "
        f"{short(sum(widths) / len(widths), 2)}",
        f"(a paired difference of {short(by_bits['mean-probability'])} [",
        f"by the maximum {short(by_bits['max'])} [",
    ]


# --- ESC-10


def esc10(
    run: str, model: str, haystack: str, snr: float | None, length: float, **more: Any
) -> Any:
    where = {"position": 0.5 if length > 10 else None, **more}
    return cell(
        f"esc10-nano/{run}/cells.csv",
        model=model, haystack=haystack, snr_db=snr, length_s=float(length), **where,
    )  # fmt: skip


def esc10_sentences() -> list[str]:
    def kept(model: str, haystack: str, snr: float | None, length: float, **more: Any) -> str:
        return per_cent(esc10("run", model, haystack, snr, length, **more).relative)

    dass, ast, aum = "dass-esc10", "ast-sin-esc10", "aum-esc10"
    one, two = (esc10("run", model, "none", None, 10) for model in (dass, ast))
    hour = esc10("run", dass, "zero", None, 1000)
    pair = [esc10("run", model, "babble", 10.0, 300) for model in (ast, dass)]
    assert pair[0].mAP_lo < pair[1].mAP < pair[0].mAP_hi
    assert pair[1].mAP_lo < pair[0].mAP < pair[1].mAP_hi
    levels = [esc10("run", dass, "babble", snr, 300).mAP for snr in (0.0, 10.0)]
    places = {
        model: [
            float(esc10("run", model, "zero", None, 50, position=p).relative)
            for p in (0, 0.25, 0.5, 0.75, 1)
        ]
        for model in (dass, ast)
    }
    assert max(places[dass]) == places[dass][0]
    third = esc10("run-aum", aum, "none", None, 10)
    shares = [esc10("run-aum", aum, "zero", None, s) for s in (50, 300, 1000)]
    everywhere = [
        esc10("run-aum", aum, "zero", None, 50, position=p).relative
        for p in (0, 0.25, 0.5, 0.75, 1)
    ]
    noise = [esc10("run-aum", aum, "gaussian", snr, 50).relative for snr in (20.0, 0.0)]
    return [
        f"dass-esc10 scores {one.mAP:.3f} mAP {bounds(one)}, ast-sin-esc10 {two.mAP:.3f}; random guessing on these "
        f"clips "
        f"gives {one.chance_mAP:.3f}",
        f"{kept(dass, 'zero', None, 50)} % of its 10 s score at 50 s, {kept(dass, 'zero', None, 300)} % at 300 s and "
        f"{kept(dass, 'zero', None, 1000)} % at 1000 s (drop {per_cent(hour['drop'])} % [{per_cent(hour.drop_lo)}, "
        f"{per_cent(hour.drop_hi)}])",
        f"at the start, as in the paper, {kept(ast, 'zero', None, 50, position=0)} % at 50 s and "
        f"{kept(ast, 'zero', None, 300, position=0)} % at 300 s; in the middle {kept(ast, 'zero', None, 50)} % and "
        f"{kept(ast, 'zero', None, 300)} %",
        f"does not fall to chance ({per_cent(two.chance_mAP / two.mAP)} %)",
        f"at 300 s it keeps {kept(dass, 'zero', None, 300)} % in zeros, {kept(dass, 'gaussian', 10.0, 300)} % in "
        f"Gaussian "
        f"noise at 10 dB, {kept(dass, 'babble', 10.0, 300)} % in babble at 10 dB",
        f"At 1000 s the worst is babble at 10 dB, {esc10('run', dass, 'babble', 10.0, 1000).mAP:.3f}",
        f"at 300 s and 10 dB the AST's mAP is {pair[0].mAP:.3f} (middle) and DASS's {pair[1].mAP:.3f}",
        f"no worse than at 10 dB ({levels[0]:.3f} against {levels[1]:.3f} at 300 s)",
        f"DASS keeps {per_cent(min(places[dass]))} to {per_cent(max(places[dass]))} % everywhere, most at the "
        f"start; the AST "
        f"{per_cent(min(places[ast]))} to {per_cent(max(places[ast]))} %",
        f"At 10 s {third.mAP:.3f} mAP {bounds(third)}. In zeros, needle in the middle, it keeps "
        f"{per_cent(shares[0].relative)} % "
        f"[{per_cent(1 - shares[0].drop_hi)}, {per_cent(1 - shares[0].drop_lo)}] at 50 s, "
        f"{per_cent(shares[1].relative)} % at "
        f"300 s and {per_cent(shares[2].relative)} % at 1000 s; at 50 s it is {per_cent(min(everywhere))} to "
        f"{per_cent(max(everywhere))} % wherever the needle is. Chance is {per_cent(third.chance_mAP / third.mAP)} %",
        f"at 50 s it keeps {per_cent(noise[0])} % at 20 dB, as in zeros, and {per_cent(noise[1])} % at 0 dB",
    ]


PLACES = (0.0, 0.25, 0.5, 0.75, 1.0)


def pooled(pooling: str, after: bool = False) -> tuple[Any, list[Any]]:
    """Return a pooling's row at 10 s, and those at five places of 50 s."""
    rows = table("esc10-nano/pooling/cells.csv")
    if after:
        rows = rows[(rows.model == "dass-esc10") & (rows.pooling == pooling)]
    else:
        rows = rows[(rows.model == f"dass-esc10-{pooling}") & rows.pooling.isna()]
        if pooling == "average":
            rows = table("esc10-nano/pooling/cells.csv")
            rows = rows[(rows.model == "dass-esc10") & rows.pooling.isna()]
    (clean,) = records(rows[rows.length_s == 10])
    hidden = records(rows[rows.length_s == 50].sort_values("position"))
    assert tuple(row.position for row in hidden) == PLACES
    return clean, hidden


def span(rows: list[Any], digits: int = 2) -> str:
    values = [row.mAP for row in rows]
    return f"{min(values):.{digits}f} to {max(values):.{digits}f}"


def pooling_sentences() -> list[str]:
    names = (
        "average",
        "first",
        "first-token",
        "last",
        "last-token",
        "max",
        "mid",
        "mid-token",
        "sum",
    )
    trained = {name: pooled(name) for name in names}
    after = {
        n: pooled(n, after=True) for n in ("first", "last", "log-sum-exp", "max", "mid", "top-k")
    }
    clean, hidden = trained["sum"]
    lost = [1 - row.relative for row in hidden]
    behind = [a.relative - s.relative for a, s in zip(trained["average"][1], hidden, strict=True)]
    most = max(1 - row.relative for row in trained["average"][1])
    p_values = sorted(  # unpaired, from the intervals: larger than those of the paired test
        erfc(d / (hypot(a.drop_hi - a.drop_lo, s.drop_hi - s.drop_lo) / (2 * 1.96)) / sqrt(2))
        for d, a, s in zip(behind, trained["average"][1], hidden, strict=True)
    )
    assert max((len(p_values) - rank) * p for rank, p in enumerate(p_values)) < 0.03  # Holm
    down = [row.mAP - row.mAP_lo for row, _ in (*trained.values(), *after.values())]
    apart = [
        abs(a.mAP - b.mAP)
        for n in ("first", "last", "mid")
        for a, b in zip(trained[n][1], trained[f"{n}-token"][1], strict=True)
    ]
    whole = [row for n in ("max", "top-k", "log-sum-exp") for row in after[n][1]]
    one = [row for n in ("first", "mid", "last") for row in after[n][1]]

    def extent(name: str) -> float:
        values = [float(row.mAP) for row in trained[name][1]]
        return max(values) - min(values)

    assert {f"{extent(n):.2f}" for n in ("last", "max")} == {"0.01"}
    return [
        f"the last column alone scores {span(trained['last'][1])} wherever the needle is, the first "
        f"{span(trained['first'][1])}, the average {span(trained['average'][1])}",
        f"(average: at most {per_cent(most)} %)",
        f"loses {per_cent(min(lost))} to {per_cent(max(lost))} % of its 10 s score at 50 s ({span(hidden)}, where "
        f"guessing gives "
        f"{clean.chance_mAP:.3f})",
        f"a share {min(behind):.2f} to {max(behind):.2f} below the average's",
        f"not for the middle (lowest there, {trained['mid'][1][2].mAP:.3f})",
        f"it ranges over {extent('average'):.2f}, the last column and max over 0.01",
        f"differ by up to {max(apart):.2f} mAP",
        f"by max, top-k and log-sum-exp ({span(whole)}), less by one column ({span(one)})",
        f"Intervals at 10 s reach {min(down):.2f} to {max(down):.2f} down",
    ]


# --- the embedded models


def localisation_sentences() -> list[str]:
    rows = table("embedded-localisation/localisation.csv")
    mine = rows[(rows.model == "dass-nano") & (rows.method == "positions")]
    hits = [100 * value for value in mine.hit_rate]
    far = mine.median_error_s
    ways = [
        [
            per_cent(float(row.hit_rate))
            for row in records(
                rows[
                    (rows.model == "dass-nano")
                    & (rows.method == way)
                    & (rows.haystack == "zero")
                    & (rows.position == 0.5)
                ].sort_values("length_s")
            )
        ]
        for way in ("occlusion", "positions")
    ]
    (ast,) = records(rows[rows.model == "ast-sin-nano"])
    return [
        f"peak at the needle in {min(hits):.0f} to {max(hits):.0f} % of the pairs of clip and label",
        f"a guess hits {per_cent(float(mine[mine.length_s == 100].chance_hit.mean()))} % at 100 s",
        f"{min(far):.1f} to {max(far):.1f} s; the events",
        "{}, {} and {} % by 10 s windows against {}, {} and {} % by positions".format(
            *ways[0], *ways[1]
        ),
        f"by occlusion at 20 s: {per_cent(ast.hit_rate)} % [{per_cent(ast.hit_lo)}, {per_cent(ast.hit_hi)}] against "
        f"{per_cent(ast.chance_hit)} % for a guess",
    ]


def cause(model: str, variant: str, length: float = 100) -> Any:
    return cell("embedded-causes/causes.csv", model=model, variant=variant, length_s=float(length))


def lost(row: Any) -> str:
    """Return a cost with its interval, as a part or a remainder has it."""
    return f"{per_cent(row.effect)} % [{per_cent(row.effect_lo)}, {per_cent(row.effect_hi)}]"


def causes_sentences() -> list[str]:
    nano, flat, plane = "dass-nano", "ast-sin-nano", "ast-sin2d-nano"
    early = [cause(flat, part, 20) for part in ("renumbering", "dilution")]
    memory = [cause(nano, f"memory 1/{n}") for n in (2, 4, 8)]
    base = cause(nano, "released")
    cost = [base.base_mAP - row.base_mAP for row in memory]
    single = [
        cause(nano, f"no scan {way}")
        for way in ("forward in time", "up in mel", "backward in time", "down in mel")
    ]
    return [
        f"chance is {base.chance_mAP:.3f} mAP, which is {per_cent(base.chance_mAP / base.base_mAP)} % of "
        f"dass-nano's 10 s score, "
        f"{per_cent(base.chance_mAP / cause(flat, 'released').base_mAP)} % of ast-sin-nano's and "
        f"{per_cent(base.chance_mAP / cause(plane, 'released').base_mAP)} % of ast-sin2d-nano's",
        f"ast-sin-nano loses {lost(cause(flat, 'released'))} at 100 s",
        f"costs {lost(cause(flat, 'renumbering'))}. Dilution alone",
        f"costs {lost(cause(flat, 'dilution'))}. At 20 s they already cost {per_cent(early[0].effect)} % and "
        f"{per_cent(early[1].effect)} %",
        f"ast-sin2d-nano loses {lost(cause(plane, 'released'))} at 100 s, of which later positions alone cost "
        f"{lost(cause(plane, 'renumbering'))} and dilution alone {lost(cause(plane, 'dilution'))}",
        f"At 20 s it loses {lost(cause(plane, 'released', 20))}, the one-dimensional model "
        f"{lost(cause(flat, 'released', 20))}",
        f"dass-nano loses {lost(base)} at 100 s",
        f"it still loses {lost(cause(nano, 'network'))}; the rest, {lost(cause(nano, 'pooling'))}, is pooling in zeros",
        f"and costs {cost[0]:.2f}, {cost[1]:.2f} and {cost[2]:.2f} mAP at 10 s",
        f"changes the share kept by {per_cent(max(abs(row.effect) for row in single))} % or less; the intervals reach "
        f"{per_cent(max(max(-row.effect_lo, row.effect_hi) for row in single))} %",
        f"Their 10 s scores ({cause(plane, 'released').base_mAP:.3f}, {cause(flat, 'released').base_mAP:.3f})",
    ]


# --- pages of docs/


def faq_sentences() -> list[str]:
    by = {
        pooling: [yamnet("babble", 10.0, s, pooling).mAP for s in (10, 300, 9000)]
        for pooling in ("average", "mean-probability")
    }
    behind = [
        a.mAP - b.mAP
        for haystack, snr, length in (
            ("none", None, 10), ("silence", None, 300), ("silence", None, 9000), ("babble", 10.0, 10),
            ("babble", 10.0, 300), ("coffee_shop", 10.0, 300), ("gaussian", 10.0, 300),
        )
        for a, b in [(yamnet(haystack, snr, length), yamnet(haystack, snr, length, "max"))]
    ]  # fmt: skip
    return [
        f"mean of logits fell from {short(by['average'][0])} at 10 s to {short(by['average'][1])} at 300 s",
        f"The maximum was {short(min(behind), 2)} to {short(max(behind), 2)} below that mean",
    ]


def readme_sentences() -> list[str]:
    after = yamnet("babble", 10.0, 9000, "average").mAP
    silent, clean = yamnet("silence", None, 9000), yamnet("none", None, 10)
    assert silent.mAP_lo < clean.mAP < silent.mAP_hi
    return [
        f"names {clean.n_clips} clips of ESC-50 after 2.5 hours of silence as well as alone",
        f"leaves an mAP of {after:.2f} after 2.5 hours of people talking",
        f"random scores get {clean.chance_mAP:.2f}",
    ]


SENTENCES = {
    "README.md": readme_sentences,
    "results/yamnet-esc50/README.md": yamnet_sentences,
    "results/esc10-nano/README.md": lambda: [*esc10_sentences(), *pooling_sentences()],
    "results/embedded-localisation/README.md": localisation_sentences,
    "results/embedded-causes/README.md": causes_sentences,
    "docs/faq.md": faq_sentences,
}


@pytest.mark.parametrize("name", SENTENCES)
def test_a_page_says_what_its_tables_carry(name: str) -> None:
    text = page(name)
    missing = [sentence for sentence in SENTENCES[name]() if sentence not in text]
    assert not missing
