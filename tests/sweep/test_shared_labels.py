"""Models of different vocabularies in one run: the classes that all score count, and scores compare."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

import niah
from niah.compare.paired import compare
from niah.errors import NiahError
from niah.records.run_directory import RunDirectory
from niah.sweep.models import notes_on_labels, resolve_models, shared_labels
from niah.vocabularies import Vocabulary, vocabulary
from tests.helpers.tiny import IDS
from tests.helpers.tiny_sweep import Material
from tests.helpers.waveform_tagger import LABELS, PitchTagger, by_pitch

WIDE = Vocabulary("wide", ("other", *reversed(IDS)), ("Other", *reversed(LABELS.names)))


class WideTagger(PitchTagger):
    """The tagger of the pitches, with a class more and in another order."""

    def __init__(self) -> None:
        super().__init__("wide-pitch")
        self.labels = WIDE

    def waveform_logits(self, waveforms: Tensor) -> Tensor:
        logits = by_pitch(waveforms).flip(1)
        return torch.cat([torch.full((len(logits), 1), 5.0), logits], dim=1)


@pytest.mark.parametrize("specs", [("ast", "yamnet"), ("yamnet", "ast")])
def test_yamnet_and_models_of_audioset_share_yamnets_classes(specs: tuple[str, ...]) -> None:
    models = resolve_models(specs)
    labels = shared_labels(models)
    assert labels == vocabulary("yamnet-521")
    (note,) = notes_on_labels(models, labels)
    assert note.startswith("model 'ast': 521 of its 527 classes count, those of 'yamnet-521'; not ")


def test_labels_may_be_named(tmp_path: Path) -> None:
    ast = resolve_models(["ast"])
    assert shared_labels(ast, "yamnet-521").name == "yamnet-521"
    assert shared_labels(ast, "model") == vocabulary("audioset-527")
    (tmp_path / "three.csv").write_text(
        "mid,display_name\n/m/04rlf,Music\n/m/09x0r,Speech\nmine,Mine\n"
    )
    part = shared_labels(ast, str(tmp_path / "three.csv"))
    assert (part.name, part.names) == ("audioset-527, 2 of 527 classes", ("Speech", "Music"))
    with pytest.raises(
        NiahError, match=r"without a common class .* ast \(audioset-527\) and --lab"
    ):
        shared_labels(ast, "esc-50")


def test_a_run_of_two_vocabularies_compares_their_models(
    material: Material, tmp_path: Path
) -> None:
    def run(name: str, *models: PitchTagger) -> pd.DataFrame:
        return niah.run(
            models=models,
            needles=str(material.clips),
            haystack="silence",
            lengths=[10, 12],
            protocol="niah-v2",
            out=tmp_path / name,
        )

    table = run("both", PitchTagger(), WideTagger())
    directory = RunDirectory(tmp_path / "both")
    for _, cell in table.iterrows():
        scores = directory.read_scores(cell["cell"])
        assert scores.classes == IDS
        assert scores.ranked.shape == (cell["n_clips"], len(IDS))
    columns = ["length_s", "mAP", "auc", "chance_mAP", "classes_scored"]
    mine, wider = (
        table.loc[table["model"] == name, columns].reset_index(drop=True)
        for name in ("pitch", "wide-pitch")
    )
    pd.testing.assert_frame_equal(mine, wider)
    notes = "\n".join(directory.run_json()["notes"])
    assert "model 'wide-pitch': 3 of its 4 classes count, those of 'labels'; not Other" in notes
    alone = run("alone", PitchTagger())
    assert set(alone["cell"]) < set(
        table["cell"]
    )  # a model whose classes all count has its usual keys
    wide = run("wide", WideTagger())
    assert not set(wide["cell"]) & set(table["cell"])
    comparison = compare(tmp_path / "both", models=("pitch", "wide-pitch"))
    assert {each.difference for each in comparison.differences} == {0.0}
