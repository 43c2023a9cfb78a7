"""The further axes of a run: what can vary beside model, haystack, SNR, length and position.

An axis is declared once, as a field of `Axes`. From it come the column of cells.csv, the option of `niah run`, the
check of its values and its words in tables and figures; a planned cell has it as a field. What is left to write for a
new one is its field in `niah.sweep.options.RunOptions`, its keyword in `niah.api.RunKeywords` (typed, so written out)
and its effect on a scene.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

OWN = "own"  # the haystack of crops of the needle's own recording
MOST_SOUNDS = 10_000  # needles or distractors in one scene
NEEDLE_FREE, SHAM = CONTROLS = ("needle-free", "sham")
LEVELS = ("surround", "mix")
POOLINGS = (
    *("average", "mean-probability", "max", "top-k", "log-sum-exp", "sum", "first", "mid", "last"),
    *("first-token", "mid-token", "last-token"),
)  # `niah.networks.layers.pooling`


@dataclass(frozen=True)
class Axis:
    """Declaration of an axis; a cell and its row have None for the plain value."""

    kind: type  # of its values: str, float or int
    option: str  # of `niah run`
    values: str  # field of `RunOptions`
    plain: str | float | None  # None where the plain value has no name
    help: str
    meaning: str  # of its column in cells.csv
    unit: str = ""
    label: str = ""  # of a figure's axis; "" where the scene does not change
    words: Callable[[Any], str] = str  # in the name of a scene
    choices: tuple[str, ...] = ()
    problem: Callable[[Any], str] = lambda _: ""  # of a value, "must be ..."; "" without one
    absent_from: tuple[str, ...] = ()  # protocols that have the plain value alone
    arranges: bool = False  # changes the places in a scene


def _axis(**stated: Any) -> Any:
    return field(default=None, metadata={"axis": Axis(**stated)})


def _needle_problem(seconds: float) -> str:
    frames = seconds * 100
    if 1 <= frames <= 1000 and frames == round(frames):
        return ""
    return "must be 0.01 to 10 s in steps of 10 ms (10: the whole clip)"


@dataclass(frozen=True, kw_only=True)
class Axes:
    """The values of one cell."""

    control: str | None = _axis(
        kind=str,
        option="--control",
        values="controls",
        meaning="needle-free or sham: a scene without its needle, which has no mAP",
        plain=None,
        choices=CONTROLS,
        help="Also score scenes without a needle (needle-free), or with a splice but no needle (sham).",
    )
    pooling: str | None = _axis(
        kind=str,
        option="--pooling",
        values="poolings",
        meaning="pooling of per-position logits; none for the model's own",
        plain=None,
        choices=POOLINGS,
        help="Pool per-position logits (DASS, patches) by average, mean-probability, max, top-k, log-sum-exp, sum, "
        "first, mid, last, first-token, mid-token or last-token. [default: the model's own]",
    )
    level: str | None = _axis(
        kind=str,
        option="--level",
        values="level",
        meaning="surround or mix, where it is not the run's own",
        plain="surround",
        choices=LEVELS,
        label="noise around the needle, or under it too",
        absent_from=("dass-v1",),
        help="Noise around the needle (surround), or under it too (mix). [default: mix under niah-v2.1, else surround]",
    )
    needle_s: float | None = _axis(
        kind=float,
        option="--needle-s",
        values="needle_s",
        meaning="length of the clip's loudest stretch, where the clip is cut",
        unit="s",
        plain=10.0,
        label="needle (s)",
        words=lambda seconds: f"needle {seconds:g} s",
        problem=_needle_problem,
        absent_from=("dass-v1",),
        arranges=True,
        help="Hide the clip's loudest N seconds. [default: 10, the whole clip]",
    )
    needle_count: int | None = _axis(
        kind=int,
        option="--needle-count",
        values="needle_counts",
        meaning="copies of the clip, where more than one",
        plain=1,
        label="needles",
        words=lambda count: f"{count} needles",
        problem=lambda count: "" if 1 <= count <= MOST_SOUNDS else f"must be 1 to {MOST_SOUNDS}",
        absent_from=("dass-v1",),
        arranges=True,
        help="Hide N copies of the clip, evenly spread. [default: 1]",
    )
    distractors: int | None = _axis(
        kind=int,
        option="--distractors",
        values="distractors",
        meaning="clips of other classes beside it",
        unit="clips",
        plain=0,
        label="distractors",
        words=lambda count: f"{count} distractor{'s' if count > 1 else ''}",
        problem=lambda count: "" if 0 <= count <= MOST_SOUNDS else f"must be 0 to {MOST_SOUNDS}",
        absent_from=("dass-v1",),
        arranges=True,
        help="Add N clips of neighbouring classes as distractors. [default: 0]",
    )
    needles_per_scene: int | None = _axis(
        kind=int,
        option="--needles-per-scene",
        values="needles_per_scene",
        meaning="different clips, no two of which share a label, where more than one",
        unit="clips",
        plain=1,
        label="different needles",
        words=lambda count: f"{count} different needles",
        problem=lambda count: "" if 1 <= count <= MOST_SOUNDS else f"must be 1 to {MOST_SOUNDS}",
        absent_from=("dass-v1",),
        arranges=True,
        help="Hide N different clips, which share no label, evenly spread. [default: 1]",
    )


AXES: dict[str, Axis] = {each.name: each.metadata["axis"] for each in fields(Axes)}
SCENE_AXES = tuple(name for name, axis in AXES.items() if axis.label)
MASKING_AXES = (
    "distractors",
    "needles_per_scene",
)  # of other clips in the scene, whose labels no mAP counts
ARRANGING_AXES = tuple(name for name, axis in AXES.items() if axis.arranges)


def is_noise_base(row: Mapping[str, Any]) -> bool:
    """Return whether a row is the shortest scene with sound in it: the needle alone (10 s) mixed at an SNR, or 10 s of
    its own recording.

    It separates the cost of masking from that of length, and is no point of a curve over lengths.
    """
    in_sound = row["snr_db"] is not None or row.get("haystack") == OWN
    return row["length_s"] == 10 and in_sound and not row.get("control")
