"""The forecast of a dry run: time within a factor of two, memory, disk, and what several workers make of it."""

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from niah.sweep import inference, pace
from niah.sweep.dry_run import Forecast, forecast, planned_cells
from niah.sweep.loop import sweep
from niah.sweep.options import RunOptions
from tests.helpers import tiny
from tests.helpers.tiny_sweep import Material


def test_the_forecast_counts_what_is_not_done(material: Material, tmp_path: Path) -> None:
    slow = tiny.card(tmp_path, delay_s=0.05)
    options = RunOptions(
        models=(str(slow),),
        checkpoint=str(material.weights),
        needles=str(material.clips),
        haystacks=("zero",),
        lengths_s=(10.0, 20.0, 30.0),
        controls=("needle-free",),
        protocol="niah-v2",
        device="cpu",
        out=tmp_path / "out",
    )
    cells = planned_cells(options, lambda _: None, measure=True)
    costs = forecast(cells, slice_s=600.0)
    # six clips alone and at two lengths; a needle-free scene of zeros is one for all
    assert costs.cells == len(cells)
    one_scene = sum(cell.cell.control is not None for cell in cells)
    assert costs.clips == 6 * (costs.cells - one_scene) + one_scene
    assert costs.total_s == pytest.approx(0.05 * costs.clips, rel=0.8)
    assert costs.total_s is not None
    assert costs.total_s >= 0.05 * costs.clips
    assert costs.of_workers(2) == pytest.approx(costs.total_s / 2)
    assert costs.of_workers(1000) == pytest.approx(costs.longest_s)
    assert not (tmp_path / "out").exists()
    sweep(options)
    stored = sum(file.stat().st_size for file in (tmp_path / "out" / "scores").iterdir())
    assert costs.score_bytes / 2 < stored < costs.score_bytes * 2
    again = forecast(planned_cells(options, lambda _: None, measure=True), slice_s=600.0)
    assert again == Forecast(0, 0, 0, {}, 0, 0, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["dass-nano", "ast-sin-nano", "ast-sin2d-nano", "aum-nano"])
def test_the_forecast_is_within_a_factor_of_two(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both in time of the processor: by the clock, the rest of the machine's work would be forecast too."""
    clock = SimpleNamespace(monotonic=time.process_time, perf_counter=time.process_time)
    monkeypatch.setattr(pace, "time", clock)
    monkeypatch.setattr(inference, "time", clock)
    options = RunOptions(
        models=(model,), limit=20, lengths_s=(10.0, 50.0, 200.0), device="cpu", out=tmp_path / "out"
    )
    for _ in planned_cells(options, lambda _: None):  # the clips are in the cache
        pass
    cells = planned_cells(options, lambda _: None, measure=True)
    expected_s = forecast(cells, slice_s=600.0).total_s
    begin = time.process_time()
    table = sweep(options)
    truth_s = time.process_time() - begin
    assert set(table["status"]) == {"ok"}
    assert expected_s is not None
    print(f"{model}: {expected_s:.1f} s by forecast, {truth_s:.1f} s in truth")
    assert truth_s / 2 < expected_s < truth_s * 2
    peaks = {cell.cell.length_s: cell.peak_bytes for cell in cells}
    assert max(peaks.values()) < 2 * table["peak_memory_bytes"].max()
    assert max(peaks.values()) > table["peak_memory_bytes"].max() / 2
