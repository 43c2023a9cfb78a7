"""Wrong input: one clear line, exit status 2, nothing written."""

import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from niah.cli import interrupt
from niah.cli.machines import end_on_sigterm
from niah.errors import Terminated
from tests.helpers.command_line import Material, Niah


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("clips.csv", b"path,labels\na.wav,/t/lo\n", "line 2: label '/t/lo' is not in vocabulary"),
        ("clips.csv", b"\xff\xfe\x00\x01", "is not UTF-8 text"),
        ("clips.json", b"{", "is not JSON"),
        ("clips.parquet", b"PAR1 or not", "is not a Parquet file"),
    ],
)
def test_malformed_needles(
    niah: Niah, material: Material, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    """One of each layout; the readers' own tests have the other ways in which a file can be malformed."""
    clips = tmp_path / name
    clips.write_bytes(content)
    line = niah(*material.run(tmp_path / "out", clips)).refusal()
    assert str(clips) in line
    assert message in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--foo"], "No such option: --foo"),
        (["--model", "dass-nan"], "unknown model 'dass-nan'. Did you mean 'dass-nano'"),
        (["--model", "zzzzzz"], "unknown model 'zzzzzz'. `niah models` lists all; a card of your"),
        (["--model", "a/model.onnx"], "A graph needs a card that names it"),
        (["--model", "my.pth"], "goes with its model: --model NAME --checkpoint my.pth"),
        (["--model", "me/tagger"], "is written hf:me/tagger. `niah models` lists all"),
        (["--haystack", "babbel"], "unknown haystack 'babbel'. Did you mean 'babble'"),
        (["--haystack", "no/where.wav"], "haystack no/where.wav: no such file"),
        (["--protocol", "dass-v2"], "protocol 'dass-v2': unknown. Did you mean 'dass-v1'"),
        (["--needles", "synthetik"], "needles synthetik: no such file or folder. Did you mean"),
        (["--needles", "no/where.csv"], "needles no/where.csv: no such file or folder"),
        (["--device", "cuda:99"], "device 'cuda:99' is not on this machine"),
        (["--haystack", "babble", "--babble", "nowhere.wav"], "nowhere.wav: no such file"),
        (["--checkpoint", "nowhere.pth"], "nowhere.pth"),
        (["--protocol", "dass-v1", "--haystack", "silence"], "'silence' is not part of dass-v1"),
        (["extra"], "extra"),
    ],
)
def test_wrong_options_of_run(
    niah: Niah,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--model", "dass-nano", "--checkpoint", "random", "--device", "cpu", "--limit", "2"]
    options = ["--model", "dass-nano"] if "--checkpoint" in arguments else options
    options = options[2:] if "--model" in arguments else options
    options += [] if "--lengths" in arguments else ["--lengths", "12"]
    options += [] if "--haystack" in arguments else ["--haystack", "zero"]  # talkers take seconds
    line = niah("run", *options, "--out", "out", *arguments).refusal()
    assert message in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu"], "No such command 'rnu'. Did you mean 'run'?"),
        (["report"], "Missing argument"),
        (["report", ""], "an argument is an empty text"),
        (["run", "--needles", "", "--out", "x"], "--needles is an empty text, as of a variable"),
        (["run", "-m", ""], "-m is an empty text"),
        (["report", "nowhere"], "nowhere is not a run directory"),
        (["check", "nowhere"], "nowhere is neither a run directory nor a cells.csv"),
        (["models", "show", "dass-smal"], "unknown model 'dass-smal'. Did you mean 'dass-small'"),
        (["models", "verify", "ast-sin-base"], "has no released weights: give --checkpoint FILE"),
        (["train", "dass-nan", "--out", "x"], "unknown recipe 'dass-nan'. Did you mean"),
        (["data", "verify", "nowhere.csv"], "needles nowhere.csv: no such file or folder"),
        (["data", "verify", "x.csv", "--labels", "audioset"], "vocabulary 'audioset' is unknown"),
        (["preview", "--needle", "no.wav", "--out", "x"], "no.wav: no such file"),
        (["preview", "--out", "x"], "Missing option '--needle'"),
    ],
)
def test_wrong_input_of_other_commands(
    niah: Niah,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in niah(*arguments).refusal()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--position", "1.5"], "position 1.5"),
        (["--length", "5"], "length 5 s: shorter than the needle"),
        (["--haystack", "babble", "--babble", "nowhere.wav"], "nowhere.wav: no such file"),
        (["--protocol", "niah-v3"], "Did you mean 'niah-v2'"),
        (["--protocol", "dass-v1", "--haystack", "silence"], "'silence' is not part of dass-v1"),
    ],
)
def test_preview_writes_nothing_for_wrong_input(
    niah: Niah, material: Material, tmp_path: Path, arguments: list[str], message: str
) -> None:
    needle = material.clips.parent / "clip00.wav"
    line = niah("preview", "--needle", needle, "--out", tmp_path / "out", *arguments).refusal()
    assert message in line
    assert not (tmp_path / "out").exists()


