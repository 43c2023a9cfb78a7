"""The pages on localisation and causes say what their tables carry."""

from typing import Any

from tests.results.committed import cell, missing, per_cent, records, table


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
        "(at 20 s dass-v1's middle is the end)",  # tests/tables/test_positions.py
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
        "(which at 20 s puts the middle at the end)",
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


def test_where_it_was_heard() -> None:
    assert not missing("results/embedded-localisation/README.md", localisation_sentences())


def test_why_it_drops() -> None:
    assert not missing("results/embedded-causes/README.md", causes_sentences())
