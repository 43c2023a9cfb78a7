"""A static badge: how much of the 10 s score is left in the longest scene, as SVG that asks no server."""

from collections.abc import Sequence
from html import escape

from niah.publish.headlines import Headline
from niah.records.naming import NO_HAYSTACK, length_name
from niah.tables.above_chance import adjusted_share
from niah.tables.curves import relative_share

_LETTER_PX, _GAP_PX = 6.6, 10.0  # of 11 px Verdana and its like, a little wide
_GOOD, _FAIR, _POOR = "#2e7d32", "#b26a00", "#b3261e"  # each with white letters 4.5:1


def badge_svg(results: Sequence[Headline]) -> str | None:
    """Return the badge of one model; None where it has no longer scene with a share.

    Of the scenes at the longest length the one is shown in which least is left; "at chance" of a model whose 10 s score
    does not differ from it.
    """
    longer = [each for each in results if each.point["haystack"] != NO_HAYSTACK]
    shares = [(e.point["length_s"], e) for e in longer if relative_share(e.point) is not None]
    if not shares:
        return None
    longest = max(length for length, _ in shares)
    worst = min((e for s, e in shares if s == longest), key=lambda e: float(e.point["relative"]))
    share = float(worst.point["relative"])
    is_chance = adjusted_share(worst.point) is None and worst.point["chance_mAP"] is not None
    haystack = worst.point["haystack"]
    level = worst.point["snr_db"]
    scene = haystack if level is None else f"{haystack} {level:g} dB"
    left, right = "audio niah", f"{100 * share:.0f} % at {length_name(longest)} in {scene}"
    words = f"{100 * share:.0f} % of the 10 s mAP is left at {length_name(longest)} in {scene}"
    colour = _GOOD if share >= 0.85 else _FAIR if share >= 0.5 else _POOR
    if is_chance:  # such a score cannot fall
        right, words, colour = "at chance", "the 10 s mAP does not differ from chance", _POOR
    widths = [len(text) * _LETTER_PX + 2 * _GAP_PX for text in (left, right)]
    title = escape(f"{left}: {words}")
    whole, begin = f"{sum(widths):.0f}", f"{widths[0]:.0f}"
    round_end = "a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="20" role="img" '
        f'aria-label="{title}"><title>{title}</title>'
        f'<rect width="{whole}" height="20" rx="3" fill="#444"/>'
        f'<path d="M{begin} 0h{widths[1] - 3:.0f}{round_end}H{begin}z" fill="{colour}"/>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">'
        f'<text x="{widths[0] / 2:.0f}" y="14">{escape(left)}</text>'
        f'<text x="{widths[0] + widths[1] / 2:.0f}" y="14">{escape(right)}</text></g></svg>\n'
    )
