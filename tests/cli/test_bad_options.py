"""Every option of every command against values that it cannot have: exit status 2, one line that names the option."""

import sys
from pathlib import Path

import pytest

from niah.cli import main
from tests.helpers import examples

HUGE = "9" * 23  # more than 64 bits
INFINITE = ("inf", "-inf", "nan", "1e308", "-1e308")

ARGUMENTS = {  # of the run in RUN
    **{"models": ["dass-nano"], "needles": "synthetic", "haystacks": ["gaussian"], "limit": 2},
    **{"snrs_db": [10.0], "positions": [0.5], "lengths_s": [10.0, 20.0], "protocol": "niah-v2"},
}

# command, option, what the line calls it, values that are refused
TABLE: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("run", "--lengths", "length", ("10.1", "-20", "0", "10,1e15", "10.001,20", *INFINITE[:4])),
    ("run", "--lengths", "--lengths", ("ten", "10;20", "10 20", "0x14")),
    ("run", "--lengths", "in seconds 10,300,9000", ("10,5min,2.5h", "10s, 5 m, 2.5H")),
    ("run", "--lengths", "lengths", ("", ",", " ")),
    ("run", "--snr", "--snr", (*INFINITE, "201")),
    ("run", "--snr", "--snr", ("loud", "10 dB", "1,2;3")),
    ("run", "--positions", "position", ("1.5", "-0.1", "50", *INFINITE)),
    ("run", "--positions", "--positions", ("middle", "0,5 0")),
    ("run", "--lengths", "--lengths", ("20,20.0000001",)),
    ("run", "--snr", "--snr", ("10,10.0000001",)),
    ("run", "--positions", "--positions", ("0.5,0.50000001", "0,1,0.99999999")),
    ("run", "--needle-s", "--needle-s", ("5,5.0000001",)),
    ("run", "--limit", "--limit", ("0", "-1", "1.5", "some", HUGE, "10000001")),
    ("run", "--seed", "--seed", (HUGE, f"-{HUGE}", "1.5", "x", "")),
    ("run", "--false-alarms", "--false-alarms", ("0", "-1", "some", ",", *INFINITE)),
    ("report nowhere", "--false-alarms", "--false-alarms", ("0", "some")),
    ("locate nowhere --events", "--collar", "--collar", ("0", "-1", *INFINITE)),
    ("locate nowhere --events", "--needle-count", "--needle-count", ("0", "some")),
    ("locate nowhere", "--collar", "--events", ("5",)),
    ("locate nowhere --method=positions", "--window", "--method positions", ("5",)),
    ("locate nowhere --method=positions --events", "--hop", "--method positions", ("2",)),
    ("locate nowhere --method=positions", "--batch-size", "--method positions", ("4",)),
    ("stream RUN", "--hop", "--hop", ("0", "0.001", "20", "3601", *INFINITE)),
    ("run", "--noise-seed", "--noise-seed", (HUGE, "1.5", "x")),
    ("run", "--batch-size", "--batch-size", (HUGE, "0", "-1", "1.5", "big", "", "²")),
    ("run", "--window", "--window", ("0", "-1", "0.001", "x", *INFINITE)),
    ("run", "--window=10 --hop", "--hop", ("0", "-1", "11", "x", *INFINITE)),
    ("run", "--hop", "--window", ("5",)),
    ("run", "--window-pool", "--window", ("mean", "median")),
    ("run", "--device", "--device", ("mps", "meta", "gpu", "cuda:-1", "cuda:x", "CPU", "")),
    ("run", "--dtype", "--dtype", ("float8", "float64", "int8", "half", "")),
    ("run", "--kernel", "--kernel", ("cuda", "tritn", "")),
    ("run", "--protocol", "protocol", ("dass-v2", "niah", "")),
    ("run", "--needle-part", "--needle-part", ("last", "loud", "")),
    ("run", "--config", "config", ("nowhere.toml", "nowhere.json", "")),
    ("publish nowhere", "--to", "--to", ("cards", "", ",", "eval-results")),
    ("publish nowhere", "--relationship", "--relationship", ("friend", "")),
    ("publish nowhere --to=eval-results", "--benchmark", "--benchmark", ("", "name", "a/b/c")),
    ("run", "--preset", "--preset", ("fig2", "fig", "")),
    ("run", "--control", "--control", ("needle", "shams", "none")),
    ("run", "--pooling", "--pooling", ("median", "softmax")),
    ("run", "--level", "--level", ("under", "mix,mix", ",")),
    ("run", "--needle-s", "--needle-s", ("0", "-1", "11", "x", *INFINITE)),
    ("run", "--needle-count", "--needle-count", ("0", "-1", "1.5", "x", HUGE)),
    ("run", "--needles-per-scene", "--needles-per-scene", ("0", "x", HUGE)),
    ("run", "--distractors", "--distractors", ("-1", "1.5", "x", HUGE)),
    ("run", "--model", "", ("dass-nan", "no/card.toml", "", "dass-nano:v9")),
    ("run --model=dass-nano", "--needles", "needles", ("synthetik", "no/where.csv", "synthetic:x")),
    ("scenes --out=o", "--lengths", "length", ("-20", "0", "10.001", *INFINITE)),
    ("scenes --out=o", "--format", "--format", ("mp3", "flac", "")),
    ("scenes --out=o", "--gain", "--gain", ("x", "-201", *INFINITE)),
    ("scenes --out=o", "--sample-rate", "sample_rate", ("11025", "0", "-16000")),
    ("scenes --out=o", "--labels", "vocabulary", ("audioset", "nowhere.csv")),
    ("scenes --out=o", "--control", "--control", ("needle", "shams")),
    ("scenes --out=o", "--protocol", "protocol", ("dass-v2", "")),
    ("score nowhere p.csv --out=o", "--model", "--model", ("", " ", "a\tb")),
    ("score nowhere p.csv --out=o", "--model=m --scores", "--scores", ("logits", "")),
    ("score nowhere p.csv --out=o", "--model", "holds no scenes", ("m",)),
    ("causes", "--lengths", "length", ("10", "5", "", "10,1e15", *INFINITE[:4])),
    ("causes", "--limit", "--limit", ("0", "-1", HUGE)),
    ("causes", "--snr", "--snr", INFINITE),
    ("causes", "--position", "position", ("1.5", *INFINITE)),
    ("causes", "--seed", "--seed", (HUGE, "x")),
    ("causes", "--device", "--device", ("mps", "meta")),
    ("causes", "--protocol", "protocol", ("dass-v2",)),
    ("bench", "--lengths", "length", ("1e15", "10.001", "", *INFINITE)),
    ("bench", "--batch-size", "--batch-size", ("0", "-1", "x", HUGE)),
    ("bench", "--repeats", "--repeats", ("0", "x", HUGE)),
    ("bench", "--warmup", "--warmup", ("-1", "x", HUGE)),
    ("bench", "--window", "--window", ("0", *INFINITE)),
    ("bench", "--device", "--device", ("mps", "meta")),
    ("bench", "--dtype", "--dtype", ("float8",)),
    ("bench", "--kernel", "--kernel", ("cuda",)),
    ("bench", "--preset", "--preset", ("claim",)),
    ("preview --needle=x.wav --out=o", "--length", "length", ("5", "1e15", *INFINITE)),
    ("preview --needle=x.wav --out=o", "--position", "position", ("1.5", *INFINITE)),
    ("preview --needle=x.wav --out=o", "--snr", "--snr", INFINITE),
    ("preview --needle=x.wav --out=o", "--seed", "--seed", (HUGE, "x")),
    ("preview --needle=x.wav --out=o", "--protocol", "protocol", ("dass-v2",)),
    ("preview --needle=x.wav --out=o", "--level", "level", ("under",)),
    ("preview --needle=x.wav --out=o", "--method", "method", ("attention",)),
    ("locate RUN", "--method", "--method", ("attention", "")),
    ("locate RUN", "--limit", "--limit", ("0", "-1", HUGE)),
    ("locate RUN", "--batch-size", "--batch-size", ("0", "-1", HUGE)),
    ("locate RUN", "--window", "--window", ("0", *INFINITE)),
    ("locate RUN", "--hop", "--hop", ("0", "11", *INFINITE)),
    ("locate RUN", "--lengths", "length", ("5", "1e15", *INFINITE[:4])),
    ("locate RUN", "--snr", "--snr", INFINITE),
    ("locate RUN", "--positions", "position", ("1.5", *INFINITE)),
    ("locate RUN", "--device", "--device", ("mps", "meta")),
    ("check RUN", "--tolerance", "tolerance", ("-1", "x", *INFINITE)),
    ("check RUN --against RUN", "--format", "--format", ("xml", "junitt", "")),
    ("check RUN", "--against", "run directory", ("publishd", "nowhere")),
    ("check RUN", "--against", "--against", ("",)),
    ("run", "--out", "--out is an empty text", ("",)),
    ("run", "--checkpoint", "--checkpoint is an empty text", ("",)),
    ("run", "--needles", "--needles is an empty text", ("",)),
    ("run", "--haystack", "--haystack is an empty text", ("",)),
    ("check RUN --against RUN", "--out", "a part of a run", ("RUN/run.json", "RUN/cells.csv")),
    ("run --haystack=own", "--needle-count", "--needle-count", ("2",)),
    ("run --haystack=own", "--needles-per-scene", "--needles-per-scene", ("2",)),
    ("run --haystack=own", "--distractors", "--distractors", ("1",)),
    ("run --haystack=own", "--needle-s", "--needle-s", ("2",)),
    ("run --haystack=own", "--control", "--control sham", ("sham",)),
    ("compare RUN RUN", "--correction", "correction", ("bonferroni", "")),
    ("compare RUN RUN", "--model", "model", ("nope",)),
    ("data verify synthetic", "--limit", "--limit", ("0", "-1", HUGE)),
    ("data verify synthetic", "--write", "a part of a run", ("RUN/cells.csv",)),
    ("data verify synthetic", "--labels", "vocabulary", ("audioset", "nowhere.csv")),
    ("models verify dass-nano", "--lengths", "length", ("", "1e15", *INFINITE)),
    ("models verify dass-nano", "--device", "--device", ("mps", "meta")),
    ("train dass-nano --out=o", "--set", "epoch", ("epochs", "epoch=1", "epochs=0", "epochs=x")),
    ("train dass-nano --out=o", "--max-excluded", "--max-excluded", ("-1", "2", "nan", "x")),
    ("train dass-nano --out=o", "--features-gb", "--features-gb", ("-1", "nan", "x")),
    ("train dass-nano --out=o", "--workers", "--workers", ("-1", "x", HUGE)),
    ("train dass-nano --out=o", "--device", "--device", ("mps", "meta")),
    ("leaderboard", "", "run directory", ("nowhere",)),
    ("report", "", "is not a run", ("nowhere",)),
)
CASES = [(*row[:3], value) for row in TABLE for value in row[3]]


@pytest.mark.parametrize(
    ("command", "option", "name", "value"),
    CASES,
    ids=[f"{command.split()[0]} {option} {value!r:.12}" for command, option, _, value in CASES],
)
def test_a_bad_value_is_one_line_that_names_the_option(
    command: str,
    option: str,
    name: str,
    value: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    examined: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [str(examined) if word == "RUN" else word for word in command.split()]
    *before, last = option.split() or [""]
    value = value.replace("RUN/", f"{examined}/")
    given = [f"{last}={value}" if last else value]
    monkeypatch.setattr(sys, "argv", ["niah", *words, *before, *given])
    with pytest.raises(SystemExit) as caught:
        main()
    out, err = capsys.readouterr()
    assert caught.value.code == 2, (out, err)
    (line,) = (each for each in err.splitlines() if not each.startswith("note: "))
    assert line.startswith("niah: ")
    assert name in line
    assert ".." not in line
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def examined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one small model, which no command here may change."""
    return examples.make(tmp_path_factory.mktemp("run") / "run", {"arguments": ARGUMENTS}).path
