"""Causes: the parts of a drop sum to it, planted causes are found, the command resumes and refuses."""

import csv
from collections.abc import Mapping
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from niah.diagnosis.causes import figure
from niah.diagnosis.causes.measuring import CauseOptions, causes
from niah.diagnosis.causes.outputs import (
    CSV_FILE,
    FIGURE_FILE,
    MARKDOWN_FILE,
    markdown,
    write,
)
from niah.diagnosis.causes.table import (
    RELEASED,
    CauseRow,
    Variant,
    cause_rows,
    part,
    remedy,
)
from niah.errors import NiahError
from niah.metrics.average_precision import Scores
from niah.plots.medium import COLUMN, drawn_for
from niah.plots.style import Figure, save
from niah.records.run_directory import RunDirectory
from niah.records.schema import cell_key
from tests.helpers import tiny
from tests.helpers.examples import CLASSES, IDS, LABELS, TARGETS, logits

SCENE = {"haystack": "zero", "snr_db": None, "position": 0.5}
RENUMBERING, DILUTION = part("renumbering", "..."), part("dilution", "...")


def planted(
    folder: Path, found: Mapping[tuple[Variant, float], Scores], **scene: object
) -> RunDirectory:
    """A folder of one model's variants with these scores."""
    identity = {"protocol": "dass-v1", "seed": 0, "measures": "causes", **SCENE, **scene}
    entries = {}
    with RunDirectory.create_or_open(folder, identity) as run:
        for index, ((variant, length_s), values) in enumerate(found.items()):
            run.write_scores(cell_key({"index": index}), IDS, LABELS, values, classes=CLASSES)
            told = {"model": "m", "checkpoint_sha256": "0" * 64, "length_s": length_s}
            entries[cell_key({"index": index})] = {**told, **vars(variant)}
        run.write_run_json({"variants": entries})
    return RunDirectory(folder)


def rows_of(run: RunDirectory, length_s: float = 50.0) -> dict[str, CauseRow]:
    return {row.variant: row for row in cause_rows(run) if row.length_s == length_s}


HEARS, DEAF = logits(3.0), logits(0.0, seed=1)


def test_a_planted_cause_gets_all_of_the_drop(tmp_path: Path) -> None:
    run = planted(
        tmp_path / "run",
        {
            (RELEASED, 10.0): HEARS,
            (RELEASED, 50.0): DEAF,
            (RENUMBERING, 50.0): DEAF,
            (DILUTION, 50.0): HEARS,
            (remedy("cure"), 10.0): HEARS,
            (remedy("cure"), 50.0): HEARS,
        },
    )
    rows = rows_of(run)
    assert rows["released"].effect > 0.3
    assert rows["renumbering"].effect == rows["released"].effect
    assert rows["renumbering"].effect_lo > 0
    assert rows["dilution"].effect == rows["only together"].effect == 0.0
    assert rows["cure"].relative == 1.0
    assert rows["cure"].effect == pytest.approx(rows["released"].effect)
    assert [row.kind for row in cause_rows(run)] == [
        *("released", "part", "part", "remainder", "remedy"),
    ]


def test_one_clip_has_losses_without_intervals(tmp_path: Path) -> None:
    run = planted(tmp_path / "run", {(RELEASED, 10.0): HEARS, (RELEASED, 50.0): DEAF})
    (row,) = cause_rows(run)
    single = replace(row, effect_lo=nan, effect_hi=nan)
    assert f"| {-100 * row.effect:+.0f} |" in markdown([single])


@pytest.mark.parametrize("level", ["mix", "surround"])
def test_what_shares_are_of_is_said(tmp_path: Path, level: str) -> None:
    """Under niah-v2.1 the scene of 10 s has the noise in it; tables called its score what is clean in cells.csv."""
    scores = {(RELEASED, 10.0): HEARS, (RELEASED, 50.0): DEAF}
    run = planted(tmp_path / "run", scores, haystack="gaussian", snr_db=0.0, level=level)
    (row,) = cause_rows(run)
    assert row.base_snr_db == (0.0 if level == "mix" else None)
    in_noise = "per cent of the score at 10 s in the same noise:" in markdown([row])
    assert in_noise == (level == "mix")


