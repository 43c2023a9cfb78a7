"""results/nano from the stored scores: scores.csv, tables.md and the figure."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from runs import CLIPS, LENGTHS
from scores import Scored, difference
from variants import COMPARED, EPOCHS, SEEDS, VARIANTS, Variant

from niah.plots.looks import CHANCE_COLOUR, COLOURS
from niah.plots.style import STYLE, new_panels, save
from niah.records.schema import BASE_LENGTH_S
from niah.tables.table import Table

LONGER = LENGTHS[1:]


def write(out: Path, scored: Sequence[Scored], chance: float) -> None:
    """Write scores.csv, tables.md and scores.png into `out`; `chance` is the mAP of guessing."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / "scores.csv").open("w", newline="") as stream:
        lines = list(rows(scored))
        writer = csv.DictWriter(stream, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    parts = (score_table(scored, chance), difference_table(scored))
    (out / "tables.md").write_text("\n".join(part.markdown() for part in parts))
    draw(scored, chance, out / "scores.png")


def rows(scored: Sequence[Scored]) -> Iterator[dict[str, object]]:
    """Yield the lines of scores.csv: mAP and share, their half intervals, and the value of each seed."""
    for each in scored:
        row: dict[str, object] = {"variant": each.variant.name, "length_s": each.length_s}
        for name, estimate in (("mAP", each.score), ("share", each.share)):
            row |= {name: round(estimate.value, 5), f"{name}_half": round(estimate.half, 5)}
            seeds = zip(SEEDS, estimate.seeds, strict=True)
            row |= {f"{name}_seed{seed}": round(value, 5) for seed, value in seeds}
        yield row


def score_table(scored: Sequence[Scored], chance: float) -> Table:
    """Return the table of mAP at 10 s and the share of it at longer lengths, a row a variant."""
    body = []
    for variant in VARIANTS:
        base, *longer = _of(variant, scored)
        seeds = ", ".join(f"{value:.3f}" for value in base.score.seeds)
        texts = [f"{base.score.value:.3f} ± {base.score.half:.3f} ({seeds})"]
        for each in longer:
            seeds = ", ".join(f"{100 * value:.0f}" for value in each.share.seeds)
            texts.append(f"{100 * each.share.value:.0f} % ± {100 * each.share.half:.0f} ({seeds})")
        texts.append(f"{longer[-1].score.value:.3f} ± {longer[-1].score.half:.3f}")
        texts.append(f"{100 * chance / base.score.value:.0f} %")
        body.append((variant.title, *texts))
    caption = (
        f"mAP at 10 s and the share of it that is kept: zeros, needle in the middle, {CLIPS} clips, {EPOCHS} epochs "
        f"of training; mean over {len(SEEDS)} seeds ± half the 95 % interval, of clips and of training (each seed). "
        f"Guessing: {chance:.3f} mAP"
    )
    shares = (f"kept at {length} s" for length in LONGER)
    head = ("model", "mAP at 10 s", *shares, f"mAP at {LONGER[-1]} s", "guessing keeps")
    return Table(caption, head, tuple(body))


def difference_table(scored: Sequence[Scored]) -> Table:
    """Return the differences of the pairs in `variants.COMPARED`."""
    by = {variant.name: _of(variant, scored) for variant in VARIANTS}
    body = []
    for a, b in COMPARED:
        texts = []
        for one, other in zip(by[a], by[b], strict=True):
            if one.length_s == BASE_LENGTH_S:
                delta, half = difference(one.score, other.score)
                texts.append(f"{delta:+.3f} ± {half:.3f}")
            else:
                delta, half = difference(one.share, other.share)
                texts.append(f"{100 * delta:+.0f} ± {100 * half:.0f} points")
        body.append((f"{by[b][0].variant.title} against {by[a][0].variant.title}", *texts))
    return Table(
        "Differences, clips paired, ± half the 95 % interval of clips and of training",
        ("comparison", "mAP at 10 s", *(f"kept at {length} s" for length in LONGER)),
        tuple(body),
    )


def draw(scored: Sequence[Scored], chance: float, file: Path) -> None:
    """Draw a line a variant, a panel a length: each seed, their mean and its interval, and the score of guessing."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        canvas, panels = new_panels(len(LENGTHS), width=3.6)
        for length, axes in zip(LENGTHS, panels, strict=True):
            for place, variant in enumerate(VARIANTS):
                base, *longer = _of(variant, scored)
                own = next((e.share for e in longer if e.length_s == length), base.score)
                guess = chance if own is base.score else chance / base.score.value
                colour = COLOURS[variant.group]
                axes.errorbar(own.value, place, xerr=own.half, marker="o", color=colour, capsize=3)
                axes.plot(own.seeds, [place] * len(own.seeds), "|", color="black", markersize=9)
                axes.plot(guess, place, "x", color=CHANCE_COLOUR, markersize=5)
            axes.set(title=f"Kept at {length} s" if length != BASE_LENGTH_S else "mAP at 10 s")
            axes.set_xlim(left=0)
            axes.set_yticks(range(len(VARIANTS)), [""] * len(VARIANTS))
            axes.invert_yaxis()
        panels[0].set_yticklabels([variant.title for variant in VARIANTS])
        panels[0].set_xlabel("mAP")
        for axes in panels[1:]:
            axes.set_xlabel("share of its own 10 s mAP")
        title = "Eight ways to train: three seeds (bars), mean and 95 % interval, guessing (x)"
        save(canvas, file, title, "")


def _of(variant: Variant, scored: Sequence[Scored]) -> list[Scored]:
    return [each for each in scored if each.variant == variant]
