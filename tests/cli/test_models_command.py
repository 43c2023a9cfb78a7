"""`niah models`: the list, one card, and a verification that ends with 2 when something is not met."""

import re
from pathlib import Path

import pytest

from niah.adapters.weights import local_path
from niah.cards import find_model, model_cards, read_model_card
from niah.cli.models import weights_lines, weights_text
from niah.vocabularies import vocabulary
from tests.helpers import tiny, tiny_transformers
from tests.helpers.command_line import Niah

SOURCES = """
[weights.embedded]
file = "here.safetensors"
[weights.released]
url = "https://example.org/a/released.pth"
[weights.drive]
by_hand = "https://example.org/drive"
file_name = "best.pth"
[weights.port]
hub = "someone/something"
"""


def test_the_list_says_where_weights_come_from_and_whether_they_are_here(tmp_path: Path) -> None:
    path = tiny.card(tmp_path)
    path.write_text(path.read_text() + SOURCES)
    card = read_model_card(path)
    assert weights_text(card) == (
        "embedded (embedded, not here), released (address, to fetch), drive (by hand, not here), port (hub, to fetch)"
    )
    (tmp_path / "here.safetensors").write_bytes(b"x")
    best = local_path(card, card.weights["drive"])
    assert best is not None
    best.parent.mkdir(parents=True)
    best.write_bytes(b"x")
    assert weights_text(card).startswith("embedded (embedded, here), ")
    assert "drive (by hand, here)" in weights_text(card)
    best.unlink()


def test_a_card_says_what_a_person_must_do(tmp_path: Path) -> None:
    path = tiny.card(tmp_path)
    path.write_text(path.read_text() + SOURCES)
    lines = {line.partition(":")[0]: line for line in weights_lines(read_model_card(path))}
    assert "https://example.org/a/released.pth; fetched when first used" in lines["released"]
    assert "Get best.pth at https://example.org/drive; give it with --checkpoint" in lines["drive"]
    assert "huggingface.co/someone/something" in lines["port"]
    assert "revision not pinned" in lines["port"]


def test_the_list_has_every_card_with_its_figures(niah: Niah) -> None:
    answer = niah("models")
    assert answer.status == 0
    for card in model_cards():
        line = next(each for each in answer.stdout.splitlines() if each.split()[:1] == [card.name])
        assert f"{card.parameters / 1e6:.1f} M" in line
        assert f"{card.trained_on_s:g} s" in line


def test_show_prints_the_card_and_its_weights(niah: Niah) -> None:
    answer = niah("models", "show", "dass-nano")
    assert answer.status == 0
    assert find_model("dass-nano")[0].path.read_text().rstrip() in answer.stdout
    assert answer.stdout.rstrip().endswith("here")


def test_show_says_what_is_known_of_models_without_a_card(niah: Niah, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    (tmp_path / "own.py").write_text("def tagger(waveforms):\n    return waveforms[:, :25]\n")
    request = ("--labels", "synthetic", "--sample-rate", 16000)
    answer = niah("models", "show", f"{tmp_path}/own.py:tagger", *request)
    assert answer.status == 0
    assert answer.stdout.splitlines()[:4] == [
        'name = "tagger"',
        'adapter = "own:tagger"',
        'labels = "synthetic"',
        "classes = 25",
    ]
    names = [*vocabulary("esc-10").names[:9], "A thing"]
    folder = tiny_transformers.ast(tmp_path / "ast", names)
    answer = niah("models", "show", folder)
    assert answer.status == 0
    assert 'labels = "esc-10, 9 of 10 classes"' in answer.stdout
    assert "# model 'ast': labels without a class, not scored (1): A thing" in answer.stdout
    answer = niah("models", "show", "tagger")
    assert answer.status == 2
    assert answer.stderr == (
        "niah: unknown model 'tagger'. `niah models` lists all; a card of your own is a path (docs/your-model.md)\n"
    )


def test_verify_ends_with_2_when_something_is_not_met(niah: Niah, tmp_path: Path) -> None:
    (tmp_path / "deaf_adapter.py").write_text(
        "from tests.helpers.tiny import TinyTagger\n\n\nclass Deaf:\n    kernel = 1\n    name = 'deaf'\n\n"
        "    def __init__(self, card, **options):\n        pass\n"
    )
    path = tiny.card(tmp_path, "deaf")
    path.write_text(path.read_text().replace("tests.helpers.tiny:TinyTagger", "deaf_adapter:Deaf"))
    answer = niah("models", "verify", path)
    assert answer.status == 2
    assert "not met: it lacks sample_rate, frontend, labels, logits" in answer.stdout
    assert "not met: kernel must be text, not int" in answer.stdout
    assert re.search(
        r"not met: \d points? of the adapter protocol \(docs/your-model.md\)$", answer.stderr
    )
    assert len(answer.stderr.splitlines()) == 1


def test_verify_of_a_model_of_ours(niah: Niah, tmp_path: Path) -> None:
    weights = tiny.checkpoint(tmp_path)
    arguments = ["verify", tiny.card(tmp_path), "--checkpoint", weights, "--lengths", "10,50"]
    answer = niah("models", *arguments)
    assert answer.status == 0
    lines = answer.stdout.splitlines()
    assert lines[0].startswith("tiny: loads strictly; 0.0 M parameters; kernel torch; 3 classes")
    assert lines[1].startswith("protocol: met")
    assert lines[2].startswith("10 s (1024 frames): ")
    assert "GiB at the peak" in lines[3]
    wrong = ["verify", tiny.card(tmp_path / "wide", hidden=32), "--checkpoint", weights]
    answer = niah("models", *wrong)
    assert answer.status == 2
    assert answer.stdout == ""
    assert "of another shape (hidden.weight is (16, 128), not (32, 128)" in answer.stderr
