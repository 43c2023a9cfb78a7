"""Tables of the causes of a drop, from stored logits. No torch.

With m(v, L) the mAP of variant v at L seconds and r the released model:

    relative    m(v, L) / m(v, 10)            of a released model or a remedy: the share of its own 10 s score
                m(v, L) / m(r, 10)            of a part
    effect      1 - m(r, L) / m(r, 10)        released: the drop, which the parts explain
                1 - m(v, L) / m(r, 10)        part: the loss due to this cause alone
                drop - sum of the parts       remainder
                relative(v) - relative(r)     remedy: its gain (negative: a loss)

The scene of 10 s is the needle alone, but the needle in the same noise where that lies under it (level "mix"): what
noise takes at 10 s is no part of the drop.

Two parts of one drop (an AST's renumbering and dilution) interact, so the loss due to one depends on their order:

    alone       1 - m(v, L) / m(r, 10)        its effect: this cause without the other
    last        drop - alone of the other     the gain from removing this cause after the other
    Shapley     (alone + last) / 2            the mean over both orders; the pair sums to the drop

For DASS's two parts only one order is measured (the network, then pooling), so it has no such table.

Intervals (95 %) are from paired resampling of the clips (`niah.metrics`): the causes of one model at one length are
compared on the same draws. Losses have the interval of a drop (`niah.metrics.drop`), gains a symmetric one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import isfinite, nan
from typing import Any, Literal

from niah.errors import NiahError
from niah.metrics.average_precision import chance_mAP
from niah.metrics.drop import drop_interval
from niah.metrics.resampling import Resampled, paired, resample
from niah.records.naming import length_name, position_name, scene_name, system_names
from niah.records.run_directory import RunDirectory
from niah.records.schema import BASE_LENGTH_S
from niah.system.number_text import number_text
from niah.system.plurals import plural
from niah.tables.table import Table

Kind = Literal["released", "part", "remainder", "remedy"]


@dataclass(frozen=True)
class Variant:
    """One way to run a model: `name` in tables and keys, `how` in a few words more, `kind` as above."""

    name: str
    how: str
    kind: Kind


RELEASED = Variant("released", "as released", "released")


def part(name: str, how: str) -> Variant:
    """Make a variant with only one cause of the drop."""
    return Variant(name, how, "part")


def remedy(name: str) -> Variant:
    """Make a variant that runs the same weights in another way."""
    return Variant(name, name, "remedy")


REMAINDERS = {  # by the parts that were measured
    ("renumbering", "dilution"): "only together",
    ("network",): "pooling",
}


@dataclass(frozen=True)
class CauseRow:
    """One variant of one model at one length; scores and shares in 0..1, NaN where not defined.

    `base_snr_db` is the SNR of the scene of 10 s, None where that is the needle alone.
    """

    model: str
    checkpoint_sha256: str
    variant: str
    kind: str
    how: str
    haystack: str
    snr_db: float | None
    position: float
    length_s: float
    n_clips: int
    mAP: float
    mAP_lo: float
    mAP_hi: float
    base_mAP: float
    chance_mAP: float
    relative: float
    relative_lo: float
    relative_hi: float
    effect: float
    effect_lo: float
    effect_hi: float
    last: float = nan  # of one of two parts
    last_lo: float = nan
    last_hi: float = nan
    shapley: float = nan
    shapley_lo: float = nan
    shapley_hi: float = nan
    base_snr_db: float | None = None

    @property
    def base_name(self) -> str:
        """Return what shares are of."""
        return "10 s score" if self.base_snr_db is None else "score at 10 s in the same noise"


def cause_rows(run: RunDirectory) -> list[CauseRow]:
    """Return every stored variant, model by model, length by length, with the remainders.

    Raises:
        NiahError: the folder has no variants, or variants of different clips.
    """
    content = run.run_json()
    entries: Mapping[str, Mapping[str, Any]] = content.get("variants", {})
    if not entries:
        raise NiahError(f"{run.path} has no causes yet: run `niah causes --out {run.path}`")
    identity = content["identity"]
    scene = {name: identity[name] for name in ("haystack", "snr_db", "position")}
    scene["base_snr_db"] = scene["snr_db"] if identity.get("level") == "mix" else None
    models = dict.fromkeys((e["model"], e["checkpoint_sha256"]) for e in entries.values())
    rows: list[CauseRow] = []
    for name, sha256 in models:
        mine = {
            k: e
            for k, e in entries.items()
            if (e["model"], e["checkpoint_sha256"]) == (name, sha256)
        }
        rows += _Model(run, mine, {"model": name, "checkpoint_sha256": sha256, **scene}).rows()
    return rows


class _Model:
    """One model's scores, each resampled once."""

    def __init__(
        self, run: RunDirectory, entries: Mapping[str, Mapping[str, Any]], same: Mapping[str, Any]
    ) -> None:
        self.same = same
        self.entries = entries
        first = run.read_scores(next(iter(entries)))
        scores = []
        for key in entries:
            stored = run.read_scores(key)
            if stored.ids != first.ids or stored.classes != first.classes:
                raise NiahError(f"{run.path}: variants of different clips; give another folder")
            scores.append(stored.logits)
        self.clips, self.chance = len(first.ids), chance_mAP(first.targets)
        resampled = resample(first.targets, scores, groups=first.groups)
        self.of = {
            (entry["name"], float(entry["length_s"])): each
            for entry, each in zip(entries.values(), resampled, strict=True)
        }

    def rows(self) -> list[CauseRow]:
        lengths_s = sorted({length_s for _, length_s in self.of} - {BASE_LENGTH_S})
        return [row for length_s in lengths_s for row in self._rows_at(length_s)]

    def _rows_at(self, length_s: float) -> list[CauseRow]:
        base, own = self.of["released", BASE_LENGTH_S], self.of["released", length_s]
        drop = paired(lambda m, b: 1 - m / b, own, base)
        rows, parts = [], {}
        for entry in self.entries.values():
            name, kind = entry["name"], entry["kind"]
            if entry["length_s"] != length_s:
                continue
            score = self.of[name, length_s]
            mine = base if kind == "part" else self.of[name, BASE_LENGTH_S]
            share = paired(lambda m, b: m / b, score, mine)
            effect = paired(lambda s, m, b: s - m / b, share, own, base)  # of a remedy
            if kind == "part":
                effect = parts[name] = paired(lambda s: 1 - s, share)
            elif kind == "released":
                effect = drop
            rows.append(self._row(entry, length_s, score, mine, share, effect))
        if remainder := REMAINDERS.get(tuple(parts)):
            left = reduce(lambda a, b: paired(lambda x, y: x - y, a, b), parts.values(), drop)
            variant = {"name": remainder, "kind": "remainder", "how": "drop less the parts"}
            rows.append(self._row(variant, length_s, None, base, None, left))
        if len(parts) == 2:
            rows = [_with_orders(row, parts, drop) for row in rows]
        return sorted(rows, key=lambda row: _KINDS.index(row.kind))

    def _row(
        self,
        entry: Mapping[str, Any],
        length_s: float,
        score: Resampled | None,
        base: Resampled,
        share: Resampled | None,
        effect: Resampled,
    ) -> CauseRow:
        mAP = (nan, nan, nan) if score is None else (score.estimate, *score.unit_interval())
        relative = (nan, nan, nan) if share is None else (share.estimate, *_bounds_of_share(share))
        lost = effect.interval() if entry["kind"] == "remedy" else drop_interval(effect)
        return CauseRow(
            **self.same,
            variant=entry["name"],
            kind=entry["kind"],
            how=entry["how"],
            length_s=length_s,
            n_clips=self.clips,
            mAP=mAP[0],
            mAP_lo=mAP[1],
            mAP_hi=mAP[2],
            base_mAP=base.estimate,
            chance_mAP=self.chance,
            relative=relative[0],
            relative_lo=relative[1],
            relative_hi=relative[2],
            effect=effect.estimate,
            effect_lo=lost[0],
            effect_hi=lost[1],
        )


