"""docs/your-model.md, run as it stands: the files written, the commands typed, and what is found in faulty ones."""

import re
import runpy
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from niah.adapters.importing import code_sha256, import_adapter
from niah.adapters.loading import adapter_info, load_model
from niah.adapters.verify import verify
from niah.cards import ModelCard, read_model_card
from niah.cli import main
from niah.errors import NiahError
from niah.sweep.options import RunOptions
from niah.sweep.setup import EvalSetup
from tests.helpers import tiny

PAGE = tiny.REPOSITORY / "docs" / "your-model.md"
Written = Callable[..., Path]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


def write(folder: Path) -> Path:
    """The page's files, each under the name before its block; returns the last card."""
    pattern = r"^`([\w.-]+)`, the.*?```\w+\n(.*?)```"
    files = dict(re.findall(pattern, PAGE.read_text(), flags=re.DOTALL | re.MULTILINE))
    assert len(files) == len(blocks("toml")) + len(blocks("python")) == 5
    for name, content in files.items():
        (folder / name).write_text(content)
    return folder / str([name for name in files if name.endswith(".toml")][-1])


def test_the_examples_are_short() -> None:
    function, *classes = (
        len([line for line in code.splitlines() if line.strip()]) for code in blocks("python")
    )
    assert function <= 18  # its run included
    assert all(20 < lines <= 32 for lines in classes)


@pytest.mark.slow  # `.ci/run` runs it by a line of its own
def test_the_page_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each line of its shell block, in this process: what `python` and `niah` would do."""
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    commands = [shlex.split(line) for line in "".join(blocks("sh")).splitlines()]
    assert [command[0] for command in commands].count("python") == len(blocks("sh")) == 3
    printed = []
    for program, *arguments in commands:
        if program == "python":
            runpy.run_path(arguments[0], run_name="__main__")
            continue
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        told = capfd.readouterr()
        assert ended.value.code == 0, told.err
        printed.append(told.out)
    verified = [text for text in printed if "protocol: met" in text]
    assert len(verified) == 3
    assert all("50 s (5000 frames)" in text for text in verified)
    keys = []
    for out in ("python", "file", "waveform"):
        table = pd.read_csv(tmp_path / "runs" / out / "cells.csv")
        assert list(table["status"]) == ["ok"] * 2
        assert table["mAP"].notna().all()
        keys.append(set(table["cell"]))
    assert keys[0] == keys[1] != keys[2]  # a script's function is its file's
    table = pd.read_csv(tmp_path / "runs" / "mine" / "cells.csv")
    assert list(table["status"]) == ["ok"] * 4
    assert table["mAP"].notna().all()
    assert set(table["kernel"]) == {"torch"}
    assert set(table["window_pool"].dropna()) == {"max"}
    assert (table["checkpoint_sha256"].str.len() == 64).all()


# --- what is not met is told, all of it


@pytest.fixture
def faulty(tmp_path: Path, request: pytest.FixtureRequest) -> Written:
    """A card and an adapter file with some lines replaced; each test's module has a name of its own."""

    def written(*replaced: tuple[str, str]) -> Path:
        card = write(tmp_path)
        module = "m" + re.sub(r"\W", "_", request.node.name)
        code = (tmp_path / "band_energy.py").read_text()
        for old, new in replaced:
            assert old in code
            code = code.replace(old, new)
        (tmp_path / f"{module}.py").write_text(code)
        text = card.read_text().replace("band_energy:", f"{module}:")
        card.write_text(text.partition("[weights.mine]")[0])
        return card

    return written


def unmet(card: Path) -> list[str]:
    return [found.text for found in verify(str(card), None, (10,), "cpu") if not found.met]


