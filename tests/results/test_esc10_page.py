"""The page of ESC-10 says what its runs carry."""

from math import erfc, hypot, sqrt
from typing import Any

from tests.results.committed import bounds, cell, missing, per_cent, records, table


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
    start = esc10("run", ast, "zero", None, 50, position=0)
    papers = cell(
        "published/niah.csv", model="ast-sin-small", position=0.0, length_s=50.0, metric="relative"
    ).value
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
        f"does not fall to chance ({per_cent(two.chance_mAP / two.mAP)} %): above chance "
        f"{(start.mAP - two.chance_mAP) / (two.mAP - two.chance_mAP):.2f} is left at 50 s from the start, where the "
        f"paper's AST-small keeps {per_cent(float(papers))} %",
        "(at 20 s dass-v1 puts that at the end)",
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


def test_the_page_says_what_its_tables_carry() -> None:
    assert not missing("results/esc10-nano/README.md", [*esc10_sentences(), *pooling_sentences()])