def _bounds_of_share(share: Resampled) -> tuple[float, float]:
    """The bounds of a share kept, from those of the drop, as in cells.csv."""
    low, high = drop_interval(paired(lambda s: 1 - s, share))
    return 1 - high, 1 - low


def _with_orders(row: CauseRow, parts: Mapping[str, Resampled], drop: Resampled) -> CauseRow:
    """Fill in the loss due to one of two parts when it is last, and the mean over both orders."""
    if row.kind != "part":
        return row
    alone = parts[row.variant]
    (other,) = (effect for name, effect in parts.items() if name != row.variant)
    last = paired(lambda d, o: d - o, drop, other)
    shapley = paired(lambda a, d, o: (a + d - o) / 2, alone, drop, other)
    last_lo, last_hi = drop_interval(last)
    shapley_lo, shapley_hi = drop_interval(shapley)
    return replace(
        row,
        last=last.estimate,
        last_lo=last_lo,
        last_hi=last_hi,
        shapley=shapley.estimate,
        shapley_lo=shapley_lo,
        shapley_hi=shapley_hi,
    )


_KINDS = ("released", "part", "remainder", "remedy")


def tables(rows: Sequence[CauseRow]) -> list[Table]:
    """Make a table a model: variants against lengths."""
    names = _names(rows)
    return [_table(mine, names[_system(mine[0])]) for mine in _by_model(rows)]


