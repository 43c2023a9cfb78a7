"""Feeding a model piece by piece: carried states, windows for all other models, bytes of any state."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from niah.adapters.aum import Aum
from niah.adapters.streaming import WindowStream, carried_stream, next_logits, state_bytes
from niah.adapters.waveform import WaveformAdapter
from niah.cards import ModelCard
from niah.errors import NiahError
from niah.frontends.kaldi import AST
from tests.helpers.waveform_tagger import PitchTagger, by_pitch


def aum(**config: Any) -> Aum:
    card = ModelCard(
        "mine", "niah.adapters.aum:Aum", "esc-10", config={"width": 16, "depth": 2, **config}
    )
    adapter = Aum(card, device=torch.device("cpu"))
    adapter.randomise(3)
    return adapter


def features(frames: int) -> Tensor:
    return torch.randn(1, frames, AST.mels, generator=torch.Generator().manual_seed(frames))


class Counts(PitchTagger):
    """A user's own waveform model with a state: the samples so far, as a dictionary."""

    def start(self) -> dict[str, Any]:
        return {"heard": torch.zeros(1, 0)}

    def step(self, state: dict[str, Any], waveform: Tensor) -> tuple[dict[str, Any], Tensor | None]:
        heard = torch.cat([state["heard"], waveform], dim=1)
        return {"heard": heard}, by_pitch(heard) if heard.shape[1] else None


def test_a_causal_card_carries_its_state_and_the_official_ones_do_not() -> None:
    x = features(230)
    adapter = aum(design="fo-fo", causal=True)
    stream = carried_stream(adapter)
    assert stream is not None
    state, said = stream.start(), np.empty(0)
    sizes = []
    for piece in torch.split(x, 23, dim=1):
        state, said = next_logits(stream, state, piece, 10)
        sizes.append(state_bytes(state))
    np.testing.assert_allclose(said, adapter.logits(x)[0].numpy(), atol=1e-5)
    layers = 2 * (3 + 16) * 32 * 4  # inputs of the convolution and the scan's state, float32
    assert layers < min(sizes)
    assert max(sizes) == layers + 15 * 128 * 4 + 10 * 4  # at most 15 frames wait for a patch
    for design in ("fo-fo", "fo-bi", "bi-bi"):
        assert carried_stream(aum(design=design)) is None


def test_a_users_waveform_model_is_fed_samples() -> None:
    adapter = WaveformAdapter(Counts())
    stream = carried_stream(adapter)
    assert stream is not None
    wave = torch.sin(torch.arange(1600) * 0.5)
    state, nothing = next_logits(stream, stream.start(), torch.empty(1, 0, 160), 3)
    assert np.isneginf(nothing).all()
    for piece in torch.split(adapter.frontend(wave[None]), 3, dim=1):
        state, said = next_logits(stream, state, piece, 3)
    np.testing.assert_allclose(said, by_pitch(wave[None])[0].numpy(), atol=1e-5)
    assert carried_stream(WaveformAdapter(PitchTagger())) is None


def test_windows_are_the_last_seconds_and_short_ones_are_padded_as_a_clip_is() -> None:
    adapter = aum()
    stream, x = WindowStream(adapter, 100), features(250)
    state, _ = next_logits(stream, stream.start(), x[:, :30], 10)
    state, said = next_logits(stream, state, x[:, 30:60], 10)
    padding = (0.0 + 4.2677393) / (2 * 4.5689974)
    padded = torch.cat([x[:, :60], torch.full((1, 40, 128), padding)], dim=1)
    np.testing.assert_allclose(said, adapter.logits(padded)[0].numpy(), atol=1e-5)
    state, said = next_logits(stream, state, x[:, 60:], 10)
    np.testing.assert_array_equal(said, adapter.logits(x[:, 150:])[0].numpy())
    assert state_bytes(state) == 100 * 128 * 4


def test_bytes_of_any_state() -> None:
    big = torch.zeros(1000)
    assert state_bytes(big[:10]) == 4000  # all that the view keeps
    assert state_bytes((big[:10], big[5:])) == 4000  # once
    own = SimpleNamespace(rows=[np.zeros(5), np.zeros(5)], text="x", deep={"a": bytearray(10)})
    assert 80 + 10 <= state_bytes(own) < 80 + 100
    own.me = own  # a circle
    assert state_bytes(own) < 80 + 100
    assert state_bytes(None) == 0


@pytest.mark.parametrize(
    ("logits", "message"),
    [(torch.zeros(2, 3), r"\(1, 3\) or None, got \(2, 3\)"), (torch.full((1, 3), np.nan), "NaN")],
)
def test_wrong_logits_are_refused(logits: Tensor, message: str) -> None:
    stream = SimpleNamespace(start=lambda: None, step=lambda state, _: (state, logits))
    with pytest.raises(NiahError, match=message):
        next_logits(stream, None, features(1), 3)
