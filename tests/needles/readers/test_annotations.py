"""Annotated events as needles: CSV, DCASE, Raven and Audacity."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from niah.audio import AudioError
from niah.errors import NiahError
from niah.needles import NeedleSet, load_needles, waveform
from niah.needles.verify import verify
from tests.helpers.clip_files import AUDIOSET, RATE, by_id

SPEECH, DOG, MUSIC = "/m/09x0r", "/m/0bt9lr", "/m/04rlf"
LONG_S = 30
RAVEN = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tSpecies"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recording of half a minute whose sample n is n."""
    samples = np.arange(LONG_S * RATE, dtype=np.float64) / (LONG_S * RATE)
    soundfile.write(tmp_path / "rec.wav", samples, RATE, subtype="FLOAT")
    return tmp_path


def load(folder: Path, name: str, text: str, query: str = "") -> NeedleSet:
    (folder / name).write_text(text)
    return load_needles(f"{folder / name}{query}", vocabulary=AUDIOSET)


@pytest.mark.parametrize(
    ("name", "text", "query"),
    [
        ("a.csv", "path,onset,offset,label\nrec.wav,2.5,4,Dog\nrec.wav,3.8,14.5,Speech\n", ""),
        (
            "a.tsv",
            "filename\tonset\toffset\tevent_label\nrec.wav\t2.5\t4\tDog\nrec.wav\t3.8\t14.5\tspeech\n",
            "",
        ),
        (
            "a.csv",
            "file_name,onset,offset,label\nrec.wav,2.5,4,Dog\nrec.wav,3.8,14.5,Speech\n",
            "",
        ),
        ("a.txt", "rec.wav\t2.5\t4\tDog\nrec.wav\t3.8\t14.5\tSpeech\n", ""),
        ("rec.txt", "2.5\t4.0\tDog\n\\\t100\t200\n3.8\t14.5\tSpeech\n5.0\t5.0\tSpeech\n", ""),
        (
            "rec.Table.1.selections.txt",
            f"{RAVEN}\n1\tWaveform 1\t1\t2.5\t4.0\t100\tDog\n1\tSpectrogram 1\t1\t2.5\t4.0\t100\tDog\n"
            "2\tWaveform 1\t1\t3.8\t14.5\t100\tSpeech\n",
            "",
        ),
        (
            "other.txt",
            "Selection\tBegin File\tFile Offset (s)\tBegin Time (s)\tEnd Time (s)\tWhat\n"
            "1\trec.wav\t2.5\t102.5\t104\tDog\n2\trec.wav\t3.8\t103.8\t114.5\tSpeech\n",
            "?labels=what",
        ),
    ],
)
def test_a_needle_is_the_event_with_the_labels_that_are_heard_in_it(
    folder: Path, name: str, text: str, query: str
) -> None:
    needles = by_id(load(folder, name, text, query))
    assert {id_: needle.labels for id_, needle in needles.items()} == {
        "rec_2.500-4.000": (DOG, SPEECH),
        "rec_3.800-14.500": (SPEECH, DOG),
    }
    assert {needle.group for needle in needles.values()} == {f"{folder.name}/rec.wav"}
    first, second = needles["rec_2.500-4.000"], needles["rec_3.800-14.500"]
    expected = np.arange(2.5 * RATE, 4 * RATE) / (LONG_S * RATE)
    np.testing.assert_allclose(waveform(first, RATE).samples, expected, atol=1e-6)
    assert len(waveform(second, RATE).samples) == 10 * RATE  # its first ten seconds
    assert first.source.digest() != second.source.digest()


def test_events_are_verified_as_clips_are(folder: Path) -> None:
    text = "path,onset,offset,label\nrec.wav,1,3,Dog\nrec.wav,29,31,Speech\n"
    report = verify(load(folder, "a.csv", text), RATE)
    assert (report.n_clips, report.n_readable, report.durations_s) == (2, 1, (2.0, 2.0, 2.0))
    assert report.clips_per_class == {"Dog": 1}


def test_what_is_heard_ends_with_the_ten_seconds_and_begins_at_a_tenth(folder: Path) -> None:
    text = (
        "path,onset,offset,label\nrec.wav,0,20,Dog\nrec.wav,9.95,12,Speech\nrec.wav,5,5.05,Music\n"
    )
    needles = by_id(load(folder, "a.csv", text))
    assert needles["rec_0.000-20.000"].labels == (DOG, MUSIC)  # speech is 50 ms in it
    assert needles["rec_9.950-12.000"].labels == (SPEECH, DOG)
    notes = load(folder, "a.csv", text + "rec.wav,1,2,no such sound\n").notes
    assert "events longer than 10 s, of which the first 10 s are hidden: 1" in notes
    assert any("left out: no such sound (1)" in note for note in notes)


