"""Predictions files: every form gives the same logits, and what does not fit is one line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from niah.errors import NiahError
from niah.exchange.predictions import read_predictions
from niah.exchange.score_matrix import ScoreMatrix, score_matrix
from niah.vocabularies import Vocabulary

LABELS = Vocabulary("pets", ("/m/dog", "/m/cat"), ("Dog, barking", "Cat"))
SCENES = ("a-1", "a-2")
SCORES = {"a-1": {"/m/dog": 2.5, "/m/cat": -1.0}, "a-2": {"/m/dog": 0.0, "/m/cat": 3.0}}
LONG = [(scene, label, score) for scene, each in SCORES.items() for label, score in each.items()]


def matrix_of(path: Path, scale: str = "auto") -> ScoreMatrix:
    return score_matrix(read_predictions(path), SCENES, LABELS, scale)


def long_csv(path: Path, rows: Any = LONG, separator: str = ",") -> Path:
    lines = ["scene,label,score", *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines).replace(",", separator) + "\n")
    return path


def lines_of(path: Path, *entries: Any) -> Path:
    path.write_text(
        "\n".join(each if isinstance(each, str) else json.dumps(each) for each in entries)
    )
    return path


def test_every_form_gives_the_same_logits(tmp_path: Path) -> None:
    wide = pd.DataFrame([{"scene": scene, **each} for scene, each in SCORES.items()])
    long = pd.DataFrame(LONG, columns=["scene", "label", "score"])
    names = {"/m/dog": "dog_barking", "/m/cat": "Cat"}
    wide.to_parquet(tmp_path / "wide.parquet")
    wide.rename(columns=names).to_csv(tmp_path / "named.csv", index=False)
    wide.assign(scene="sounds/a/" + wide["scene"] + ".flac").to_csv(
        tmp_path / "files.csv", index=False
    )
    long.to_parquet(tmp_path / "long.parquet")
    by_line = [{"scene": s, "label": label, "score": score} for s, label, score in LONG]
    wide.set_index("scene").to_parquet(tmp_path / "indexed.parquet")
    wide[::-1].to_parquet(tmp_path / "reversed.parquet")  # keeps its index as a column
    saved = long_csv(tmp_path / "saved.csv", [(*row, "") for row in LONG], " ; ")
    saved.write_bytes(
        b"\xef\xbb\xbf"
        + saved.read_bytes().replace(b"label ; score", b'"label"; score;').replace(b"\n", b"\r\n")
    )
    files = [
        saved,
        *(tmp_path / f"{name}.parquet" for name in ("indexed", "reversed")),
        long_csv(tmp_path / "long.csv"),
        long_csv(tmp_path / "long.tsv", LONG[::-1], "\t"),
        *(tmp_path / name for name in ("wide.parquet", "named.csv", "files.csv", "long.parquet")),
        lines_of(tmp_path / "long.jsonl", *by_line),
        lines_of(
            tmp_path / "scores.jsonl", *({"scene": s, "scores": e} for s, e in SCORES.items())
        ),
        lines_of(tmp_path / "wide.jsonl", *({"scene_id": s, **e} for s, e in SCORES.items())),
    ]
    for file in files:
        matrix = matrix_of(file)
        ordered = matrix.logits[[matrix.rows[scene] for scene in SCENES]]
        np.testing.assert_array_equal(ordered, [[2.5, -1], [0, 3]], err_msg=file.name)
        assert matrix.scale == "logit"
        assert any("alike" in note for note in matrix.notes) == (file.name == "named.csv")


def test_every_form_of_words(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text('scene,label\na-1,"Dog, barking"\na-1,Cat\na-2,\n')
    (tmp_path / "parted.csv").write_text('scene,labels\na-1,"Dog, barking;Cat;Cat"\na-2,\n')
    nested = pd.DataFrame({"scene": SCENES, "labels": [["/m/dog", "/m/cat"], []]})
    nested.to_parquet(tmp_path / "words.parquet")
    lines_of(
        tmp_path / "words.jsonl",
        {"scene": "a-1", "labels": ["Dog, barking", "Cat"]},
        {"scene": "a-2", "labels": []},
    )
    for name in ("one.csv", "parted.csv", "words.parquet", "words.jsonl"):
        matrix = matrix_of(tmp_path / name)
        assert ((matrix.logits > 0) == [[True, True], [False, False]]).all(), name
        assert matrix.rows == {"a-1": 0, "a-2": 1}
        assert matrix.notes[0].startswith("answers in words")


def test_scores_in_0_to_1_are_probabilities_unless_said(tmp_path: Path) -> None:
    rows = [("a-1", "Cat", 0.5), ("a-2", "Cat", 0.0), ("a-2", "/m/dog", 1.0)]
    file = long_csv(tmp_path / "p.csv", rows)
    matrix = matrix_of(file)
    dog, cat = matrix.logits.T
    assert matrix.scale == "probability"
    assert cat[0] == 0
    assert cat[1] == dog[0] == matrix.logits.min()  # the absent one is a probability of 0
    assert dog[1] == matrix.logits.max() > 30
    assert np.isfinite(matrix.logits).all()
    assert any("66.7 % of the probabilities are exactly 0 or 1" in note for note in matrix.notes)
    stated = matrix_of(file, "logit")
    assert not any("exactly" in note for note in stated.notes)
    assert stated.logits.tolist() == [[-1, 0.5], [1, 0]]  # the absent one is below all


def test_labels_without_a_class_are_counted(tmp_path: Path) -> None:
    file = long_csv(tmp_path / "p.csv", [*LONG[1::2], ("a-1", "Wolf", 1.5), ("a-2", "Fox", "")])
    notes = matrix_of(file).notes
    assert "labels that are no class of 'pets', not scored (2): 'Wolf', 'Fox'" in notes
    assert "1 of 2 classes of 'pets' are in no prediction: they get the lowest score" in notes


ROW = "a-1,Cat,2"
TABLES = {  # content of a CSV: part of the refusal
    f"scene,label,score\n{ROW}\nb-1,Cat,1\nb-2,Cat,1\n": "2 scenes are of the predictions and no scene of manifest.csv",
    f"scene,label,score\n{ROW}\n{ROW}\n": "1 score is there twice, first scene 'a-1', label 'Cat'",
    "scene,label,score\na-1,Cat,2\na-1,/m/cat,2\n": "1 score is there twice",
    f"scene,label,score\n{ROW}\na-2,Cat,nan\n": "1 score is NaN, .* first scene 'a-2', label 'Cat'",
    f"scene,label,score\n{ROW}\na-2,Cat,\n": "1 score is NaN, infinite or missing",
    f"scene,label,score\n{ROW}\na-2,Cat,1e300\n": "1 score is larger than float32 holds",
    f"scene,label,score\n{ROW}\na-2,Cat,inf\n": "1 score is NaN, infinite or missing",
    f"scene,label,score\n{ROW}\na-2,Cat,high\n": "column 'score' must be numbers",
    "scene,label,score\na-1,Wolf,2\na-2,Fox,1\n": "none of the 2 labels .* is a class of 'pets'",
    "scene,Cat\na-1,2\na-1,3\n": "scene 'a-1' is there twice",
    "scene,Cat\na-1,2\na-2,\n": "1 score is NaN",
    "scene\na-1\n": "lacks the column 'score'",
    "scene,label,confidence\na-1,Cat,1\n": "lacks the column 'score'",
    "clip,label,score\na-1,Cat,1\n": "lacks the column 'scene'; its header is 'clip,label,score'",
    "scene,label,score\n": "has no entries",
    "\n": "is empty",
    "": "is empty",
    "scene,label,score\na-1,Cat,1\n\xff": "line 3: is not UTF-8 text",
    "scene,label,score\na-1,Cat,1\0\n": "holds NUL bytes",
    "scene,label,score\na-1,Cat,0,5\na-2,Cat,0,5\n": "more cells than the header's 3",
    f"scene,label,score\n{ROW}\na-2,Cat,0,5\n": "is no table .*Expected 3 fields",
    "scene;label;score\na-1;Cat;0,5\n": "column 'score' must be numbers",
    "scene,label,score\na-2,Cat\n": "1 score is NaN, infinite or missing",
    "scene,label,score\n,Cat,1\n": "row 1 names no scene",
    "scene,Cat, Cat\na-1,2,3\n": "has two columns 'Cat'",
    f"scene,label,score\n{ROW}\na-2,Cat,{'9' * 400}\n": "infinite|must be numbers",
}


@pytest.mark.parametrize("content", TABLES)
def test_a_bad_table_is_one_line(content: str, tmp_path: Path) -> None:
    file = tmp_path / "p.csv"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(NiahError, match=TABLES[content]) as caught:
        matrix_of(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["{"], "line 1: is no JSON"),
        (["[1]"], "line 1: must be a JSON object"),
        ([{"label": "Cat", "score": 1}], "line 1: has no text 'scene'"),
        ([{"scene": "a-1", "scores": 3}], "line 1: must be scene, label, score"),
        ([{"scene": "a-1", "scores": {"Cat": "x"}}], "the score of 'Cat' is no number"),
        ([{"scene": "a-1", "Cat": 1.0}] * 2, "line 2: scene 'a-1' is there twice"),
        ([{"scene": "a-1", "Cat": None}], "1 score is NaN"),
        ([{"scene": "a-1", "scores": {}}], "the predictions have no labels"),
        (['{"scene": "a-1", "Cat": 1, "Cat": 2}'], "line 1: is no JSON .a key is there twice"),
        (['{"scene": "a-1", "Cat": 1' + "0" * 400 + "}"], "the score of 'Cat' is too large"),
        ([{"scene": "a-1", "labels": [3]}], "the labels of scene 'a-1' are no texts"),
        (['{"scene": "a-1", "label": "\\ud800"}'], "line 1: is no JSON"),
        ([{"scene": "a-1", "Cat": 1.0}, {"scene": "a-2", "label": "Cat"}], "labels alone"),
    ],
)
def test_bad_lines_of_json(lines: list[Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(NiahError, match=message):
        matrix_of(lines_of(tmp_path / "p.jsonl", *lines))


def test_other_refusals(tmp_path: Path) -> None:
    with pytest.raises(NiahError, match="no such file"):
        read_predictions(tmp_path / "p.csv")
    (tmp_path / "p.xlsx").touch()
    with pytest.raises(NiahError, match=r"must be .csv, .parquet or .jsonl"):
        read_predictions(tmp_path / "p.xlsx")
    (tmp_path / "p.parquet").write_bytes(b"PAR1")
    with pytest.raises(NiahError, match="is no Parquet file"):
        read_predictions(tmp_path / "p.parquet")
    file = long_csv(tmp_path / "p.csv")
    with pytest.raises(NiahError, match=r"the scores go from -1 to 3, must lie in \[0, 1\]"):
        matrix_of(file, "probability")
    with pytest.raises(NiahError, match=r"--scores 'prob': unknown. Did you mean 'probability'"):
        matrix_of(file, "prob")