def order_tables(rows: Sequence[CauseRow]) -> list[Table]:
    """Make a table for each model whose drop has two parts: the loss due to each alone, last, and on average."""
    of_parts = [[row for row in mine if isfinite(row.shapley)] for mine in _by_model(rows)]
    names = _names(rows)
    return [_order_table(mine, names[_system(mine[0])]) for mine in of_parts if mine]


def _by_model(rows: Sequence[CauseRow]) -> list[list[CauseRow]]:
    models: dict[tuple[str, str], list[CauseRow]] = {}
    for row in rows:
        models.setdefault(_system(row), []).append(row)
    return list(models.values())


def _system(row: CauseRow) -> tuple[str, str]:
    return row.model, row.checkpoint_sha256


def _names(rows: Sequence[CauseRow]) -> Mapping[tuple[str, str | None], str]:
    return system_names(_system(row) for row in rows)


def _order_table(rows: Sequence[CauseRow], name: str) -> Table:
    header = ("part", "length", "alone", "last", "mean of both (Shapley)")
    body = [
        (
            row.variant,
            length_name(row.length_s),
            *(_share(row, name) for name in ("effect", "last", "shapley")),
        )
        for row in sorted(rows, key=lambda row: (row.variant, row.length_s))
    ]
    caption = (
        f"{name}: per cent of the {rows[0].base_name} that each part costs, alone, when it is taken away last, and on "
        "the mean of both orders [95 % interval]"
    )
    return Table(caption, header, tuple(body))


def _share(row: CauseRow, name: str) -> str:
    value, low, high = (getattr(row, name + end) for end in ("", "_lo", "_hi"))
    return _per_cent(value, low, high, ".0f")


def _table(rows: Sequence[CauseRow], name: str) -> Table:
    first = rows[0]
    lengths_s = sorted({row.length_s for row in rows})
    variants = dict.fromkeys((row.kind, row.variant, row.how) for row in rows)
    by = {(row.variant, row.length_s): row for row in rows}
    body = []
    for kind, variant, how in sorted(variants, key=lambda each: _KINDS.index(each[0])):
        cells = [by.get((variant, length_s)) for length_s in lengths_s]
        base = next(row.base_mAP for row in cells if row is not None)
        named = variant if how == variant else f"{variant}: {how}"
        own = "" if kind in ("part", "remainder") else f"{base:.3f}"
        body.append((named, kind, own, *map(_entry, cells)))
    scene = scene_name(first.haystack, first.snr_db)
    caption = (
        f"{name}: {plural(first.n_clips, 'clip')} in {scene}, {position_name(first.position)}; change "
        f"in per cent of the {first.base_name}: by length (released), by each part of that, and what a remedy "
        f"gives back [95 % interval]; chance is {first.chance_mAP:.3f} mAP"
    )
    header = ("variant", "kind", "own 10 s mAP", *map(length_name, lengths_s))
    return Table(caption, header, tuple(body))


def _entry(row: CauseRow | None) -> str:
    if row is None:
        return ""
    sign = 1 if row.kind == "remedy" else -1
    low, high = sorted((sign * row.effect_lo, sign * row.effect_hi))
    return _per_cent(sign * row.effect, low, high, "+.0f")


def _per_cent(value: float, low: float, high: float, form: str) -> str:
    """Return per cent with its interval, without one where it is unknown, as of a single clip."""
    if not isfinite(value):
        return ""
    text = number_text(100 * value, form)
    if not (isfinite(low) and isfinite(high)):
        return text
    return f"{text} [{number_text(100 * low, form)}, {number_text(100 * high, form)}]"
