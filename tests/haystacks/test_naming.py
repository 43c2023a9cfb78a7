"""Names of haystacks: no two different ones share a row, and a name that is taken stays with its haystack."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from niah.cards import find_haystack
from niah.errors import NiahError
from niah.haystacks import distinct_names, load_haystack
from niah.haystacks.haystack import Haystack
from niah.system.printable import one_line

RATE = 16_000


def recording(name: str, folder: str, content: str) -> Haystack:
    return Haystack(name, "noise", content * 16, longer_name=f"{folder}/{name}" if folder else "")


A, B = recording("street", "a", "1"), recording("street", "b", "2")
C = recording("street", "b", "3")  # b/street.ogg beside b/street.wav
ALONE = recording("street", "", "4")


@pytest.mark.parametrize(
    ("haystacks", "stored", "names"),
    [
        ([A], {}, ["street"]),
        ([A, B], {}, ["a/street", "b/street"]),
        ([A, B, C], {}, ["a/street", "street (22222222)", "street (33333333)"]),
        ([A, ALONE], {}, ["a/street", "street (44444444)"]),
        ([A], {"street": A.fingerprint}, ["street"]),
        ([B], {"street": A.fingerprint}, ["b/street"]),
        ([A, B], {"street": A.fingerprint, "b/street": B.fingerprint}, ["street", "b/street"]),
        ([C], {"street": A.fingerprint, "b/street": B.fingerprint}, ["street (33333333)"]),
        ([recording("none", "a", "5")], {}, ["a/none"]),  # rows call the needle alone so
        ([recording("none", "", "5")], {}, ["none (55555555)"]),
        ([A], {"street": ""}, ["street"]),  # of a run that did not store fingerprints
    ],
)
def test_names(haystacks: list[Haystack], stored: dict[str, str], names: list[str]) -> None:
    named = {str(index): haystack for index, haystack in enumerate(haystacks)}
    distinct = distinct_names(named, stored)
    assert [haystack.name for haystack in distinct.values()] == names
    assert list(distinct.values()) == [
        Haystack(name, "noise", each.fingerprint)
        for name, each in zip(names, haystacks, strict=True)
    ]
    later = {**stored, **{each.name: each.fingerprint for each in distinct.values()}}
    again = distinct_names(dict(reversed(named.items())), later)
    assert {spec: each.name for spec, each in again.items()} == {
        spec: each.name for spec, each in distinct.items()
    }


def test_two_folders_of_voices_and_two_babble_files(tmp_path: Path) -> None:
    loaded = {}
    for index, folder in enumerate(("one", "two")):
        (tmp_path / folder).mkdir()
        noise = 0.1 * np.random.default_rng(index).standard_normal(RATE)
        soundfile.write(tmp_path / folder / "voice.wav", noise, RATE)
        for place in (tmp_path / folder, tmp_path / folder / "voice.wav"):
            loaded[str(place)] = load_haystack("babble", babble=place)
    assert [each.name for each in distinct_names(loaded, {}).values()] == [
        "babble-voices-one",
        "babble-one/voice",
        "babble-voices-two",
        "babble-two/voice",
    ]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("cafe\u0301", "caf\u00e9"),  # as macOS parts letters: equal in a table, so equal
        (" a\n b ", "a b"),  # a table that is saved again strips blanks
        (" ", ".wav"),
        ("\u3000", ".wav"),
    ],
)
def test_a_name_is_one_line_of_composed_letters(tmp_path: Path, file: str, name: str) -> None:
    path = tmp_path / f"{file}.wav"
    soundfile.write(path, 0.1 * np.sin(np.arange(RATE)), RATE)
    haystack = load_haystack(path)
    assert haystack.name == name
    assert haystack.longer_name == one_line(f"{tmp_path.name}/{file}")


def test_a_file_name_that_is_not_utf8_gives_a_name_that_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "caf\udce9.wav"
    soundfile.write(tmp_path / "x.wav", 0.1 * np.sin(np.arange(RATE)), RATE)
    (tmp_path / "x.wav").rename(path)
    haystack = load_haystack(path)
    assert haystack.name == r"caf\udce9"
    assert haystack.longer_name.endswith(r"/caf\udce9")


@pytest.mark.parametrize("name", ["own", "zero", "gaussian", "babble", "babble-synthetic"])
def test_a_recording_is_not_called_as_a_haystack_of_the_package(tmp_path: Path, name: str) -> None:
    """`own` was refused, and a row "babble" is the official recording's."""
    file = tmp_path / "field" / f"{name}.wav"
    file.parent.mkdir()
    soundfile.write(file, np.sin(np.arange(1600.0)) / 2, 16000)
    assert load_haystack(file).name == f"field/{name}"
    assert load_haystack(file.parent).name == "field"


def test_a_card_is_not_called_as_a_haystack_of_the_package(tmp_path: Path) -> None:
    card = find_haystack("silence").path
    assert load_haystack(card).name == "silence"
    shutil.copy(card, tmp_path / "mine.toml")
    with pytest.raises(NiahError, match=r"mine\.toml: 'silence' in tables is the package's"):
        load_haystack(tmp_path / "mine.toml")


def test_the_needles_own_recordings_are_named_not_carded(tmp_path: Path) -> None:
    """What the sweep and tables do with them hangs on the name."""
    text = find_haystack("own").path.read_text().replace('name = "own"', 'name = "field"')
    (tmp_path / "field.toml").write_text(text)
    with pytest.raises(NiahError, match=r"field\.toml: .* are --haystack own"):
        load_haystack(tmp_path / "field.toml")
