"""Data JSON of AST and DASS."""

import json
from pathlib import Path

import numpy as np
import pytest

from niah.errors import NiahError
from niah.needles import load_needles, waveform
from tests.helpers.clip_files import (
    AUDIOSET,
    RATE,
    by_id,
    tone,
    write_tone,
)


def test_ast_json(tmp_path: Path) -> None:
    write_tone(tmp_path / "audio" / "a.flac")
    outside = write_tone(tmp_path / "elsewhere" / "b.wav")
    items = [
        {"wav": "audio/a.flac", "labels": "/m/09x0r,/m/0jbk", "video_id": "x"},
        {"wav": str(outside), "labels": "/m/04rlf,/m/04rlf"},
    ]
    file = tmp_path / "eval.json"
    file.write_text(json.dumps({"data": items}))
    needles = by_id(load_needles(file, vocabulary=AUDIOSET))
    assert needles["a"].labels == ("/m/09x0r", "/m/0jbk")
    assert needles["b"].labels == ("/m/04rlf",)
    for needle in needles.values():
        np.testing.assert_allclose(waveform(needle, RATE).samples, tone(), atol=1e-4)


def test_equal_names_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    items = [{"wav": f"{folder}/x.wav", "labels": "/m/09x0r"} for folder in "ab"]
    file = tmp_path / "eval.json"
    file.write_text(json.dumps({"data": [*items, {"wav": "a/y.wav", "labels": "/m/09x0r"}]}))
    assert set(by_id(load_needles(file, vocabulary=AUDIOSET))) == {"a/x.wav", "b/x.wav", "y"}
    for same in ("a/x.wav", "./a//x.wav", "b/../a/x.wav"):
        file.write_text(json.dumps({"data": [items[0], {**items[0], "wav": same}]}))
        with pytest.raises(
            NiahError, match=r"item 1: clip 'a/x.wav' is listed twice \(before: .*item 0"
        ):
            load_needles(file, vocabulary=AUDIOSET)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("{", "line 1: is not JSON"),
        ("[]", "must be"),
        ('{"data": 3}', "must be"),
        ('{"data": []}', "no items"),
        ('{"data": ["x.wav"]}', "item 0: must be"),
        ('{"data": [{"wav": "x.wav"}]}', "item 0: lacks the text 'labels'"),
        ('{"data": [{"wav": "x.wav", "labels": ","}]}', "item 0: has no label"),
        ('{"data": [{"wav": "x.wav", "labels": "Dgo"}]}', "item 0: .*'Dgo' is not in .*mean 'Dog'"),
    ],
)
def test_malformed_json(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(content)
    with pytest.raises(NiahError, match=message):
        load_needles(file, vocabulary=AUDIOSET)
