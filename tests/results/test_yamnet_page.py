"""The page of YAMNet, and those that quote it, say what the committed cells carry."""

import re
from math import ceil
from typing import Any

import numpy as np

from tests.results.committed import cell, missing, per_cent, printed, section, short, table


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
    long = [yamnet(*noise, 9000) for noise in noises]
    loud = [yamnet(noise, 0.0, 9000) for noise, _ in noises]
    logits = [yamnet("babble", 10.0, s, "average") for s in (10, 300, 9000)]
    splice = around("babble", 1000, "average")
    at_300 = [
        [
            yamnet(h, s, 300, p, model="yamnet-float")
            for h, s in (("silence", None), ("babble", 10.0))
        ]
        for p in ("mean-probability", "max")
    ]
    apart = [short(rows[0].mAP, 2) for rows in at_300]
    small = [yamnet("silence", None, 50, "average", model=m) for m in ("yamnet", "yamnet-float")]
    mean, best = clean["mean-probability"], clean["max"]
    return [
        f"(8 bits: {short(mean.mAP)} by the mean of the patches' probabilities, {short(best.mAP)} by their maximum)",
        f"the mean has {short(yamnet('silence', None, 50).mAP)} at 50 s and {short(silent.mAP)} "
        f"[{short(silent.mAP_lo)}, {short(silent.mAP_hi)}] at 2.5 h ({per_cent(silent.adjusted)} %), the maximum "
        f"{short(yamnet('silence', None, 9000, 'max').mAP)} "
        f"({per_cent(yamnet('silence', None, 9000, 'max').adjusted)} %)",
        f"In zeros the mean has {short(yamnet('zero', None, 9000).mAP)} at 2.5 h",
        f"in 10 s of babble at 10 dB has {short(here[0].mAP)} already, in the restaurant {short(here[1].mAP)}, in "
        f"Gaussian "
        f"noise {short(here[2].mAP)}",
        f"At 300 s it is {short(later[0].mAP)}, {short(later[1].mAP)} and {short(later[2].mAP)}: "
        f"{per_cent(later[0].adjusted)}, "
        f"{per_cent(later[1].adjusted)} and {per_cent(later[2].adjusted)} % of the clean score above chance, and "
        f"between "
        f"{per_cent(min(of_noise))} and {per_cent(max(of_noise))} % of the score at 10 s in the same noise",
        f"After 2.5 h it is {short(long[0].mAP)} [{short(long[0].mAP_lo)}, {short(long[0].mAP_hi)}] in babble, "
        f"{short(long[1].mAP)} in the restaurant and {short(long[2].mAP)} in Gaussian noise: "
        f"{', '.join(per_cent(row.relative_noise_base) for row in long[:2])} and "
        f"{per_cent(long[2].relative_noise_base)} % of the score in 10 s of it",
        f"At 0 dB {short(loud[0].mAP)}, {short(loud[1].mAP)} and {short(loud[2].mAP)} are left after 2.5 h "
        f"({per_cent(loud[0].adjusted)}, {per_cent(loud[1].adjusted)} and {per_cent(loud[2].adjusted)} % of the clean "
        f"score above chance)",
        *of_length(),
        f"the mean still has {short(around('babble', 1000, 'mean-probability').mAP)} at 1000 s "
        f"({per_cent(around('babble', 1000, 'mean-probability').adjusted)} %)",
        f"in babble at 10 dB from {short(logits[0].mAP)} at 10 s to {short(logits[1].mAP)} at 300 s "
        f"({per_cent(logits[1].adjusted)} % left above chance) and {short(logits[2].mAP)} at 2.5 h "
        f"({per_cent(logits[2].adjusted)} %); around a clean needle (dass-v1) it is {short(splice.mAP)} at 1000 s "
        f"({per_cent(splice.adjusted)} %)",
        f"they have {apart[0]} and {apart[1]} in silence at 300 s, {short(at_300[0][1].mAP)} and "
        f"{short(at_300[1][1].mAP)} in babble",
        f"the export is ahead in silence ({short(small[0].mAP)} and {short(small[1].mAP)} at 50 s)",
        f"Random scores have {short(mean.chance_mAP)}",
        *yamnet_printed(),
    ]


def p_words(p: float) -> str:
    return f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"


def of_length() -> list[str]:
    """Write what the paired differences between 2.5 h and 10 s in the same noise carry, after Holm's correction."""
    rows = table("yamnet-esc50/length.csv")
    holding = rows[rows.p_holm < 0.05]
    assert list(zip(holding.pooling, holding.haystack, holding.snr_db, strict=True)) == [
        ("mean-probability", "coffee_shop", 20.0),
        ("mean-probability", "coffee_shop", 0.0),
        ("max", "coffee_shop", 20.0),
    ]
    for row in rows.to_dict("records"):
        noise = None if np.isnan(row["snr_db"]) else row["snr_db"]
        cell_row = yamnet(row["haystack"], noise, 9000, row["pooling"])
        assert abs(cell_row.mAP - row["mAP_long"]) < 1e-4
    loud, clear, maximum = (
        f"{row.difference:+.3f} [{row.difference_lo:+.3f}, {row.difference_hi:+.3f}], {p_words(row.p_holm)}"
        for row in (holding.iloc[1], holding.iloc[0], holding.iloc[2])
    )
    return [
        f"Of {len(rows)} differences between 2.5 h and 10 s in the same noise three hold after Holm's correction, all "
        f"in the restaurant: of the mean {clear} at 20 dB and {loud} at 0 dB, of the maximum {maximum} at 20 dB",
    ]


