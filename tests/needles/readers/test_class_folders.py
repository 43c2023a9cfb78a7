"""Sets as users have them: a folder a class, or Hugging Face's audiofolder with its table of metadata."""

import json
from pathlib import Path

import pytest

from niah.errors import NiahError
from niah.needles import NeedleSet, load_needles
from niah.vocabularies import Vocabulary

LABELS = Vocabulary("own", ("/m/a", "/m/b"), ("Dog bark", "Rain, light"))


def sounds(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"RIFF")
    return folder


def load(spec: Path | str, strict: bool = False) -> NeedleSet:
    return load_needles(spec, vocabulary=LABELS, strict=strict)


def labels_of(needles: NeedleSet) -> dict[str, tuple[str, ...]]:
    return {needle.id: needle.labels for needle in needles.needles}


def test_a_folder_is_the_label_of_its_sounds(tmp_path: Path) -> None:
    folder = sounds(
        tmp_path / "set", "dog_bark/1.wav", "dog_bark/test-2.flac", "Rain, light/1.wav", "hum/4.wav"
    )
    needles = load(folder)
    assert labels_of(needles) == {
        "dog_bark/1.wav": ("/m/a",),
        "test-2": ("/m/a",),
        "Rain, light/1.wav": ("/m/b",),
    }
    assert any("hum (1)" in note for note in needles.notes)
    assert any("dog_bark" in note for note in needles.notes)  # taken for "Dog bark"
    with pytest.raises(NiahError, match="hum"):
        load(folder, strict=True)
    with pytest.raises(NiahError, match="a folder a class"):
        load(sounds(tmp_path / "flat", "1.wav"))


def test_sounds_beside_the_folders_are_noted(tmp_path: Path) -> None:
    folder = sounds(tmp_path / "set", "dog_bark/1.wav", "2.wav", "3.wav")
    assert any("without a label, left out: 2" in note for note in load(folder).notes)
    with pytest.raises(NiahError, match="beside the folders"):
        load(folder, strict=True)


def test_splits_above_the_classes_are_not_mixed(tmp_path: Path) -> None:
    folder = sounds(tmp_path / "set", "train/dog_bark/1.wav", "test/dog_bark/2.wav")
    with pytest.raises(NiahError, match=r"its sounds are of several splits \(test, train\)"):
        load(folder)
    assert list(labels_of(load(f"{folder}?split=test"))) == ["2"]
    with pytest.raises(NiahError, match="no sound is of the split dev; there are test, train"):
        load(f"{folder}?split=dev")


def test_a_table_of_metadata_names_files_and_labels(tmp_path: Path) -> None:
    folder = sounds(tmp_path / "csv", "a/1.wav", "a/2.wav")
    (folder / "metadata.csv").write_text("file_name,label,fold\na/1.wav,/m/b,1\na/2.wav,/m/a,2\n")
    assert labels_of(load(folder)) == {"1": ("/m/b",), "2": ("/m/a",)}
    assert labels_of(load(f"{folder}?fold=2")) == {"2": ("/m/a",)}
    lines = [
        {"file_name": "x.wav", "labels": ["/m/a", "Rain, light"], "text": "two\u2028lines"},
        {"file_name": "y.wav", "labels": ["/m/b"]},
    ]
    for split in ("train", "validation"):
        sounds(tmp_path / "jsonl" / split, "x.wav", "y.wav")
        table = tmp_path / "jsonl" / split / "metadata.jsonl"
        texts = [json.dumps(line, ensure_ascii=False) for line in lines]
        table.write_text("\r\n".join(texts), encoding="utf-8", newline="")
    with pytest.raises(NiahError, match=r"its tables are of several splits \(train, validation\)"):
        load(tmp_path / "jsonl")
    needles = load(f"{tmp_path / 'jsonl'}?split=validation")
    assert labels_of(needles) == {"x": ("/m/a", "/m/b"), "y": ("/m/b",)}
    assert labels_of(load(table)) == labels_of(needles)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ('{"file_name": "x.wav", "label": "/m/a"}\nx', "line 2: is not a JSON object"),
        ("[1]", "line 1: is not a JSON object"),
        ('{"label": "/m/a"}', "line 1: has no path"),
        ('{"path": "x.wav"}', "lacks a column 'labels'"),
        ('{"path": "x.wav", "label": "hum"}', "No clip is left"),
    ],
)
def test_a_table_of_json_lines_that_is_not_right_is_named(
    text: str, message: str, tmp_path: Path
) -> None:
    table = tmp_path / "mine.jsonl"
    table.write_text(text)
    with pytest.raises(NiahError, match=rf"mine\.jsonl.*{message}"):
        load(table)
