"""results/silero-speech: the page's table and sentences are those of the cells, the scores and of `niah compare`."""

import json
from typing import Any

import numpy as np
import pandas as pd

from niah.cards import find_model
from niah.haystacks.clip_noise import HAYSTACK_DBFS
from niah.records.naming import length_name
from niah.records.verify import verify
from tests.conftest import REPOSITORY
from tests.results.committed import RESULTS, bounds, cell, missing, records, table

FOLDER = RESULTS / "silero-speech"
CELLS, COMPARED, STATE = (
    f"silero-speech/{name}" for name in ("run/cells.csv", "compare.csv", "state.csv")
)
PAGE = "results/silero-speech/README.md"
HAYSTACKS = {"none": "the clips alone", "gaussian": "white noise", "coffee_shop": "restaurant"}
SECONDS = (10, 300, 1000)
LONG = (300, 1000, 3600)
LOUD = {"haystack": "gaussian", "snr_db": -10}
CARRIED, ANEW = MODELS = ("silero-vad", "silero-vad-anew")


def heard(model: str, length_s: float) -> tuple[int, int]:
    """Voices and other sounds whose score is above 0.5."""
    row = cell(CELLS, model=model, length_s=length_s, **LOUD)
    scores = pd.read_parquet(FOLDER / "run" / "scores" / f"{row.cell}.parquet")
    above = np.stack(scores["logits"].to_list())[:, 0] > 0
    spoken = np.array([list(labels) == ["/m/09x0r"] for labels in scores["labels"]])
    assert (len(spoken), spoken.sum()) == (80, 36)
    return int(above[spoken].sum()), int(above[~spoken].sum())


def difference(length_s: float) -> Any:
    rows = table(COMPARED)
    rows = rows[(rows.quantity == "mAP") & (rows.haystack == "gaussian") & (rows.snr_db == -10)]
    (row,) = records(rows[rows.length_s == length_s])
    return row


def test_the_cells_are_whole_and_of_the_cards_weights() -> None:
    cells = table(CELLS)
    described = json.loads((FOLDER / "run" / "run.json").read_text("utf-8"))
    assert verify(FOLDER / "run").is_good
    assert set(cells.status) == {"ok"}
    assert set(cells.n_clips) == {80}
    assert cells.window_s.isna().all()
    assert described["git"]["dirty"] is False
    for model, file in zip(MODELS, ("silero.toml", "silero-anew.toml"), strict=True):
        card, name = find_model(str(REPOSITORY / "scripts" / "silero" / file))
        own = cells[cells.model == model]
        assert len(own) == 23
        assert set(own.checkpoint_sha256) == {card.weights[name].sha256}


def test_the_page_says_what_the_cells_say() -> None:
    by_scene: dict[tuple[str, float], dict[str, Any]] = {}
    for row in records(table(CELLS)):
        name = HAYSTACKS.get(row.haystack, row.haystack)
        name = name if row.snr_db != row.snr_db else f"{name}, {row.snr_db:g} dB"
        by_scene.setdefault((name, row.length_s), {})[row.model] = row
    rows = [
        f"| {name} | {length_name(length_s)} | "
        + " | ".join(f"{own[m].mAP:.3f} {bounds(own[m])}" for m in MODELS)
        + " |"
        for (name, length_s), own in by_scene.items()
    ]
    assert len(rows) == 23
    assert not missing(PAGE, rows)


def test_the_page_says_what_the_comparison_and_the_scores_say() -> None:
    maps = table(COMPARED).query("quantity == 'mAP'")
    assert len(maps) == 23
    assert set(maps.p_corrected[maps.p_corrected < 0.05]) == {
        difference(length_s).p_corrected for length_s in LONG
    }
    carried, anew = ([heard(model, s) for s in (10, 50, *LONG)] for model in MODELS)
    assert carried[0] == anew[0]
    assert {others for _, others in carried} == {0}
    texts = [
        f"{row.difference:.3f} [{row.lo:.3f}, {row.hi:.3f}] at {length_name(row.length_s)}"
        for row in map(difference, LONG)
    ]
    p = [difference(length_s).p_corrected for length_s in LONG]
    assert not missing(
        PAGE,
        [
            f"{', '.join(texts[:2])} and {texts[2]}",
            f"(p = {p[0]:.4f}, {p[1]:.4f} and {p[2]:.4f})",
            f"{carried[0][0]} of 36 voices score above 0.5",
            f"Carried, that is {carried[1][0]} at 50 s, {carried[2][0]} at 300 s, {carried[3][0]} at 1000 s and "
            f"{carried[4][0]} after an hour; anew it is {', '.join(str(n) for n, _ in anew[1:4])} and {anew[4][0]}.",
        ],
    )
    headline = (
        f"hears {carried[0][0]} of 36 voices in loud white noise at 10 s and {carried[2][0]} after 300 s of it, "
        f"and {anew[2][0]} if its state begins anew every 10 s"
    )
    assert not missing("README.md", [headline])


def test_the_page_says_how_the_state_grows() -> None:
    scenes = {s: cell(STATE, noise_dbfs=HAYSTACK_DBFS, seconds=s).largest_cell for s in SECONDS}
    loud = cell(STATE, noise_dbfs=HAYSTACK_DBFS + 10, seconds=9000).largest_cell
    (quiet,) = {round(cell(STATE, noise_dbfs=-50, seconds=s).largest_cell) for s in (10, 9000)}
    assert not missing(
        PAGE,
        [
            f"In white noise of {HAYSTACK_DBFS:g} dBFS, which is what these scenes have, the largest value of the "
            f"LSTM's cell is {scenes[10]:.0f} after 10 s, {scenes[300]:.0f} after 300 s and {scenes[1000]:.0f} after "
            f"1000 s; in noise 10 dB louder it goes on, to {loud:,.0f} after 2.5 h; in noise of -50 dBFS it is "
            f"{quiet} after 10 s and after 2.5 h"
        ],
    )


def test_no_sound_and_no_weights_are_in_it() -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".md", ".csv", ".json", ".png", ".parquet"}