def yamnet_printed() -> list[str]:
    """Write the sentences on false alarms, scale, seams, positions and full precision."""
    tables = "yamnet-esc50/niah-v2.1/tables.md"
    alarms = [
        printed(tables, "Without a needle", f"yamnet, max in {noise}, 10 dB", length)[2].replace(
            "100 %", "all"
        )
        for noise in ("babble", "coffee_shop", "gaussian")
        for length in ("10 s", "300 s")
    ]
    by_mean = {
        (noise, length): printed(
            tables, "Without a needle", f"yamnet, mean-probability in {noise}, 10 dB", length
        )
        for noise in ("babble", "coffee_shop", "gaussian")
        for length in ("10 s", "300 s")
    }
    assert [by_mean[noise, "300 s"][2] for noise in ("babble", "coffee_shop")] == ["0 %", "0 %"]
    assert by_mean["gaussian", "300 s"][2] == "100 %"
    assert by_mean["gaussian", "300 s"][-1] == "Wind (100 %)"
    scale = [
        printed(
            tables, "Calibration", "yamnet", "silence", "0.5", "whole, mean-probability", length
        )[3]
        for length in ("300 s", "2.5 h")
    ]
    seams = section(tables, "Sham seams")
    drift = [float(value) for value in re.findall(r"\| ([+-]?\d\.\d{3}) \|", seams)]
    largest = [float(value) for value in re.findall(r"\(([+-]?\d\.\d\d)\)", seams)]
    assert len(drift) == len(largest) == 24
    cells = table("yamnet-esc50/niah-v2.1/cells.csv")
    cells = cells[(cells.model == "yamnet") & (cells.pooling == "mean-probability")]
    cells = cells[cells.control.isna() & (cells.length_s == 300)]
    scenes = [
        own for _, own in cells.groupby(["haystack", "snr_db"], dropna=False) if len(own) == 5
    ]
    assert len(scenes) == 3
    apart = max(own.mAP.max() - own.mAP.min() for own in scenes)
    widths = [value for own in scenes for value in own.mAP_hi - own.mAP_lo]
    bits = [
        f"{short(r.mAP)} [{short(r.mAP_lo)}, {short(r.mAP_hi)}]"
        for p in ("mean-probability", "max")
        for m in ("yamnet", "yamnet-float")
        for r in [yamnet("none", None, 10, p, model=m)]
    ]
    return [
        f"in {alarms[0]} of 10 s and {alarms[1]} of 300 s of babble, and in {alarms[2]} and {alarms[3]} of those "
        f"of the restaurant",
        "The mean names none in either at 300 s. Gaussian noise both call wind: the mean in "
        f"{by_mean['gaussian', '10 s'][2]} of its scenes of 10 s and all of 300 s, the maximum in {alarms[4]} "
        f"and {alarms[5]}",
        f"In silence, {scale[0]} of their likelihood at 300 s and {scale[1]} at 2.5 h are lost by scale alone",
        f"differ from those without by {short(max(map(abs, drift)), 2)} in log odds at most, in the mean over "
        f"classes, and by "
        f"{short(max(map(abs, largest)), 2)} in the class that moves most",
        f"the five positions differ by {short(apart, 2)} at most by the mean, with intervals of "
        f"{short(sum(widths) / len(widths), 2)}",
        f"The export has {bits[0]} and full precision {bits[1]}, and no scene has them more than "
        f"{between_weights()} apart",
        f"by the maximum {bits[2]} and {bits[3]}.",
    ]


def between_weights() -> str:
    """Write the largest difference of both sets of weights, by the mean of probabilities."""
    cells = table("yamnet-esc50/niah-v2.1/cells.csv")
    cells = cells[(cells.pooling == "mean-probability") & cells.control.isna()]
    scene = ["haystack", "snr_db", "length_s", "position"]
    by_model = cells.pivot_table(index=scene, columns="model", values="mAP", dropna=False)
    both = by_model.dropna()
    assert len(both) >= 20
    apart = float((both["yamnet"] - both["yamnet-float"]).abs().max())
    return short(ceil(1000 * apart) / 1000)  # "more than" no rounded number


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
    hours = table("yamnet-esc50/length.csv")
    own = hours[hours.pooling == "mean-probability"]
    most = own.sort_values("difference").iloc[0]
    return [
        f"2.5 hours of it cost {-most.difference:.2f} more at most "
        f"({-most.difference_hi:.2f} to {-most.difference_lo:.2f} with 95 % confidence)",
        f"names {clean.n_clips} clips of ESC-50 after 2.5 hours of silence as well as alone",
        f"leaves an mAP of {after:.2f} after 2.5 hours of people talking",
        f"random scores get {clean.chance_mAP:.2f}",
    ]


def test_the_page_says_what_its_tables_carry() -> None:
    assert not missing("results/yamnet-esc50/README.md", yamnet_sentences())


def test_the_questions_quote_it() -> None:
    assert not missing("docs/faq.md", faq_sentences())


def test_the_first_screen_quotes_it() -> None:
    assert not missing("README.md", readme_sentences())