@pytest.mark.parametrize(
    ("replaced", "told"),
    [
        (('kernel = "torch"', "pass"), "it lacks kernel"),
        (("self.name = card.name", "self.name = 3"), "name must be text, not int"),
        (
            ("self.frontend.sample_rate\n", "8000\n"),
            "sample_rate is 8000 and its front end's is 16000",
        ),
        (
            ("vocabulary(card.labels_source)", 'vocabulary("esc-10")'),
            "labels are not those that the card names (synthetic), in their order",
        ),
        (
            ("vocabulary(card.labels_source)", "list(range(25))"),
            "labels must be a Vocabulary, not list",
        ),
        (
            ("KaldiFrontend(mean=-4.27, std=4.57)", "KaldiFrontend(frame_shift=320)"),
            "are 20 ms apart",
        ),
        (("len(self.labels))", "3)"), "logits have 3 columns, and there are 25 labels"),
        (("mean(dim=1)", "mean(dim=(0, 1))[None]"), "logits of 2 clips are (1, 25)"),
        ((".float()", ".half()"), "logits are torch.float16, must be float32"),
        ((".float()", ".float() / 0"), "logits hold NaN or infinity"),
        ((".float()", '.float().to("meta")'), "logits are on meta, must be on the CPU or on cpu"),
        (("@torch.inference_mode()", ""), "logits carry gradients"),
        (
            ("    bands = ", "    features += 1\n        bands = "),
            "logits changed its input",
        ),
        ((".float()", ".float() + torch.rand(1)"), "between two runs on the same input"),
        (("mean(dim=1)", "mean(dim=1) - features.mean()"), "when another clip is in the batch"),
        (("mean(dim=1)", "mean(dim=7)"), "raised IndexError"),
        ((".float()", ".tolist()"), "logits must return a torch.Tensor, not list"),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_a_fault_is_told_in_words(faulty: Written, replaced: tuple[str, str], told: str) -> None:
    found = unmet(faulty(replaced))
    assert any(told in text for text in found), found


def test_several_faults_are_all_told(faulty: Written) -> None:
    card = faulty(
        ('kernel = "torch"', "pass"),
        ("self.frontend.sample_rate\n", "8000\n"),
        ("len(self.labels))", "3)"),
        (".float()", ".half() / 0"),
    )
    found = "\n".join(unmet(card))
    for told in ("lacks kernel", "sample_rate is 8000", "3 columns", "torch.float16", "NaN"):
        assert told in found


def test_a_front_end_with_parts_missing_is_told(faulty: Written) -> None:
    found = unmet(
        faulty(
            (
                "KaldiFrontend(mean=-4.27, std=4.57)",
                "type('F', (), {'sample_rate': 16000, 'mels': 128})()",
            )
        )
    )
    assert any("frontend (F) lacks" in text and "energies" in text for text in found)
    assert not any("sample_rate" in text.partition("lacks")[0] for text in found)


def test_a_sound_adapter_meets_all(faulty: Written) -> None:
    assert unmet(faulty()) == []


def test_no_native_mode_is_told_and_run_over_windows(faulty: Written) -> None:
    refusal = "raise __import__('niah').NiahError('too long')"
    lines = f"    if features.shape[1] > 1500:\n            {refusal}\n        bands = "
    card = faulty(("    bands = ", lines))
    found = [str(each) for each in verify(str(card), None, (10, 50), "cpu")]
    assert found[-2] == "50 s: no native mode: too long"
    assert found[-1].startswith("torch+window-max-hop5s, 50 s (5000 frames)")


@pytest.mark.parametrize(
    ("replaced", "told"),
    [
        (("class BandEnergy", "class Other"), "has no 'BandEnergy'"),
        (
            ("import torch\n", "import torch_of_mine\n"),
            "cannot be imported: No module named 'torch_of_mine'",
        ),
        (("class BandEnergy:", "class BandEnergy"), "line 7"),
        (("*, device, dtype", "device"), "raised TypeError"),
    ],
    ids=["class", "import", "syntax", "signature"],
)
def test_an_adapter_that_cannot_be_made_is_one_line(
    faulty: Written, replaced: tuple[str, str], told: str
) -> None:
    with pytest.raises(NiahError, match=re.escape(told)):
        unmet(faulty(replaced))


def test_loading_an_adapter_with_parts_missing_is_refused(faulty: Written) -> None:
    with pytest.raises(NiahError, match="BandEnergy is no adapter: it lacks kernel"):
        load_model(faulty(('kernel = "torch"', "pass")))


def test_a_checkpoint_needs_a_way_to_be_taken(faulty: Written, tmp_path: Path) -> None:
    card = faulty(("def load_checkpoint", "def other"))
    weights = tmp_path / "w.pt"
    weights.write_bytes(b"x")
    with pytest.raises(NiahError, match="takes no checkpoint: give it a method load_checkpoint"):
        load_model(card, checkpoint=weights)


def test_a_checkpoint_that_is_not_there_is_told(faulty: Written, tmp_path: Path) -> None:
    with pytest.raises(NiahError, match=r"nowhere.pt not found"):
        load_model(faulty(), checkpoint=tmp_path / "nowhere.pt")


# --- the import string


def test_a_module_beside_the_card_is_taken_and_may_import_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "beside_neighbour.py").write_text("NAME = 'here'\n")
    (tmp_path / "beside_adapter.py").write_text(
        "class A:\n    def name(self):\n        import beside_neighbour\n        return beside_neighbour.NAME\n"
    )
    path = tmp_path / "a.toml"
    path.write_text('name = "a"\nadapter = "beside_adapter:A"\nlabels = "synthetic"\n')
    card = read_model_card(path)
    assert import_adapter(card)().name() == "here"
    assert len(code_sha256(card)) == 64


@pytest.mark.parametrize(("first", "second"), [("one", "two"), ("one/runs", "one")])
def test_two_modules_of_one_name_are_not_confused(
    tmp_path: Path, first: str, second: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "same_name", raising=False)
    for folder in (first, second):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "same_name.py").write_text(f"class A:\n    where = '{folder}'\n")
        text = 'name = "a"\nadapter = "same_name:A"\nlabels = "synthetic"\n'
        (tmp_path / folder / "a.toml").write_text(text)
    assert import_adapter(read_model_card(tmp_path / first / "a.toml")).where == first
    with pytest.raises(NiahError, match="'same_name' from elsewhere is loaded already"):
        import_adapter(read_model_card(tmp_path / second / "a.toml"))


