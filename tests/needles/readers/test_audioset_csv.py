"""AudioSet segment lists in the spellings that circulate."""

from pathlib import Path

import numpy as np
import pytest

from niah.audio import AudioError
from niah.errors import NiahError
from niah.needles import load_needles, waveform
from tests.helpers.clip_files import AUDIOSET, RATE, by_id, groups, tone, write_tone

ID_A, ID_B, ID_C = "--4gqARaEJE", "-0p7hKXZ1ww", "a_b-c_d-e_f"


@pytest.mark.parametrize(
    "content",
    [
        "# created\n# num_ytids=3\n# YTID, start_seconds, end_seconds, positive_labels\n"
        f'{ID_A}, 0.000, 10.000, "/m/068hy,/m/07q6cd_"\n'
        f'{ID_B}, 30.000, 40.000, "/m/09x0r"\n{ID_C}, 200.000, 210.000, "/m/04rlf"\n',
        "YTID,start_seconds,end_seconds,positive_labels\n"
        f'{ID_A},0,10,"/m/068hy,/m/07q6cd_"\n{ID_B},30,40,/m/09x0r\n{ID_C},200,210,/m/04rlf\n',
        f'{ID_A}, 0.000, 10.000, ""/m/068hy,/m/07q6cd_""\r\n'
        f'{ID_B}, 30.000, 40.000, ""/m/09x0r""\r\n{ID_C}, 200.000, 210.000, ""/m/04rlf""\r\n',
    ],
    ids=["google", "header", "doubled-quotes"],
)
def test_segment_lists_in_circulation_are_read_alike(tmp_path: Path, content: str) -> None:
    file = tmp_path / "eval_segments.csv"
    file.write_text(content)
    write_tone(tmp_path / "clips" / f"{ID_A}_0.000.flac", 440)
    write_tone(tmp_path / "clips" / f"Y{ID_C}_200000_210000.wav", 880)
    clips = load_needles(file, vocabulary=AUDIOSET)
    needles = by_id(clips)
    assert needles[ID_A].labels == ("/m/068hy", "/m/07q6cd_")
    np.testing.assert_allclose(waveform(needles[ID_A], RATE).samples, tone(440), atol=1e-4)
    np.testing.assert_allclose(waveform(needles[ID_C], RATE).samples, tone(880), atol=1e-4)
    assert "1 of 3 segments have no file" in clips.notes[0]
    with pytest.raises(AudioError, match="no such file"):
        waveform(needles[ID_B], RATE)


def test_segments_without_any_file_or_with_a_bad_line_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "eval_segments.csv"
    file.write_text(f'# x\n{ID_A}, 0.000, 10.000, "/m/068hy"\n')
    with pytest.raises(NiahError, match="name the folder with --audio-root"):
        load_needles(file, vocabulary=AUDIOSET)
    with pytest.raises(NiahError, match="no such folder"):
        load_needles(file, vocabulary=AUDIOSET, audio_root=tmp_path / "none")
    file.write_text(f'# x\n{ID_A}, zero, 10.000, "/m/068hy"\n')
    with pytest.raises(NiahError, match="line 2: must read YTID"):
        load_needles(file, vocabulary=AUDIOSET)
    file.write_text("# x\n")
    with pytest.raises(NiahError, match="has no header"):
        load_needles(file, vocabulary=AUDIOSET)
    file.write_text("# x\nYTID, start_seconds, end_seconds, positive_labels\n")
    with pytest.raises(NiahError, match="no segments"):
        load_needles(file, vocabulary=AUDIOSET)
    with pytest.raises(NiahError, match="no columns to filter"):
        load_needles(f"{file}?fold=1", vocabulary=AUDIOSET)


def test_two_segments_of_one_video(tmp_path: Path) -> None:
    file = tmp_path / "eval_segments.csv"
    file.write_text(f'# x\n{ID_A}, 0.0, 10.0, "/m/068hy"\n{ID_A}, 30.5, 40.5, "/m/09x0r"\n')
    write_tone(tmp_path / f"{ID_A}_0.wav", 440)
    write_tone(tmp_path / f"{ID_A}_30.5.wav", 880)
    needles = by_id(load_needles(file, vocabulary=AUDIOSET))
    assert set(needles) == {f"{ID_A}_0", f"{ID_A}_30.5"}
    np.testing.assert_allclose(
        waveform(needles[f"{ID_A}_30.5"], RATE).samples, tone(880), atol=1e-4
    )
    (tmp_path / f"{ID_A}_0.wav").rename(tmp_path / f"{ID_A}.wav")
    both = by_id(load_needles(file, vocabulary=AUDIOSET))
    assert both[f"{ID_A}_30.5"].source.name.endswith("_30.5.wav")
    (tmp_path / f"{ID_A}_30.5.wav").unlink()  # one sound with two clips' labels
    with pytest.raises(NiahError, match=r"line 3: .* would be this segment and that of .*line 2"):
        load_needles(file, vocabulary=AUDIOSET)


def test_segments_of_one_video_are_a_group(tmp_path: Path) -> None:
    file = tmp_path / "segments.csv"
    file.write_text(
        'aa, 0.0, 10.0, "/m/09x0r"\naa, 10.0, 20.0, "/m/09x0r"\nbb, 0.0, 10.0, "/m/09x0r"\n'
    )
    write_tone(tmp_path / "aa_0.wav")
    assert sorted(groups(load_needles(file, vocabulary=AUDIOSET)).values()) == ["aa", "aa", "bb"]
