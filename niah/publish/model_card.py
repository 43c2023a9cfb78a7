"""A table for the README of a model: what is left of its score in longer scenes."""

from collections.abc import Sequence

from niah.metrics.chance import one_recording_warning
from niah.publish.headlines import Headline
from niah.system.number_text import number_text
from niah.tables.above_chance import adjusted_share
from niah.tables.curves import relative_share
from niah.tables.table import CHANCE, Table


def card_table(results: Sequence[Headline]) -> Table:
    """Return the table of one model's published numbers, a row a scene and length."""
    first = results[0].point
    rows = []
    for each in results:
        interval = f"{each.bounds[0]:.3f} to {each.bounds[1]:.3f}" if each.bounds else ""
        left, above = relative_share(each.point), adjusted_share(each.point)
        rows.append(
            (
                each.words,
                f"{each.value:.3f}",
                interval,
                "" if left is None else f"{100 * left:.0f} %",
                CHANCE if left is not None and above is None else _per_cent(above),
            )
        )
    chance = first["chance_mAP"]
    floor = None if chance is None else f"Random scores have mAP {chance:.3f} on these clips."
    notes = tuple(filter(None, (floor, one_recording_warning(each.point for each in results))))
    caption = (
        f"mAP of {results[0].model} on {first['n_clips']} clips of {first['needles']} hidden in longer sound "
        f"(Audio NIAH {first['niah_version'] or ''}, protocol {first['protocol']})"
    )
    return Table(
        caption,
        ("scene", "mAP", "95 % interval", "left of 10 s", "above chance"),
        tuple(rows),
        notes,
    )


def _per_cent(share: float | None) -> str:
    return "" if share is None else f"{number_text(100 * share, '.0f')} %"