def test_two_parts_have_a_cost_in_each_order_and_its_mean(tmp_path: Path) -> None:
    """Either cause alone costs the whole drop: taken away last each costs nothing, on the mean half of the drop."""
    run = planted(
        tmp_path / "run",
        {
            (RELEASED, 10.0): HEARS,
            (RELEASED, 50.0): DEAF,
            (RENUMBERING, 50.0): DEAF,
            (DILUTION, 50.0): DEAF,
        },
    )
    rows = rows_of(run)
    drop = rows["released"].effect
    for name in ("renumbering", "dilution"):
        row = rows[name]
        assert row.effect == pytest.approx(drop)
        assert row.last == pytest.approx(0, abs=1e-12)
        assert row.shapley == pytest.approx(drop / 2)
        assert row.shapley_lo < row.shapley < row.shapley_hi
    assert sum(rows[name].shapley for name in ("renumbering", "dilution")) == pytest.approx(drop)
    assert np.isnan(rows["released"].shapley)
    assert "mean of both (Shapley)" in markdown(list(rows.values()))


def test_the_committed_causes_of_the_ast_cost_what_both_orders_say() -> None:
    """ast-sin-nano at 100 s: renumbering costs .203 alone, .075 last, .139 on the mean; dilution .257, .129, .193."""
    with (tiny.REPOSITORY / "results" / "embedded-causes" / "causes.csv").open() as stream:
        rows = {
            row["variant"]: float(row["effect"])
            for row in csv.DictReader(stream)
            if (row["model"], float(row["length_s"])) == ("ast-sin-nano", 100.0)
        }
    for name, other, alone, last, mean in (
        ("renumbering", "dilution", 0.203, 0.075, 0.139),
        ("dilution", "renumbering", 0.257, 0.129, 0.193),
    ):
        assert rows[name] == pytest.approx(alone, abs=5e-4)
        assert rows["released"] - rows[other] == pytest.approx(last, abs=5e-4)
        assert (rows[name] + rows["released"] - rows[other]) / 2 == pytest.approx(mean, abs=5e-4)


def test_shares_are_of_the_scores_and_parts_sum_to_the_drop(tmp_path: Path) -> None:
    gains = {
        (RELEASED, 10.0): 3.0,
        (RELEASED, 50.0): 1.0,
        (RENUMBERING, 50.0): 1.8,
        (DILUTION, 50.0): 2.2,
        (remedy("cure"), 10.0): 2.0,
        (remedy("cure"), 50.0): 1.5,
    }
    stored = {
        key: logits(gain, seed=i).astype(np.float16) for i, (key, gain) in enumerate(gains.items())
    }
    rows = rows_of(planted(tmp_path / "run", stored))

    def mAP(variant: Variant, length_s: float) -> float:  # noqa: N802
        values = stored[variant, length_s].astype(np.float64)
        return float(
            np.mean(
                [average_precision_score(t, s) for t, s in zip(TARGETS.T, values.T, strict=True)]
            )
        )

    base = mAP(RELEASED, 10.0)
    assert rows["released"].effect == pytest.approx(1 - mAP(RELEASED, 50.0) / base)
    for each in (RENUMBERING, DILUTION):
        assert rows[each.name].effect == pytest.approx(1 - mAP(each, 50.0) / base)
        assert rows[each.name].base_mAP == pytest.approx(base)
    parts = [row.effect for row in rows.values() if row.kind in ("part", "remainder")]
    assert sum(parts) == pytest.approx(rows["released"].effect)
    cure = remedy("cure")
    own = mAP(cure, 50.0) / mAP(cure, 10.0)
    assert rows["cure"].relative == pytest.approx(own)
    assert rows["cure"].effect == pytest.approx(own - mAP(RELEASED, 50.0) / base)
    for row in rows.values():
        assert row.effect_lo < row.effect < row.effect_hi


def test_a_part_is_compared_on_the_same_clips(tmp_path: Path) -> None:
    """Paired: a part that ranks all clips as the released model does has what as many clips allow, and no more."""
    run = planted(
        tmp_path / "run",
        {(RELEASED, 10.0): HEARS, (RELEASED, 50.0): HEARS, (part("network", "..."), 50.0): HEARS},
    )
    rows = rows_of(run).values()
    assert rows
    for row in rows:
        allowed = 1 - 0.025 ** (1 / row.n_clips)
        assert (row.effect, row.effect_lo, row.effect_hi) == pytest.approx((0.0, -allowed, allowed))


