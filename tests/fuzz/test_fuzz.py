"""Damaged and hostile inputs for every loader: a few in the default suite, thousands in `make fuzz`."""

import os
import re
from pathlib import Path

import pytest

from niah.system.threads import single_threaded_torch
from tests.conftest import REPOSITORY
from tests.fuzz.bad_readers import READERS
from tests.fuzz.harness import CPU_S, MEMORY_BYTES, SILENCE_S, Loader, fuzz, make_input
from tests.fuzz.loaders import LOADERS, warm_up
from tests.fuzz.report import faults_text, markdown
from tests.fuzz.runs import READERS as RUN_READERS
from tests.helpers.preloaded import Preloaded

INPUTS = int(os.environ.get("NIAH_FUZZ_INPUTS", "10000"))
each_loader = pytest.mark.parametrize("loader", LOADERS, ids=lambda loader: str(loader.name))


@each_loader
def test_few_inputs(loader: Loader) -> None:
    warm_up(loader)
    with single_threaded_torch():  # threads of earlier tests are missing in a fork
        counts = fuzz(loader, 0, loader.few)
    assert not counts.faults, faults_text(counts.faults)
    assert counts.accepted, "every input is refused: is what they are made of sound?"


@pytest.mark.fuzz
@each_loader
def test_many_inputs(loader: Loader) -> None:
    warm_up(loader)
    with single_threaded_torch():
        counts = fuzz(loader, 0, INPUTS)
    print(markdown([counts]))
    assert not counts.faults, faults_text(counts.faults)


def test_an_input_is_a_function_of_its_loader_and_number(tmp_path: Path) -> None:
    loader = next(each for each in LOADERS if each.name == "needles-csv")
    made = []
    for folder, index in (("a", 3), ("b", 3), ("c", 4)):
        (tmp_path / folder).mkdir()
        made.append(make_input(loader, index, tmp_path / folder).read_bytes())
    assert made[0] == made[1] != made[2]


def test_the_page_counts_every_loader_under_the_limits_that_are_set() -> None:
    page = " ".join((REPOSITORY / "docs" / "fuzzing.md").read_text("utf-8").split())
    count = r" ([\d,]+) \|"
    rows = re.findall(r"\| ([a-z-]+)(?: \([^|]+\))? \|" + 4 * count, page)
    assert sorted(name for name, *_ in rows) == sorted(loader.name for loader in LOADERS)
    for name, *cells in rows:
        inputs, *parts = (int(cell.replace(",", "")) for cell in cells)
        assert inputs == sum(parts), name
    assert f"may grow by {MEMORY_BYTES >> 30} GiB, an input may take {CPU_S:.0f} s" in page
    assert "nothing is heard for a minute" in page
    assert SILENCE_S == 60.0
    assert "rendered in one of fifteen" in page
    assert (len(RUN_READERS), RUN_READERS.count("drawn-report")) == (15, 1)


@pytest.mark.slow  # it waits for its limits of time; `.ci/run` runs it by a line of its own
def test_the_harness_sees_what_a_reader_must_not_do(preloaded: Preloaded) -> None:
    process = preloaded.start("from tests.fuzz.bad_readers import main; main()")
    out, err = process.communicate()
    seen = {name: kinds for name, *kinds in map(str.split, out.splitlines())}
    assert seen == {name: [kind] * 2 for name, (_, kind) in READERS.items()}, err
