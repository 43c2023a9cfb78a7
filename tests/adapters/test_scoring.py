"""What a user's adapter answers is checked wherever it is asked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import niah
from niah.adapters.scoring import scored
from niah.adapters.wrappers.pooled import Pooled
from niah.adapters.wrappers.sliding_window import SlidingWindow
from niah.diagnosis.localisation.evidence import position_curve
from niah.errors import NiahError
from niah.frontends.kaldi import AST
from niah.vocabularies import vocabulary


class Answers:
    """An adapter of log-mel frames that answers with any function of them."""

    kernel = "torch"
    frontend = AST
    sample_rate = AST.sample_rate
    labels = vocabulary("synthetic")

    def __init__(self, name: str, answer: Callable[[Tensor], Any]) -> None:
        self.name = name
        self._answer = answer

    def logits(self, features: Tensor) -> Any:
        return self._answer(features)

    def position_logits(self, features: Tensor) -> Any:
        return self._answer(features)


def bands(features: Tensor) -> Tensor:
    return features[:, :, :25].mean(dim=1)


WRONG = {
    "columns": (lambda x: bands(x)[:, :24], r"logits of 2 inputs are \(2, 24\), must be \(2, 25\)"),
    "rows": (lambda x: bands(x)[:1], r"logits of 2 inputs are \(1, 25\)"),
    "axes": (lambda x: bands(x)[:, None], r"logits of 2 inputs are \(2, 1, 25\)"),
    "array": (lambda x: bands(x).numpy(), "logits must be a tensor, not ndarray"),
    "pair": (lambda x: (bands(x), None), "logits must be a tensor, not tuple"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_logits_of_another_shape_are_refused_whole_and_over_windows(kind: str) -> None:
    answer, message = WRONG[kind]
    adapter: Any = Answers(kind, answer)
    scene = torch.zeros(2, 2048, AST.mels)
    for scorer in (adapter, SlidingWindow(adapter, 10.0, windows_at_once=2)):
        with pytest.raises(NiahError, match=f"{kind}: {message}"):
            scored(scorer, scene)


@pytest.mark.parametrize(
    "answer", [bands, lambda x: x[:, :, :24], lambda x: x[:1, :, :25], lambda x: [x]]
)
def test_logits_at_positions_of_another_shape_are_refused(answer: Any) -> None:
    pooled = Pooled(Answers("tagger", answer), "max", "average")
    with pytest.raises(NiahError, match="tagger: logits at positions of 2 inputs are"):
        pooled.logits(torch.zeros(2, 30, AST.mels))
    good = Pooled(Answers("tagger", lambda x: x[:, :, :25]), "max", "average")
    assert scored(good, torch.zeros(2, 30, AST.mels), columns=50).shape == (2, 50)


def test_a_curve_of_positions_of_another_shape_is_refused() -> None:
    """It ended `niah locate` and `niah preview` in a traceback."""
    adapter: Any = Answers("tagger", lambda x: x[:, :, :24])
    with pytest.raises(
        NiahError, match=r"tagger: logits at positions of 1 inputs are \(1, 30, 24\)"
    ):
        position_curve(adapter, torch.zeros(30, AST.mels))


def test_a_model_of_wrong_answers_does_not_end_the_run_of_others(tmp_path: Path) -> None:
    """It did, with a message without its name, and with a traceback where there were too few rows."""
    models = [Answers(kind, answer) for kind, (answer, _) in WRONG.items()]
    broken = Answers("broken", lambda x: bands(x) * torch.nan)
    table = niah.run(
        models=[*models, broken, Answers("right", bands)],
        haystacks=["zero"],
        lengths=[10],
        limit=4,
        batch_size=2,
        device="cpu",
        out=tmp_path / "run",
    )
    rows = table.set_index("model")
    assert rows["status"].to_dict() == {**dict.fromkeys([*WRONG, "broken"], "error"), "right": "ok"}
    assert "columns: logits of 2 inputs are (2, 24)" in rows["error"]["columns"]
    assert rows["error"]["broken"].startswith("broken: logits of 4 of 4 clips are NaN or infinite")
    assert "--dtype" not in rows["error"]["broken"]  # it is float32
