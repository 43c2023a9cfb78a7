"""docs/encoders.md, run as it stands: a linear probe's curve, and the same on encoders of `transformers` and mteb."""

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from niah.errors import NiahError
from niah.needles.readers import synthetic
from tests.helpers import tiny, tiny_transformers

PAGE = (tiny.REPOSITORY / "docs" / "encoders.md").read_text()
SCRIPT, OF_THE_HUB, OF_MTEB = (
    str(block) for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
)
NAME = "facebook/wav2vec2-base"  # the encoder that the page fetches
MTEB_WAV2VEC2 = "mteb.models.model_implementations.wav2vec2_models"
MAIN = 'if __name__ == "__main__":\n'


def cells_of(script: str, folder: Path) -> pd.DataFrame:
    (folder / "probe.py").write_text(script)
    runpy.run_path(str(folder / "probe.py"), run_name="__main__")
    return pd.read_csv(folder / "runs" / "probe" / "cells.csv")


def with_encoder(block: str, fetched: str, here: str) -> str:
    """A further block of the page in place of `embed`, on an encoder of this machine; few clips."""
    functions, place, rest = SCRIPT.partition(MAIN)
    own = block.replace(fetched, here)
    assert own != block
    short = rest.replace("limit=400", "limit=25").replace(
        "lengths=[10, 50],", "lengths=[10, 20], limit=5,"
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
    monkeypatch.setattr(synthetic, "SIZES", dict.fromkeys(synthetic.SIZES, 60))
    encoder = tiny_transformers.wav2vec2(tmp_path / "encoder", (), kind="Wav2Vec2Model")
    first = cells_of(with_encoder(OF_THE_HUB, NAME, str(encoder)), tmp_path)
    assert set(first["status"]) == {"ok"}
    other = tiny_transformers.wav2vec2(tmp_path / "other", (), kind="Wav2Vec2Model")
    with pytest.raises(
        NiahError, match="weights of model 'linear_probe' are not those that scored"
    ):
        cells_of(with_encoder(OF_THE_HUB, NAME, str(other)), tmp_path)


@pytest.mark.network  # mteb's wrappers need a torchaudio of torch's own release: an environment of their own
def test_an_encoder_of_mteb_is_probed_and_its_weights_count(tmp_path: Path) -> None:
    uv = shutil.which("uv") or str(tiny.REPOSITORY / ".uv" / "bin" / "uv")
    packages = (str(tiny.REPOSITORY), "mteb>=2.26,<3", "torch==2.11.0", "torchaudio==2.11.0")
    command = [uv, "run", "--no-project", "--isolated", "--python", f"3.{sys.version_info.minor}"]
    command += [word for package in packages for word in ("--with", package)]
    outcomes = []
    for name in ("encoder", "other"):
        encoder = tiny_transformers.wav2vec2(tmp_path / name, (), kind="Wav2Vec2Model")
        wrapper = f'Wav2Vec2AudioWrapper("{encoder}", revision=None)'
        script = with_encoder(OF_MTEB, f'mteb.get_model("{NAME}")', wrapper)
        script = script.replace(
            "import mteb\n", f"from {MTEB_WAV2VEC2} import Wav2Vec2AudioWrapper\n"
        )
        (tmp_path / "probe.py").write_text(script)
        outcomes.append(
            subprocess.run(
                [*command, "probe.py"], cwd=tmp_path, capture_output=True, text=True, check=False
            )
        )
    assert outcomes[0].returncode == 0, outcomes[0].stderr
    table = pd.read_csv(tmp_path / "runs" / "probe" / "cells.csv")
    assert set(table["status"]) == {"ok"}
    assert "weights of model 'linear_probe' are not those that scored" in outcomes[1].stderr
