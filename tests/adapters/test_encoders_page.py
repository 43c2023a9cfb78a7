"""docs/encoders.md, run as it stands: a linear probe's curve, and the same on an encoder of `transformers`."""

import re
import runpy
from pathlib import Path

import pandas as pd
import pytest

from niah.errors import NiahError
from tests.helpers import tiny, tiny_transformers

PAGE = (tiny.REPOSITORY / "docs" / "encoders.md").read_text()
SCRIPT, OF_THE_HUB = (
    str(block) for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
)
MAIN = 'if __name__ == "__main__":\n'


def cells_of(script: str, folder: Path) -> pd.DataFrame:
    (folder / "probe.py").write_text(script)
    runpy.run_path(str(folder / "probe.py"), run_name="__main__")
    return pd.read_csv(folder / "runs" / "probe" / "cells.csv")


def with_encoder(folder: Path) -> str:
    """The page's second block in place of the first's `embed`, and a tenth of the clips."""
    functions, place, rest = SCRIPT.partition(MAIN)
    own = OF_THE_HUB.replace("facebook/wav2vec2-base", str(folder))
    assert own != OF_THE_HUB
    short = rest.replace("limit=400", "limit=40").replace(
        "lengths=[10, 50],", "lengths=[10, 20], limit=20,"
    )
    return functions + own + "\n\n" + place + short


@pytest.mark.slow  # `.ci/run` runs it beside docs/your-model.md
def test_the_page_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = cells_of(SCRIPT, tmp_path)
    assert set(first["status"]) == {"ok"}
    assert list(first["haystack"]) == ["gaussian", "gaussian", "none", "silence"]
    clean = first[first["haystack"] == "none"].iloc[0]
    assert clean["mAP_lo"] > clean["chance_mAP"] + 0.05  # the layer has learnt
    again = cells_of(SCRIPT, tmp_path)
    assert list(again["cell"]) == list(first["cell"])  # the fit gives the same bits, so it resumes


def test_a_hub_encoder_is_probed_and_its_weights_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    encoder = tiny_transformers.wav2vec2(tmp_path / "encoder", (), kind="Wav2Vec2Model")
    first = cells_of(with_encoder(encoder), tmp_path)
    assert set(first["status"]) == {"ok"}
    other = tiny_transformers.wav2vec2(tmp_path / "other", (), kind="Wav2Vec2Model")
    with pytest.raises(
        NiahError, match="weights of model 'linear_probe' are not those that scored"
    ):
        cells_of(with_encoder(other), tmp_path)
