"""A haystack is what its SHA-256 in run.json says: one name may be two sounds, and one sound may have two names."""

from pathlib import Path

import pytest

from niah.compare.check import check
from niah.compare.paired import compare
from niah.errors import NiahError
from niah.records.run_directory import RunDirectory
from niah.records.summarise import summarise
from tests.helpers import examples

ZERO = {"zero": {"contains": [], "sha256": "0" * 16}}


def made(path: Path, haystack: str, sha256: str | None, seed: int = 0) -> Path:
    """A run of the needle alone, in zeros and in another haystack."""
    entry = {"contains": []} if sha256 is None else {"contains": [], "sha256": sha256}
    identity = {**examples.IDENTITY, "noise_seed": seed}
    with RunDirectory.create_or_open(path, identity) as run:
        run.write_run_json({"models": {}, "haystacks": {**ZERO, haystack: entry}})
        examples.add(run, 3.0)
        examples.add(run, 2.0, length_s=50.0)
        examples.add(run, 1.0, length_s=50.0, haystack=haystack, snr_db=10.0)
        summarise(run)
    return path


def test_one_name_of_two_sounds_is_not_compared(tmp_path: Path) -> None:
    one, other = made(tmp_path / "a", "babble", "a" * 16), made(tmp_path / "b", "babble", "b" * 16)
    found = compare(one, other)
    assert sorted((each.haystack, each.quantity) for each in found.differences) == [
        ("none", "mAP"),
        ("zero", "adjusted"),
        ("zero", "mAP"),
        ("zero", "relative"),
    ]
    (note,) = found.notes
    assert note.startswith("Not compared: haystack 'babble' is not the same sound in both: SHA-256")
    assert "aaaaaaaa" in note
    with pytest.raises(
        NiahError, match=r"'babble' is not the same sound in both.*cannot be compar"
    ):
        check(one, other)
    for run in (one, other):
        cells = RunDirectory(run).cells()
        for cell in cells.loc[cells["haystack"] != "babble", "cell"]:
            (run / "scores" / f"{cell}.parquet").unlink()
            (run / "cells" / f"{cell}.json").unlink()
    with pytest.raises(NiahError, match=r"no cell .*not the same sound"):
        compare(one, other)


def test_one_sound_of_two_names_is_compared(tmp_path: Path) -> None:
    one, other = made(tmp_path / "a", "street", "a" * 16), made(tmp_path / "b", "noon", "a" * 16)
    found = compare(one, other)
    assert [each.haystack for each in found.differences].count("street") == 3
    assert not found.notes
    assert check(one, other).n_compared == 3


def test_where_a_run_does_not_say_the_name_counts(tmp_path: Path) -> None:
    one, other = made(tmp_path / "a", "babble", "a" * 16), made(tmp_path / "b", "babble", None)
    assert len(compare(one, other).differences) == 7
    assert check(one, other).n_compared == 3


def test_noise_of_two_seeds_is_compared_and_told(tmp_path: Path) -> None:
    """Drawn with another seed the sound has another SHA-256, by intention."""
    one, other = (
        made(tmp_path / "a", "babble", "a" * 16),
        made(tmp_path / "b", "babble", "b" * 16, seed=1),
    )
    found = compare(one, other)
    assert len(found.differences) == 7
    assert found.notes == (
        "The noise is drawn with seed 0 here and 1 there: a difference includes the noise's. Whether it is made of the "
        "same files is not known of babble.",
    )
    assert check(one, other).n_compared == 3
