"""The page on streaming says what its tables carry."""

from niah.diagnosis.streaming.rows import StreamScores, read
from niah.diagnosis.streaming.table import stream_tables
from tests.results.committed import RESULTS, missing, page, per_cent, table

FOLDER = "embedded-streaming"
PAGE = f"results/{FOLDER}/README.md"


def row(model: str, haystack: str = "babble-synthetic", repeats: int = 1) -> StreamScores:
    rows = read(RESULTS / FOLDER)
    (only,) = [r for r in rows if (r.model, r.haystack, r.repeats) == (model, haystack, repeats)]
    return only


def share(row: StreamScores, name: str) -> str:
    """A share with its interval, in per cent."""
    value, low, high = (getattr(row, f"{name}{end}") for end in ("", "_lo", "_hi"))
    return f"{per_cent(value)} % [{per_cent(low)}, {per_cent(high)}]"


def sentences() -> list[str]:
    dass, aum, stream = "dass-nano", "aum-nano", "aum-stream-nano"
    quiet = [row(model, "silence") for model in (dass, aum, stream)]
    loud = [row(model) for model in (dass, aum, stream)]
    long = [row(model, repeats=3) for model in (dass, aum, stream)]
    early = [each.early for each in quiet if each.early is not None]
    day = table(f"{FOLDER}/day.csv")
    return [
        f"dass-nano names {share(quiet[0], 'within_2')} of the sounds within 2 s in silence and "
        f"{share(loud[0], 'within_2')} in babble at 10 dB, aum-nano {share(quiet[1], 'within_2')} and "
        f"{share(loud[1], 'within_2')}, aum-stream-nano {share(quiet[2], 'within_2')} and "
        f"{share(loud[2], 'within_2')}. In silence {per_cent(min(early))} to "
        f"{per_cent(max(early))} % of the labels are above their threshold before their sound begins, "
        "by another sound of the clip: those are no answers to it",
        f"A second of sound costs aum-stream-nano {1000 * quiet[2].compute_s:.1f} ms and aum-nano, by windows, "
        f"{1000 * quiet[1].compute_s:.1f} ms in silence (dass-nano {1000 * quiet[0].compute_s:.1f} ms); it keeps "
        f"{loud[2].state_bytes / 1024:.0f} KiB from hop to hop, a window {loud[0].state_bytes / 1024:.0f} KiB",
        "In silence more than half of its answers are still there when the scene ends, "
        f"and its needle-free logits drift by {quiet[2].drift:+.2f} from the middle to the last third of a minute",
        f"24 clips, three times each, babble at 10 dB): the decision holds for {share(long[0], 'hold')} of the hops "
        f"(dass-nano), {share(long[1], 'hold')} (aum-nano) and {share(long[2], 'hold')} (aum-stream-nano), and "
        f"flips {long[0].flips:.1f}, {long[1].flips:.1f} and {long[2].flips:.1f} times",
        f"24 hours, 10 s a hop: the state of aum-stream-nano is {day.state_bytes.min() / 1024:.1f} KiB after each "
        f"hour; a hop takes {day.compute_ms.iloc[0]:.1f} ms of a processor in the first hour and "
        f"{day.compute_ms.iloc[-1]:.1f} ms in the last; the process has grown by "
        f"{day.grown_bytes.iloc[-1] / 2**20:.1f} MiB since its first minute, "
        f"{(day.grown_bytes.iloc[-1] - day.grown_bytes.iloc[0]) / 2**20:.1f} MiB of them after the first hour",
    ]


def test_the_page_says_what_the_tables_say() -> None:
    assert not missing(PAGE, (text.replace("**", "") for text in sentences()))
    assert row("aum-stream-nano", "silence").release_s is None
    rows = read(RESULTS / FOLDER)
    assert {each.scenes for each in rows} == {24}
    assert {(each.model, each.method) for each in rows} == {
        ("aum-stream-nano", "state"),
        ("aum-nano", "windows"),
        ("dass-nano", "windows"),
    }


def test_the_tables_are_on_the_page() -> None:
    for each in stream_tables(read(RESULTS / FOLDER)):
        lines = [line for line in each.markdown().splitlines() if line.startswith("|")]
        assert len(lines) > 2
        assert " ".join(" ".join(lines).split()) in page(PAGE)


def test_the_state_is_flat_for_a_day() -> None:
    day = table(f"{FOLDER}/day.csv")
    assert list(day.hour) == list(range(1, 25))
    assert day.state_bytes.nunique() == 1
    assert float(day.grown_bytes.iloc[-1] - day.grown_bytes.iloc[0]) < 8 * 2**20
