"""Names and terminals that are not UTF-8: a run ends, is found again, and prints what the terminal can take."""

import io
import os
import sys
import tarfile
from pathlib import Path

import pytest

from niah.cli import main
from niah.needles import load_needles
from niah.needles.selection import select
from niah.randomness import keyed_generator
from niah.records.cell_table import read_csv
from niah.vocabularies import vocabulary
from tests.helpers import examples, tiny
from tests.helpers.command_line import Material, Niah

ODD = (os.fsdecode(b"caf\xe9"), "a$x^{$", "x" * 250, "=cmd() <b>;%s{0}")


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_a_run_with_a_folder_clips_and_a_recording_of_any_name(
    niah: Niah, material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Its second time finds what the first has written, and the report draws the names."""
    clips = tiny.manifest(tmp_path / "made", 3)
    recording = tmp_path / f"{name[:200]}.wav"
    recording.write_bytes((clips.parent / "clip00.wav").read_bytes())
    clips.parent.rename(tmp_path / name)
    words = material.run(Path("runs") / name, Path(name) / clips.name)
    command = [f"./{recording.name}" if word == "zero" else word for word in words]
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        answer = niah(*command)
        assert answer.status == 0, answer.stderr
    table = read_csv(Path("runs") / name / "cells.csv")
    assert list(table["status"]) == ["ok"] * len(table)
    assert list((Path("runs") / name / "figures").glob("*.png"))


def test_clips_of_a_folder_or_archive_with_names_that_are_not_utf_8_have_ids_of_text(
    tmp_path: Path,
) -> None:
    """Ids are hashed and stored in Parquet files; those of a folder of annotated recordings are its files' names."""
    clip = tiny.manifest(tmp_path / "made", 1).parent / "clip00.wav"
    words = vocabulary("audioset-527")
    annotated, shards = tmp_path / "annotated", tmp_path / "shards"
    annotated.mkdir()
    shards.mkdir()
    (annotated / f"{ODD[0]}.wav").write_bytes(clip.read_bytes())
    (annotated / f"{ODD[0]}.txt").write_text("0.1\t0.5\tDog\n")
    with tarfile.open(shards / "a.tar", "w") as archive:
        archive.add(clip, f"{ODD[0]}.wav")
        label = tmp_path / "label.json"
        label.write_text('{"labels": ["Dog"]}')
        archive.add(label, f"{ODD[0]}.json")
    for folder in (annotated, shards):
        (needle,) = select(load_needles(folder, vocabulary=words).needles, limit=1)
        assert needle.id.encode().startswith(b"caf\\udce9")
        assert needle.group.isascii()
        assert keyed_generator(needle.source.name).random() < 1
        assert needle.source.waveform(16000).samples.any()


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_terminal_of_any_encoding_ends_no_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    """The tables have signs beyond Latin-1; the figures' names may have anything."""
    run = examples.make(tmp_path / os.fsdecode(b"caf\xe9")).path
    monkeypatch.setattr("niah.pages.run_report.write", lambda *_, **__: run / "report.html")  # slow
    printed = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", printed)
    monkeypatch.setattr(sys, "argv", ["niah", "report", str(run)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert not caught.value.code
    printed.flush()
    text = printed.buffer.getvalue().decode(encoding)
    assert "dass-nano" in text
    assert "caf?" in text


def test_a_table_saved_with_a_byte_order_mark_is_read(
    niah: Niah, material: Material, tmp_path: Path
) -> None:
    out, bom = tmp_path / "out", tmp_path / "bom"
    niah(*material.run(out))
    bom.mkdir()
    (bom / "cells.csv").write_bytes(b"\xef\xbb\xbf" + (out / "cells.csv").read_bytes())
    assert read_csv(bom / "cells.csv").equals(read_csv(out / "cells.csv"))
    for command in (
        ("report", bom),
        ("check", out, "--against", bom / "cells.csv", "--unpaired"),
        ("leaderboard", bom, "--out", tmp_path / "site"),
    ):
        answer = niah(*command)
        assert answer.status == 0, answer.stderr
