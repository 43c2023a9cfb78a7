"""Figures of the guides in docs/: of the committed tables, of constants in the code, and what follows from both."""

import runpy

import numpy as np
import pytest

from niah.adapters.reuse import MEMORY_BYTES
from niah.cli.machines import TERMINATED
from niah.metrics.poisson import rate_interval
from niah.metrics.rank_correlation import rank_correlation
from niah.needles.readers.events import HEARD_S
from niah.records.claims import MOST_DEATHS
from niah.records.workers import HEARTBEAT_S, STALE_S
from niah.scenes.own import SLOT_S
from niah.sweep.inference import LARGE_SHARE
from niah.sweep.share import SLICE_S
from niah.training.data.shard_clips import _LEAST_USED as LEAST_USED
from niah.training.data.usable_clips import LARGEST_EXCLUDED_SHARE
from tests.conftest import REPOSITORY
from tests.results.committed import cell, missing, table

CLIPS, CLASSES = 20_000, 527
RATE = 16_000
SCORE_BYTES, SAMPLE_BYTES, FLOAT_BYTES = 2, 2, 4


def operations() -> list[str]:
    """Return what a large run takes: measured seconds of audio a second, times clips and lengths."""
    rows = []
    for model in ("dass-small", "dass-medium", "aum-base", "ssamba-tiny", "audio-mamba"):
        pace = {
            length: length
            / cell("benchmarks/models/bench.csv", model=model, length_s=length).latency_s
            for length in (50.0, 300.0)
        }
        pace[9000.0] = pace[300.0]
        days = [CLIPS * length / each / 86_400 for length, each in pace.items()]
        rows.append(
            f"| {model} | {pace[300.0]:.0f} | {days[0]:.1f} | {days[1]:.1f} | {days[2]:.0f} |"
        )
    scores_mb = CLIPS * CLASSES * SCORE_BYTES / 1e6
    clip_mb = 1024 * 128 * FLOAT_BYTES / 1e6
    sound_kb = 10 * RATE * SAMPLE_BYTES / 1e3
    return [
        *rows,
        f"so {scores_mb:.0f} MB a cell for 20,000 clips of 527 classes; 1,200 cells are {1.2 * scores_mb:.0f} GB",
        f"{clip_mb:.1f} MB a clip and front end, {CLIPS * clip_mb / 1e3:.0f} GB for 20,000",
        f"{sound_kb:.0f} kB each at 16 kHz, {CLIPS * sound_kb / 1e6:.1f} GB in all",
        f"a touch of one small file in {HEARTBEAT_S:.0f} s",
        f"after {STALE_S / 60:.0f} minutes without a heartbeat",
        f"at most one slice, {SLICE_S / 60:.0f} minutes (--slice)",
        f"row after {('one', 'two', 'three')[MOST_DEATHS - 1]} tries",
        f"(exit status {TERMINATED})",
    ]


def a_million_hours() -> list[str]:
    """Return the figures of 100,000 scenes of 10 h at 3,600 seconds of audio a second."""
    scenes, hours, pace, workers = 100_000, 10, 3600, 64
    seconds = scenes * hours * 3600 / pace
    small = 300 / cell("benchmarks/models/bench.csv", model="dass-small", length_s=300.0).latency_s
    a_slice = SLICE_S * pace / (hours * 3600)
    features = 100 * 128 * FLOAT_BYTES  # bytes a second
    hour_mb = 3600 * RATE * SAMPLE_BYTES / 1e6
    return [
        f"which is {pace / round(small):.0f} times two of the cores above",
        f"{seconds / 86_400:.1f} days of one, {seconds / workers / 3600:.1f} h of {workers}",
        f"{hour_mb:.0f} MB an hour at 16 kHz, 16 bit. A million distinct hours would be {hour_mb:.0f} TB",
        f"are {86_400 * features / 1e9:.1f} GB",
        f"{hours * 0.36:.1f} million frames, {hours * 3600 * features / 1e9:.1f} GB of features",
        f"{a_slice:.0f} scenes each at that speed, {scenes / a_slice:,.0f} slices a cell",
        f"start one every {SLICE_S / workers:.0f} s",
        f"= {scenes * CLASSES * SCORE_BYTES / 1e6:.0f} MB a cell",
    ]


def scale_out() -> list[str]:
    reuse = runpy.run_path(str(REPOSITORY / "scripts" / "reuse.py"))
    rows = table("benchmarks/reuse.csv").astype(str).to_dict("records")
    return [
        *reuse["table"](rows).splitlines(),
        f"({rows[0]['machine']}); scores of both ways are the same bits",
        f"Up to {MEMORY_BYTES >> 20} MiB of answers",
        "past an eighth of the memory" if LARGE_SHARE == 8 else "",
        f"2.5 h at 16 kHz are {9000 * RATE * FLOAT_BYTES / 1e6:.0f} MB",
    ]


def training() -> list[str]:
    def pace(shards: str, order: str, work: str) -> float:
        row = cell("benchmarks/loader.csv", shards=shards, order=order, work=work)
        return float(row.clips_per_core_s)

    in_order = {work: pace("tar", "in order", work) for work in ("decoded", "features")}
    at_random = [pace("parquet", "at random", work) for work in ("decoded", "features")]
    return [
        f"one core decodes {in_order['decoded']:.0f} ten-second",
        f"or makes features of {in_order['features']:.0f} ",
        f"from Parquet at random places {at_random[0]:.0f} and {at_random[1]:.0f}",
        f"8,192 of 150 kB are {8192 * 150e3 / 1e9:.1f} GB",
        f"more than {100 * LARGEST_EXCLUDED_SHARE:.0f} % of them are refused",
        f"hold from the first {LEAST_USED} clips on",
    ]


def false_alarms() -> list[str]:
    least = rate_interval(0, 1.0)[1]
    hours = 100 * 300 / 3600
    return [
        f"Without any alarm its upper bound is {least:.2f} / H",
        f"from r H >= {least:.2f} on",
        f"100 scenes of 300 s are {hours:.1f} hours, which resolve {least / hours:.2f} an hour",
        f"1 an hour is {100 * 10 / 3600:.1f} % of the scenes of 10 s and {100 * 300 / 3600:.0f} % of those of 300 s",
    ]


def natural_scenes() -> list[str]:
    p = [
        rank_correlation(a, a, np.empty((0, len(a))), np.empty((0, len(a)))).p
        for a in (np.arange(3.0), np.arange(4.0))
    ]
    return [
        f"1/{1 / p[0]:.0f} for three (both directions count), 1/{1 / p[1]:.0f} for four",
        f"of which {HEARD_S:g} s lies in it",
        f"lies in a slot of {SLOT_S:.0f} s",
    ]


@pytest.mark.parametrize(
    ("page", "sentences"),
    [
        ("operations", operations),
        ("operations", a_million_hours),
        ("scale-out", scale_out),
        ("training", training),
        ("false-alarms", false_alarms),
        ("natural-scenes", natural_scenes),
    ],
)
def test_the_guides_say_what_was_measured(page: str, sentences: object) -> None:
    assert callable(sentences)
    assert not missing(f"docs/{page}.md", sentences())
