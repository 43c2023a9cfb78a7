"""Scenes that several models of one front end read are made once, and are the bits of scenes made anew."""

from dataclasses import replace
from pathlib import Path

import torch

from niah.sweep.options import RunOptions
from niah.sweep.plan import Cell
from niah.sweep.setup import EvalSetup


def test_scenes_in_noise_are_shared_by_the_models_of_a_front_end(tmp_path: Path) -> None:
    options = RunOptions(
        models=("dass-nano", "ast-sin-nano"),
        limit=2,
        out=tmp_path / "out",
    )
    setup = EvalSetup(options)
    first, second = (setup.load(spec) for spec in setup.models)
    assert first.scenes is second.scenes
    assert first.scenes.users == 2
    alone = replace(first.scenes, users=1)
    for haystack, snr_db in (("gaussian", 10.0), ("babble", 10.0), ("zero", None)):
        cell = Cell("dass-nano", haystack, 20.0, snr_db, 0.5)
        made = list(first.scenes.of_cell(cell, first.prepared))
        again = list(second.scenes.of_cell(replace(cell, model="ast-sin-nano"), second.prepared))
        assert [a is b for a, b in zip(made, again, strict=True)] == [snr_db is not None] * 2
        anew = alone.of_cell(cell, first.prepared)
        for one, other, fresh in zip(made, again, anew, strict=True):
            assert torch.equal(one.whole(), fresh.whole())
            assert torch.equal(other.whole(), fresh.whole())
    (longer, *_) = first.scenes.of_cell(replace(cell, length_s=30.0), first.prepared)
    assert longer.shape[0] == 3000
