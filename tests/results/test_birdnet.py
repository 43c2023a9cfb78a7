"""results/birdnet-esc50: the page's table and sentences are those of the cells and of `niah compare`."""

import json
from typing import Any

from niah.cards import find_model
from niah.records.naming import length_name
from niah.records.verify import verify
from tests.conftest import REPOSITORY
from tests.results.committed import RESULTS, bounds, missing, records, table

FOLDER = RESULTS / "birdnet-esc50"
CELLS, COMPARED = "birdnet-esc50/run/cells.csv", "birdnet-esc50/compare.csv"
PAGE = "results/birdnet-esc50/README.md"
HAYSTACKS = {"none": "the clips alone", "silence": "silence", "coffee_shop": "restaurant"}


def scene(row: Any) -> str:
    haystack = HAYSTACKS.get(row.haystack, row.haystack)
    return haystack if row.snr_db != row.snr_db else f"{haystack}, {row.snr_db:g} dB"


def sentences() -> list[str]:
    compared = table(COMPARED)
    maps, shares = (compared[compared.quantity == name] for name in ("mAP", "adjusted"))
    assert (compared.p_corrected >= 0.05).all()
    silent = {
        r.model: r for r in records(table(CELLS)) if (r.haystack, r.length_s) == ("silence", 9000)
    }
    return [
        f"Of {len(maps)} differences of mAP and {len(shares)} of the share above chance none holds after Holm's "
        f"correction; before it {(maps.p < 0.05).sum()} and {(shares.p < 0.05).sum()} have p below 0.05",
        f"After 2.5 h of silence BirdNET has {silent['birdnet'].mAP:.3f} and YAMNet {silent['yamnet'].mAP:.3f}",
    ]


def test_the_cells_are_whole_and_of_the_cards_weights() -> None:
    cells = table(CELLS)
    described = json.loads((FOLDER / "run" / "run.json").read_text("utf-8"))
    assert verify(FOLDER / "run").is_good
    assert set(cells.status) == {"ok"}
    assert set(cells.n_clips) == {96}
    assert set(cells.window_s) == {3.0}
    assert described["git"]["dirty"] is False
    for model, spec in (
        ("birdnet", str(REPOSITORY / "scripts/birdnet/birdnet.toml")),
        ("yamnet", "yamnet"),
    ):
        card, name = find_model(spec)
        own = cells[cells.model == model]
        assert len(own) == 14
        assert set(own.checkpoint_sha256) == {described["models"][model]["checkpoint_sha256"]}
        if model == "birdnet":  # yamnet's is of the graph in the archive
            assert set(own.checkpoint_sha256) == {card.weights[name].sha256}


def test_the_page_says_what_the_cells_and_the_comparison_say() -> None:
    by_scene: dict[tuple[str, float], dict[str, Any]] = {}
    for row in records(table(CELLS)):
        by_scene.setdefault((scene(row), row.length_s), {})[row.model] = row
    rows = [
        f"| {name} | {length_name(length_s)} | "
        + " | ".join(f"{own[m].mAP:.3f} {bounds(own[m])}" for m in ("birdnet", "yamnet"))
        + " |"
        for (name, length_s), own in by_scene.items()
    ]
    assert len(rows) == 14
    assert not missing(PAGE, [*rows, *sentences()])


def test_no_sound_and_no_weights_are_in_it() -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".md", ".csv", ".json", ".png", ".parquet"}