def test_one_span_with_two_labels_and_a_folder_of_tracks(folder: Path) -> None:
    needles = load(
        folder, "a.csv", "path,onset,offset,label\nrec.wav,1,2,Dog\nrec.wav,1,2,Speech\n"
    )
    assert by_id(needles)["rec_1.000-2.000"].labels == (DOG, SPEECH)
    (folder / "a.csv").unlink()
    (folder / "README.txt").write_text("These are label tracks.\n")
    (folder / "rec.txt").write_text("1\t2\tDog\n")
    soundfile.write(folder / "more.flac", np.linspace(0, 0.5, RATE), RATE)
    (folder / "more.txt").write_text("0.25\t0.75\tSpeech\n")
    every = load_needles(folder, vocabulary=AUDIOSET)
    assert set(by_id(every)) == {"rec_1.000-2.000", "more_0.250-0.750"}
    assert len({needle.group for needle in every.needles}) == 2


def test_a_part_of_a_recording_has_the_errors_of_a_sound(folder: Path) -> None:
    text = "path,onset,offset,label\nrec.wav,29,31,Dog\nnone.wav,0,1,Dog\nbad.wav,0,1,Dog\n"
    (folder / "bad.wav").write_bytes(b"no sound at all")
    needles = by_id(load(folder, "a.csv", text))
    for id_, reason in {
        "rec_29.000-31.000": "29 to 31 s: ends behind the recording's end at 30 s",
        "none_0.000-1.000": "none.wav: no such file",
        "bad_0.000-1.000": "is not a sound file",
    }.items():
        with pytest.raises(AudioError, match=reason):
            waveform(needles[id_], RATE)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.csv", "path,onset,offset,label\nrec.wav,2,1,Dog\n", "line 2: the event ends before"),
        ("a.csv", "path,onset,offset,label\nrec.wav,x,1,Dog\n", "line 2: 'x' is no time"),
        ("a.csv", "path,onset,offset,label\nrec.wav,-1,1,Dog\n", "'-1' is no time"),
        ("a.csv", "path;onset;offset;label\nrec.wav;0,5;1;Dog\n", "'0,5' has a decimal comma"),
        ("rec.txt", "0,500000\t2,000000\tDog\n", "line 1: '0,500000' has a decimal comma"),
        ("a.csv", "path,onset,offset,label\n,0,1,Dog\n", "line 2: has no path"),
        ("a.csv", "path,onset,offset,label\n", "no event with a duration"),
        ("a.csv", "path,onset,offset,what\nrec.wav,0,1,Dog\n", "lacks a column of labels"),
        ("a.csv", "path,onset,offset,label\nrec.wav,0,1,zzz\n", "'zzz' is not in vocabulary"),
        ("rec.txt", "1\t1\tDog\n", "no event with a duration"),
        ("rec.txt", "1\t2\tDog\nx\n", "line 2: must have two times"),
        ("none.txt", "1\t2\tDog\n", r"no recording none\.wav"),
        ("rec.txt", f"{RAVEN}\n1\tW\t1\t\t4.0\t1\tDog\n", "'' is no time"),
        (
            "a.txt",
            f"{RAVEN}\tBegin File\n1\tW\t1\t1\t2\t1\tDog\trec.wav\n2\tW\t1\t31\t32\t1\tDog\tnext.wav\n",
            "line 2: the table is of several recordings",
        ),
        (
            "a.csv",
            "path,onset,offset,label\n/away/a/rec.wav,0,1,Dog\n/away/b/rec.wav,0,1,Speech\n",
            r"line 3: '/away/b/rec\.wav' and '/away/a/rec\.wav' .* both would be",
        ),
        (
            "a.txt",
            f"{RAVEN}\tBegin Path\tFile Offset (s)\n1\tW\t1\t1\t2\t1\tDog\tC:\\a\\rec.wav\t1\n"
            "2\tW\t1\t31\t32\t1\tDog\tC:\\b\\rec.wav\t1\n",
            "line 3: .* both would be",
        ),
    ],
)
def test_malformed_annotations(folder: Path, name: str, text: str, reason: str) -> None:
    (folder / name).write_text(text)
    with pytest.raises(NiahError, match=reason):
        load_needles(folder / name, vocabulary=AUDIOSET, audio_root=folder)


def test_of_two_recordings_with_a_tables_name_one_is_named(folder: Path) -> None:
    (folder / "rec.flac").write_bytes((folder / "rec.wav").read_bytes())
    needles = load(folder, "rec.txt", "1\t2\tDog\n")
    assert "rec.txt is read as of rec.flac, which is there beside rec.wav" in needles.notes


