"""The FSD50K folder."""

import json
from pathlib import Path

import pytest

from niah.errors import NiahError
from niah.needles import load_needles, waveform
from niah.needles.needle import FileSource
from tests.helpers.clip_files import AUDIOSET, RATE, by_id, groups, write_tone


def test_fsd50k_folder_maps_by_mid_and_tells_what_it_drops(tmp_path: Path) -> None:
    truth = tmp_path / "FSD50K.ground_truth"
    truth.mkdir()
    (truth / "eval.csv").write_text(
        'fname,labels,mids\n37199,"Electric_guitar,Guitar","/m/02sgy,/m/0342h"\n'
        '175151,"Thing,Speech","/m/nothing,/m/09x0r"\n3,Thing,/m/nothing\n'
    )
    (truth / "dev.csv").write_text("fname,labels,mids,split\n5,Speech,/m/09x0r,val\n")
    write_tone(tmp_path / "FSD50K.eval_audio" / "37199.wav")
    needles = load_needles(tmp_path, vocabulary=AUDIOSET)
    assert by_id(needles)["37199"].labels == ("/m/02sgy", "/m/0342h")
    assert by_id(needles)["175151"].labels == ("/m/09x0r",)
    assert "/m/nothing (2)" in needles.notes[0]
    assert "1 of 3 clips left out" in needles.notes[1]
    assert len(waveform(by_id(needles)["37199"], RATE).samples) == RATE // 10
    (dev,) = load_needles(f"{truth}/dev.csv?split=val", vocabulary=AUDIOSET).needles
    assert isinstance(dev.source, FileSource)
    assert dev.source.path == tmp_path / "FSD50K.dev_audio" / "5.wav"


def test_fsd50k_clips_of_one_uploader_are_a_group(tmp_path: Path) -> None:
    truth = tmp_path / "FSD50K.ground_truth"
    truth.mkdir()
    rows = "".join(f"{clip},Speech,/m/09x0r\n" for clip in (1, 2, 3))
    (truth / "eval.csv").write_text(f"fname,labels,mids\n{rows}")
    assert set(groups(load_needles(tmp_path, vocabulary=AUDIOSET)).values()) == {"1", "2", "3"}
    metadata = tmp_path / "FSD50K.metadata" / "eval_clips_info_FSD50K.json"
    metadata.parent.mkdir()
    metadata.write_text(json.dumps({"1": {"uploader": "ann"}, "2": {"uploader": "ann"}}))
    assert groups(load_needles(tmp_path, vocabulary=AUDIOSET)) == {"1": "ann", "2": "ann", "3": "3"}
    metadata.write_text('{"1": {"title": "x"}}')
    with pytest.raises(NiahError, match="uploader"):
        load_needles(tmp_path, vocabulary=AUDIOSET)
