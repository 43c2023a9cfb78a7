"""Every shipped network at its full size: each dtype and a shorter, the own and a longer length on a CPU."""

import pytest
import torch

import niah
from niah.adapters.importing import import_adapter
from niah.adapters.network_adapter import NetworkAdapter
from niah.cards import ModelCard, model_cards
from niah.errors import NiahError

SECONDS = (5, 10, 20)


def _is_network(card: ModelCard) -> bool:
    adapter = import_adapter(card)
    return isinstance(adapter, type) and issubclass(adapter, NetworkAdapter)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("card", model_cards(), ids=lambda card: card.name)
def test_logits_are_finite_or_refused_in_one_line(card: ModelCard, dtype: str) -> None:
    if not _is_network(card):
        assert card.family == "YAMNet"  # an exported graph has no random weights
        return
    adapter = niah.load_model(card.path, "random", dtype=dtype)
    for seconds in SECONDS:
        frames = round(adapter.frontend.needle_frames * seconds / 10)
        generator = torch.Generator().manual_seed(seconds)
        features = torch.randn(1, frames, adapter.frontend.mels, generator=generator)
        try:
            logits = adapter.logits(features)
        except NiahError as error:
            assert seconds != 10, error  # noqa: PT017
            assert "\n" not in str(error)  # noqa: PT017
            continue
        assert logits.shape == (1, len(adapter.labels))
        assert logits.dtype == torch.float32
        assert bool(logits.isfinite().all()), f"{seconds} s"