@pytest.mark.parametrize("adapter", ["no_colon", ":Class", "module:"])
def test_an_import_string_has_two_parts(tmp_path: Path, adapter: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(f'name = "a"\nadapter = "{adapter}"\nlabels = "synthetic"\n')
    with pytest.raises(NiahError, match=r"must read 'package\.module:Class'"):
        import_adapter(read_model_card(path))


def test_the_packages_own_adapters_have_no_code_checksum() -> None:
    card = ModelCard(
        "a", "niah.adapters.wrappers.sliding_window:SlidingWindow", "synthetic", path=Path("a.toml")
    )
    import_adapter(card)
    assert code_sha256(card) == ""


@pytest.mark.parametrize(
    ("adapter", "reason"),
    [
        ("os:getcwd", "'os:getcwd' is a function of waveforms: the card must say its rate"),
        ("builtins:dict", "raised TypeError"),
        ("types:SimpleNamespace", "raised TypeError|SimpleNamespace is no adapter: it lacks name"),
        ("os:environ", "is no class, model or function"),
        ("unittest.mock:MagicMock", "MagicMock is no adapter: .*name must be text"),
        ("os:nothing", "module 'os' has no 'nothing'"),
        ("..:x", "must read"),
        (".relative:x", "must read"),
        ("os.:x", "must read"),
        ("os:x.y", "must read"),
        ("os:get cwd", "must read"),
        ("no_such_module_of_mine:X", "cannot be imported: No module named"),
    ],
)
def test_whatever_an_import_string_names_is_an_adapter_or_one_line(
    tmp_path: Path, adapter: str, reason: str
) -> None:
    path = tmp_path / "a.toml"
    path.write_text(f'name = "a"\nadapter = "{adapter}"\nlabels = "synthetic"\n')
    with pytest.raises(NiahError, match=reason) as refused:
        load_model(path)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("code", ["1 / 0", "raise SystemExit(3)", "import niah.nothing", "x = y"])
def test_a_module_that_fails_when_it_is_imported_is_one_line(tmp_path: Path, code: str) -> None:
    name = "fails_" + re.sub(r"\W", "_", code)
    (tmp_path / f"{name}.py").write_text(f"{code}\nclass A: pass\n")
    path = tmp_path / "a.toml"
    path.write_text(f'name = "a"\nadapter = "{name}:A"\nlabels = "synthetic"\n')
    with pytest.raises(NiahError, match="cannot be imported: "):
        load_model(path)


def test_a_run_refuses_what_verify_finds_without_running(faulty: Written, tmp_path: Path) -> None:
    """20 ms frames: "20 s" would be 40 s of sound."""
    card = faulty(("KaldiFrontend(mean=-4.27, std=4.57)", "KaldiFrontend(frame_shift=320)"))
    options = RunOptions(
        models=(str(card),), checkpoint="random", haystacks=("zero",), limit=2, out=tmp_path / "out"
    )
    with pytest.raises(NiahError, match="frames are 20 ms apart: the harness counts 10 ms frames"):
        EvalSetup(options)
    assert not options.out.exists()


def test_untrained_weights_are_not_scored_by_oversight(faulty: Written) -> None:
    """The card names no [weights], and the class has a way to take them."""
    card = faulty()
    with pytest.raises(NiahError, match=r"would score untrained weights: name a file in \[weights"):
        load_model(card)
    assert adapter_info(load_model(card, "random")).random
    found = [str(each) for each in verify(str(card), None, (10,), "cpu")]
    assert "is made without weights: `niah run` wants [weights.NAME]" in found[0]


def test_a_class_that_brings_its_weights_needs_none(faulty: Written) -> None:
    assert load_model(faulty(("def load_checkpoint", "def other"))).name == "band-energy"


def test_weights_that_are_drawn_anew_each_time_are_noticed(faulty: Written) -> None:
    """A class without load_checkpoint is taken to bring its weights: made twice, they are compared."""
    (found,) = unmet(faulty(("def load_checkpoint", "def other")))
    assert "made a second time, it gives other logits: its weights are random" in found
