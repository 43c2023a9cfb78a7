"""Names and terminals that are not UTF-8: a run ends, is found again, and prints what the terminal can take."""

import io
import os
import sys
from pathlib import Path

import pytest

from niah.cli import main
from niah.records.schema import read_csv
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