def test_everything_is_written_and_nothing_is_made_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NIAH_FIGURES")  # as for a user
    run = planted(
        tmp_path / "run",
        {(RELEASED, 10.0): HEARS, (RELEASED, 50.0): DEAF, (part("network", "x | y"), 50.0): DEAF},
    )
    assert [path.name for path in write(run)] == [CSV_FILE, MARKDOWN_FILE, FIGURE_FILE]
    with (run.path / CSV_FILE).open() as file:
        rows = {row["variant"]: row for row in csv.DictReader(file)}
    assert rows["pooling"]["mAP"] == rows["pooling"]["relative"] == rows["released"]["snr_db"] == ""
    text = (run.path / MARKDOWN_FILE).read_text()
    assert "network: x \\| y" in text
    assert all((run.path / f"causes.{kind}").stat().st_size > 5000 for kind in ("svg", "pdf"))
    assert (run.path / FIGURE_FILE).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_legend_names_chance_and_covers_no_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canvases: list[Any] = []

    def write(canvas: Any, *rest: Any) -> Figure:
        canvases.append(canvas)
        return save(canvas, *rest)

    monkeypatch.setattr(figure, "save", write)
    run = planted(tmp_path / "run", {(RELEASED, 10.0): HEARS, (RELEASED, 50.0): DEAF})
    figure.draw([*rows_of(run).values()], tmp_path / FIGURE_FILE)
    with drawn_for(COLUMN):
        figure.draw([*rows_of(run).values()], tmp_path / FIGURE_FILE)
    left = canvases[0].axes[0]
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["released", "chance"]
    below, panel = left.get_legend().get_window_extent(), left.get_window_extent()
    assert 0 <= below.y0 < below.y1 < panel.y0
    assert "chance" in [text.get_text() for text in canvases[1].axes[0].texts]


# --- the command


def options(out: Path, *models: str, **given: object) -> CauseOptions:
    asked = {"lengths_s": (12.0,), "limit": 3, "device": "cpu", **given}
    return CauseOptions(models=models, out=out, **asked)  # type: ignore[arg-type]


def test_the_embedded_models_are_taken_apart_and_not_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    asked = options(out, "dass-nano", "ast-sin-nano")
    causes(asked)
    rows = cause_rows(RunDirectory(out))
    named = {(row.model, row.kind): set[str]() for row in rows}
    for row in rows:
        named[row.model, row.kind].add(row.variant)
    assert named["ast-sin-nano", "part"] == {"renumbering", "dilution"}
    assert named["dass-nano", "part"] == {"network"}
    assert named["dass-nano", "remainder"] == {"pooling"}
    assert len(named["dass-nano", "remedy"]) == 9
    before = (out / CSV_FILE).read_bytes()

    def no_more(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("niah.diagnosis.causes.measuring._Measuring._measure", no_more)
    causes(asked)
    assert (out / CSV_FILE).read_bytes() == before


def test_what_cannot_be_taken_apart_is_refused(tmp_path: Path) -> None:
    card = tiny.card(tmp_path)
    weights = str(tiny.checkpoint(tmp_path))
    needles = str(tiny.manifest(tmp_path / "clips"))
    out = tmp_path / "out"
    with pytest.raises(NiahError, match="no causes are defined for model"):
        causes(options(out, str(card), checkpoint=weights, needles=needles))
    with pytest.raises(NiahError, match="beyond 10 s"):
        options(out, "dass-nano", lengths_s=(10.0,))
    with pytest.raises(NiahError, match="random weights"):
        causes(options(out, "dass-nano", checkpoint="random"))


def test_a_folder_of_other_scenes_is_refused(tmp_path: Path) -> None:
    run = planted(tmp_path / "run", {(RELEASED, 10.0): HEARS, (RELEASED, 50.0): DEAF})
    with pytest.raises(NiahError, match="holds another run"):
        causes(options(run.path, "dass-nano"))


@pytest.mark.parametrize("spec", ["{file}:tagger", "{file}:Tagger", "hf:owner/name", "yamnet"])
def test_models_without_known_parts_are_not_asked_for_options(tmp_path: Path, spec: str) -> None:
    """They were asked for --labels and --sample-rate, which `niah causes` does not have, or clips were fetched."""
    file = (
        tmp_path / f"own_{spec.rpartition(':')[2].replace('/', '_')}.py"
    )  # a module of each name is loaded once
    file.write_text("def tagger(x):\n    return x\nclass Tagger:\n    logits = 0\n")
    model = spec.format(file=file)
    with pytest.raises(NiahError, match=rf"no causes are defined for model '{model}'"):
        causes(CauseOptions((model,), (20.0,), tmp_path / "out"))