def test_a_current_folder_that_was_deleted(
    niah: Niah, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where torch's own libraries do not load, and end the process without a word of ours."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for command in (["run", "--out", tmp_path / "out"], ["report", "x"], ["models"]):
        assert niah(*command).refusal().startswith("the current folder was deleted: go to another")
    assert not (tmp_path / "out").exists()
    assert niah("--version").status == 0


def test_ctrl_c_is_one_line_wherever_it_comes(
    niah: Niah, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In a command, in an import of one (which Python 3.11 words as a RuntimeError), and before `main` is there."""

    def interrupted(*_: object, **__: object) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise RuntimeError("Error calling __set_name__ on 'Field' instance") from error

    with monkeypatch.context() as patch:
        patch.setattr("niah.cli.app", interrupted)
        answer = niah("models")
    assert (answer.status, answer.stderr) == (130, f"niah: {interrupt.MESSAGE}\n")
    interrupt.print_interrupt(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert capfd.readouterr().err == f"niah: {interrupt.MESSAGE}\n"
    interrupt.print_interrupt(ValueError, ValueError("a bug"), None)
    assert "ValueError: a bug" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
def test_a_signal_that_comes_in_a_destructor_is_not_lost(
    number: signal.Signals,
    kind: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Python swallows its exception there, and in any callback of a weak reference."""

    class Dying:
        def __del__(self) -> None:
            signal.raise_signal(number)

    def end(*_: object) -> None:
        raise kind

    monkeypatch.setattr(sys, "unraisablehook", interrupt.raise_again)
    handler = signal.signal(number, end)
    try:
        with pytest.raises(kind):  # noqa: PT012 - it is raised by the next statement
            Dying()
            time.sleep(5)
    finally:
        signal.signal(number, handler)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("number", "handler", "kind"),
    [
        (signal.SIGINT, signal.default_int_handler, KeyboardInterrupt),
        (signal.SIGTERM, signal.default_int_handler, SystemExit),
        (signal.SIGTERM, signal.SIG_IGN, SystemExit),  # Ctrl-C, as of a shell's background jobs
    ],
)
def test_a_signal_that_a_library_drops_comes_again(
    number: signal.Signals, handler: Any, kind: type[BaseException]
) -> None:
    """numpy clears whatever another library's type raises in a comparison with one of its own."""

    class Type:
        @property
        def dtype(self) -> str:
            signal.raise_signal(number)
            return "float64"

    before = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(kind), interrupt.raised_again(), end_on_sigterm():  # noqa: PT012
            assert np.dtype(float) != Type()
            time.sleep(5)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 3 GiB"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("can't start new thread"),
    ],
)
def test_want_of_memory_is_one_line(
    niah: Niah, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch system's limit on memory or processes is met in any library, while it is imported above all."""

    def short(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("niah.cli.app", short)
        line = niah("models").refusal()
    assert line.startswith(
        f"memory, threads or open files do not suffice ({error}): raise the limit"
    )
