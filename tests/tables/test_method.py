"""The method paragraph of a run and its BibTeX: what is stated is what the run says."""

import json
import re
from typing import Any

import pandas as pd
import pytest

from niah.cards import model_cards
from niah.exchange.scoring import ADAPTER
from niah.records.random_weights import table_without_accuracy
from niah.tables.method import PAPERS_FILE, bibtex, method_paragraph
from niah.toml_tables import read_toml
from tests.conftest import REPOSITORY

RUN = REPOSITORY / "results" / "embedded"
CELLS = pd.read_csv(RUN / "cells.csv")
PROVENANCE: dict[str, Any] = json.loads((RUN / "run.json").read_text())


def test_every_fact_of_the_run_is_in_the_paragraph() -> None:
    text = method_paragraph(CELLS, PROVENANCE)
    identity, first = PROVENANCE["identity"], CELLS.iloc[0]
    for fact in (
        f"{first['n_clips']} labelled clips of synthetic",
        identity["ids_sha256"][:12],
        "protocol niah-v2.1",
        "10 s, 20 s, 50 s and 100 s",
        "gaussian at 10 dB",
        "the needle lies at 0.5",
        "seed is 0",
        "computed in float32",
        f"{int(first['classes_scored'])} classes",
        f"Random scores have mAP {first['chance_mAP']:.3f}",
        f"Audio NIAH {first['niah_version']} (commit {PROVENANCE['git']['commit'][:12]})",
        f"torch {PROVENANCE['versions']['torch']}",
        *(
            f"{name} (weights {m['checkpoint_sha256'][:12]})"
            for name, m in PROVENANCE["models"].items()
        ),
    ):
        assert fact in text
    assert not re.search(r"\bnan\b|None|\s\s", text)


def test_every_checkpoint_of_a_model_is_named() -> None:
    other = CELLS[CELLS["model"] == "dass-nano"].assign(checkpoint_sha256="a" * 64)
    text = method_paragraph(pd.concat([CELLS, other]), PROVENANCE)
    own = PROVENANCE["models"]["dass-nano"]["checkpoint_sha256"][:12]
    assert f"dass-nano (weights {own} and {'a' * 12})" in text


def test_the_precision_of_predictions_is_not_known() -> None:
    files = CELLS[CELLS["model"] == "dass-nano"].assign(
        model="my-system", kernel=ADAPTER, dtype=None
    )
    text = method_paragraph(pd.concat([CELLS[CELLS["model"] == "aum-nano"], files]), {})
    assert "computed in float32 (aum-nano); predictions that were made outside" in text
    assert "in a precision that is not known: my-system." in text
    assert "float32" not in method_paragraph(files, {})


def test_a_bare_table_and_odd_runs_say_less() -> None:
    bare = CELLS.assign(checkpoint_sha256=None, dtype=None, niah_version=None, chance_mAP=None)
    text = method_paragraph(bare.assign(window_s=10.0, window_pool="max", noise_seed=7), {})
    assert "over sliding windows of 10 s" in text
    assert "that of the noise 7" in text
    assert "commit" not in text
    assert "Random scores" not in text
    assert not re.search(r"\bnan\b|None|weights", text)
    random = {"models": {"dass-nano": {"random": True}}}
    assert "dass-nano had random weights" in method_paragraph(
        table_without_accuracy(CELLS, random), random
    )


@pytest.mark.parametrize(
    "provenance", [None, PROVENANCE, {"models": {"x}{": {"paper": "arXiv:2104.01778"}}}]
)
def test_bibtex_is_well_formed(provenance: dict[str, Any] | None) -> None:
    text = bibtex(provenance)
    entries = re.findall(r"^@(\w+)\{([^,]+),\n(.*?)^\}$", text, re.MULTILINE | re.DOTALL)
    assert len(entries) == text.count("@misc") + text.count("@article") >= 2
    keys = [key for _, key, _ in entries]
    assert len(set(keys)) == len(keys)
    assert keys[:2] == ["audio-niah", "dass"]
    for _, _, body in entries:
        assert all(re.fullmatch(r"  \w+ = \{.*\},", line) for line in body.splitlines())
        assert body.count("{") == body.count("}")
    if provenance is PROVENANCE:
        assert {"arxiv-2104.01778", "arxiv-2406.03344"} <= set(keys)
        assert text.count("2407.04082") == 1


def test_every_shipped_model_has_a_paper_with_title_and_authors() -> None:
    """Also a number that is not listed gives an entry that BibTeX can sort."""
    papers = {card.name: {"paper": card.paper} for card in model_cards()}
    text = bibtex({"models": papers})
    assert text.count("@misc{arxiv-") == len(read_toml(PAPERS_FILE, "list")) > 15
    assert "{{arXiv}:" not in text
    assert text.count("author = {") == text.count("year = {") + 1  # the software has no year
    unknown = bibtex({"models": {"mine": {"paper": "arXiv:2501.00001"}}})
    assert "key = {arXiv:2501.00001}" in unknown