def test_selections_of_joined_tables_are_all_there(folder: Path) -> None:
    """Two tables in one, whose numbers start again; each selection once for the waveform, once for the spectrogram."""
    soundfile.write(folder / "other.wav", np.linspace(0, 0.5, 4 * RATE), RATE)
    lines = ["Selection\tView\tBegin File\tFile Offset (s)\tBegin Time (s)\tEnd Time (s)\tSpecies"]
    for file in ("rec.wav", "other.wav"):
        for number in (1, 2):
            lines += [
                f"{number}\t{view} 1\t{file}\t{number}\t{number}\t{number + 0.5}\tDog"
                for view in ("Waveform", "Spectrogram")
            ]
    needles = by_id(load(folder, "all.selections.txt", "\n".join(lines)))
    assert set(needles) == {
        f"{stem}_{number}.000-{number}.500" for stem in ("rec", "other") for number in (1, 2)
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tsv", "filename\tonset\toffset\tevent_label\nrec.wav\t1\t2\tDog\nquiet.wav\t\t\t\n"),
        ("a.txt", "rec.wav\t1\t2\tDog\nquiet.wav\t\t\t\nquiet.wav\n"),
    ],
)
def test_a_recording_without_events_has_no_needle(folder: Path, name: str, text: str) -> None:
    needles = load(folder, name, text)
    assert set(by_id(needles)) == {"rec_1.000-2.000"}
    assert any("rows of a recording without an event" in note for note in needles.notes)
    with pytest.raises(NiahError, match=r"line 2: '' is no time in seconds"):
        load(folder, "b.csv", "path,onset,offset,label\nrec.wav,,2,Dog\n")


def test_of_several_tables_some_are_without_an_event(folder: Path) -> None:
    """One recording without a selection, or none that passes a filter, had the whole folder refused."""
    tables = folder / "tables"
    tables.mkdir()
    (tables / "rec.Table.1.selections.txt").write_text(f"{RAVEN}\n1\tW\t1\t3\t4\t1\tDog\n")
    (tables / "quiet.Table.1.selections.txt").write_text(f"{RAVEN}\n")
    needles = load_needles(tables, vocabulary=AUDIOSET, audio_root=folder)
    assert len(needles) == 1
    assert "tables without an event: 1" in needles.notes
    for name, site in (("a", "north"), ("b", "south")):
        row = f"path,onset,offset,label,site\nrec.wav,1,2,Dog,{site}\n"
        (tables / f"{name}.csv").write_text(row)
    for file in tables.glob("*.txt"):
        file.unlink()
    assert len(load_needles(f"{tables}?site=south", vocabulary=AUDIOSET, audio_root=folder)) == 1
    with pytest.raises(NiahError, match="no row passes the filter"):
        load_needles(f"{tables}?site=west", vocabulary=AUDIOSET, audio_root=folder)


def test_tables_of_birdnet_name_the_recording_by_its_path(folder: Path) -> None:
    header = (
        "Selection\tView\tBegin Time (s)\tEnd Time (s)\tCommon Name\tBegin Path\tFile Offset (s)"
    )
    row = "1\tSpectrogram 1\t101\t102\tDog\tC:\\birds\\rec.wav\t1"
    needles = load(folder, "all.BirdNET.selection.table.txt", f"{header}\n{row}\n")
    assert set(by_id(needles)) == {"rec_1.000-2.000"}


def test_ids_and_groups_tell_recordings_and_events_apart(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["path,onset,offset,label"]
    for site in ("A/night", "B/night", "C", "."):
        (folder / site).mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / site / "1.wav", np.linspace(0, 0.5, 4 * RATE), RATE)
        lines.append(f"{site}/1.wav,1,2,Dog")
    lines += ["rec.wav,0.5001,1,Dog", "rec.wav,0.5002,1,Speech"]
    lines.append(f"../{folder.name}/rec.wav,3,4,Dog")
    lines.append("rec.wav,3,4,Speech")
    needles = by_id(load(folder, "a.csv", "\n".join(lines)))
    assert {id_: needle.group for id_, needle in needles.items() if "1.wav" in id_} == {
        f"{name}_1.000-2.000": name
        for name in ("A/night/1.wav", "B/night/1.wav", "C/1.wav", f"{folder.name}/1.wav")
    }
    assert {"rec_0.5001-1.0", "rec_0.5002-1.0", "rec_3.000-4.000"} < set(needles)
    assert needles["rec_3.000-4.000"].labels == (DOG, SPEECH)  # one recording by two paths
    monkeypatch.chdir(folder)
    here = load_needles("a.csv", vocabulary=AUDIOSET)
    assert {id_: n.group for id_, n in by_id(here).items()} == {
        id_: n.group for id_, n in needles.items()
    }
