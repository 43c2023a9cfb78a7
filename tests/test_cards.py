"""Cards: every one parses and imports, what is wrong in one is told by key, and names lead to them."""

import json
import math
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from niah.adapters.importing import import_adapter
from niah.adapters.network_adapter import NetworkAdapter
from niah.adapters.onnx import Onnx
from niah.cards import (
    check_weights_name,
    find_haystack,
    find_model,
    haystack_cards,
    model_cards,
    read_haystack_card,
    read_model_card,
)
from niah.errors import NiahError
from niah.haystacks import load_haystack
from niah.toml_tables import read_toml, toml_line
from niah.training.recipes import read_recipe
from niah.vocabularies import vocabulary
from tests.helpers.bad_names import BAD_NAMES

MODELS = {card.name: card for card in model_cards()}
HAYSTACKS = {card.name: card for card in haystack_cards()}
PARAMETERS = {"dass-small": 29_884_463, "dass-medium": 48_648_239, "ast": 86_594_063}
SMALL = {"dass-nano", "ast-sin-nano", "ast-sin2d-nano", "aum-nano", "aum-stream-nano"}
CARD = 'name = "mine"\nadapter = "a.b:C"\nlabels = "synthetic"\n'


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(
        CARD + '[weights.first]\nfile = "a.safetensors"\n[weights.second]\nhub = "x/y"\n'
    )
    return path


@pytest.mark.parametrize("name", MODELS)
def test_a_model_card_is_whole(name: str) -> None:
    card = MODELS[name]
    assert card.path.stem == name
    assert len(vocabulary(card.labels_source)) >= 10
    assert issubclass(import_adapter(card), NetworkAdapter | Onnx)
    assert card.licence
    assert card.paper
    assert card.trained_on_s > 0
    for weights in card.weights.values():
        assert (
            bool(weights.file)
            + bool(weights.hub)
            + bool(weights.url or weights.by_hand)
            + bool(weights.package)
            == 1
        )


@pytest.mark.parametrize("name", HAYSTACKS)
def test_a_haystack_card_is_whole(name: str) -> None:
    card = HAYSTACKS[name]
    assert card.path.stem == name
    assert card.description
    assert card.licence
    audioset = vocabulary("audioset-527")
    assert all(mid in audioset for mid in card.contains)
    if card.source:
        assert len(card.source["sha256"]) == 64


def test_the_cards_that_the_harness_needs_are_there() -> None:
    assert {"dass-small", "dass-medium", "ast", "ast-interp", "ast-sin-base", *SMALL} <= set(MODELS)
    assert {"zero", "silence", "gaussian", "babble", "babble-official"} <= set(HAYSTACKS)


def test_parameter_counts_are_those_of_the_papers() -> None:
    assert {name: MODELS[name].parameters for name in PARAMETERS} == PARAMETERS


def test_every_constant_haystack_loads_by_its_name() -> None:
    assert [load_haystack(name).fill for name in ("zero", "silence")] == ["zero", "silence"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (CARD + 'licens = "MIT"\n', "unknown key 'licens'. Did you mean 'licence'"),
        ('name = "mine"\nlabels = "synthetic"\n', "key 'adapter' is missing"),
        (CARD + 'parameters = "many"\n', "key 'parameters' must be int, got 'many'"),
        (CARD + "parameters = true\n", "key 'parameters' must be int, got True"),
        (CARD + "parameters = 1.5\n", "key 'parameters' must be int, got 1.5"),
        (CARD + "licence = 3\n", "key 'licence' must be str, got 3"),
        (CARD + 'aliases = "m"\n', "key 'aliases' must be a list of strings"),
        (CARD + "aliases = [1]\n", "key 'aliases' must be a list of strings"),
        (CARD + "config = 3\n", "key 'config' must be dict, got 3"),
        (CARD + "[weights.v1]\nhubb = 'x/y'\n", "unknown key 'weights.v1.hubb'. Did you mean"),
        (CARD + "[weights.v1]\nhub = 3\n", "key 'weights.v1.hub' must be str"),
        (CARD + "weights = 3\n", r"\[weights.NAME\] must be a table"),
        (CARD + "[weights]\nv1 = 3\n", r"\[weights.NAME\] must be a table"),
        (CARD + "path = 'elsewhere'\n", "'path'"),
        ("name = \n", "is not valid TOML"),
        ("\udcff".encode("utf-8", "surrogatepass").decode("latin-1"), "is not valid TOML"),
        ("", "key 'name' is missing"),
    ],
)
def test_what_is_wrong_in_a_card_is_told_by_key(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(NiahError, match=told) as caught:
        read_model_card(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_key_of_a_haystack_card_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nbuilder = "a:b"\ncontaints = ["/m/09x0r"]\n')
    with pytest.raises(NiahError, match=r"unknown key 'containts'. Did you mean 'contains'"):
        read_haystack_card(path)


def test_a_card_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NiahError, match=r"nowhere\.toml not found"):
        find_model(tmp_path / "nowhere.toml")


def test_a_folder_is_no_card(tmp_path: Path) -> None:
    (tmp_path / "x.toml").mkdir()
    with pytest.raises(NiahError, match=r"x\.toml"):
        find_model(tmp_path / "x.toml")


def test_a_card_of_ones_own_is_a_path(mine: Path) -> None:
    assert find_model(mine)[0].name == "mine"
    assert find_model(str(mine))[1] == "first"
    assert find_model(f"{mine}:second")[1] == "second"


def test_labels_may_lie_beside_the_card(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(CARD.replace('"synthetic"', '"labels.csv"'))
    assert read_model_card(path).labels_source == tmp_path / "labels.csv"


def test_names_aliases_and_weights() -> None:
    assert find_model("dass-small")[1] == "v1"
    assert find_model("dass-small:v3")[1] == "v3"
    assert find_model("ast-sine")[0].name == "ast-sin-base"
    assert find_model("ast-sin-base")[1] == ""


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("dass-smal", "unknown model 'dass-smal'. Did you mean 'dass-small'"),
        ("dass-small:v9", "no weights 'v9'. Did you mean 'v"),
        ("ast-sin-base:v1", "no weights 'v1'"),
    ],
)
def test_the_nearest_names_are_told(spec: str, told: str) -> None:
    with pytest.raises(NiahError, match=told):
        find_model(spec)


def test_the_nearest_haystack_is_told() -> None:
    with pytest.raises(NiahError, match=r"unknown haystack 'gausian'. Did you mean 'gaussian'"):
        find_haystack("gausian")


def test_names_and_aliases_are_unique() -> None:
    names = [name for card in MODELS.values() for name in (card.name, *card.aliases)]
    assert len(names) == len(set(names))


def test_no_card_is_its_name_alone(tmp_path: Path) -> None:
    """Two cards of one name but another network have other fingerprints, so other cells."""
    found = []
    for width in (1, 2):
        path = tmp_path / str(width) / "mine.toml"
        path.parent.mkdir()
        path.write_text(CARD + f"[config]\nwidth = {width}\n")
        found.append(read_model_card(path).fingerprint)
    assert found[0] != found[1]


def test_the_first_weights_are_the_default(mine: Path) -> None:
    card = read_model_card(mine)
    assert check_weights_name(card, "") == "first"
    assert check_weights_name(card, "second") == "second"


# --- a card is data from strangers

BAD_ADDRESSES = (
    "x",
    "/",
    "//",
    "//host/x",
    "file:///etc/hostname",
    "ftp://host/x",
    "data:,x",
    "HTTP:/host",
    "http://",
    "http://[::1",
    "http://host:port/x",
    "http://host:99999/x",
    "http://host/a\nb",
)
BAD_SHA256 = ("x", "0" * 63, "0" * 65, "g" * 64, "../" + "0" * 61, "0" * 64 + "\n")
BAD_HUBS = ("a", "a/b/c", "/a", "a/", "../b", "a/..", "http://h/a", "a b/c", "a/b--c", "a/b\n")
BAD_REVISIONS = ("..", "../x", "/x", "a/../b", "a b", "a\x00", ".x", "x/")


def toml(value: str) -> str:
    """A TOML string of that value, whatever is in it."""
    return json.dumps(value)


def model(tmp_path: Path, key: str, value: str) -> Path:
    """A model card with one value replaced: its name, the name of its weights, or one of their keys."""
    path = tmp_path / "mine.toml"
    name = value if key == "name" else "mine"
    weights = value if key == "key" else "first"
    entry = f"{key} = {toml(value)}\n" if key not in ("name", "key") else ""
    path.write_text(
        f'name = {toml(name)}\nadapter = "a:B"\nlabels = "synthetic"\n[weights.{toml(weights)}]\n{entry}'
    )
    return path


def haystack(tmp_path: Path, key: str, value: str) -> Path:
    """A haystack card with one value replaced: its name, or a key of its [source]."""
    path = tmp_path / "mine.toml"
    name = value if key == "name" else "mine"
    entry = "" if key == "name" else f"[source]\n{key} = {toml(value)}\n"
    path.write_text(f'name = {toml(name)}\nbuilder = "niah.haystacks:recording"\n{entry}')
    return path


BAD_OF_MODELS = [
    *[(key, bad) for key in ("name", "key", "file", "file_name", "hub_file") for bad in BAD_NAMES],
    *[("url", bad) for bad in BAD_ADDRESSES],
    *[("sha256", bad) for bad in BAD_SHA256],
    *[("hub", bad) for bad in BAD_HUBS],
    *[("revision", bad) for bad in BAD_REVISIONS],
    ("by_hand", "a\x1b[2Jb"),
]
BAD_OF_HAYSTACKS = [
    *[(key, bad) for key in ("name", "file") for bad in BAD_NAMES],
    *[("url", bad) for bad in BAD_ADDRESSES],
    *[("sha256", bad) for bad in BAD_SHA256],
]


@pytest.mark.parametrize(("key", "bad"), BAD_OF_MODELS)
def test_a_model_card_does_not_pass_the_door_with(tmp_path: Path, key: str, bad: str) -> None:
    with pytest.raises(NiahError) as caught:
        read_model_card(model(tmp_path, key, bad))
    told = str(caught.value)
    assert told.startswith(f"card {tmp_path / 'mine.toml'}: ")
    assert ("[weights.NAME]" if key == "key" else f"{key}' is ") in told
    assert told.isprintable()


@pytest.mark.parametrize(("key", "bad"), BAD_OF_HAYSTACKS)
def test_a_haystack_card_does_not_pass_the_door_with(tmp_path: Path, key: str, bad: str) -> None:
    with pytest.raises(NiahError) as caught:
        read_haystack_card(haystack(tmp_path, key, bad))
    told = str(caught.value)
    assert told.startswith(f"card {tmp_path / 'mine.toml'}: key ")
    assert f"{key}' is " in told
    assert told.isprintable()


@pytest.mark.parametrize(
    ("key", "good"),
    [
        ("name", "Café 2, the mine"),
        ("name", "x" * 200),
        ("key", "v1.0"),
        ("file", "mine.pth"),
        ("file", "folder/mine.pth"),
        ("file_name", "audioset_10_10_0.4593.pth"),
        ("hub_file", "folder/pytorch_model.bin"),
        ("hub", "MIT/ast-finetuned-audioset-10-10-0.4593"),
        ("revision", "refs/pr/1"),
        ("revision", "v1.0"),
        ("url", "https://example.org:8443/a%20b/é?dl=1"),
        ("url", "http://[::1]:80/x"),
        ("url", ""),
        ("sha256", ""),
        ("by_hand", "ask the authors"),
    ],
)
def test_a_model_card_passes_the_door_with(tmp_path: Path, key: str, good: str) -> None:
    card = read_model_card(model(tmp_path, key, good))
    if key == "name":
        assert card.name == good
    elif key == "key":
        assert list(card.weights) == [good]
    else:
        assert getattr(card.weights["first"], key) == good


def test_checksums_may_be_in_capitals(tmp_path: Path) -> None:
    assert (
        read_model_card(model(tmp_path, "sha256", "AB" * 32)).weights["first"].sha256 == "ab" * 32
    )
    assert read_haystack_card(haystack(tmp_path, "sha256", "AB" * 32)).source["sha256"] == "ab" * 32


def test_a_sources_values_are_text(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nbuilder = "a:b"\n[source]\nsha256 = 3\n')
    with pytest.raises(NiahError, match=r"key 'source\.sha256' must be str, got 3"):
        read_haystack_card(path)


def test_labels_may_lie_in_another_folder(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(CARD.replace('"synthetic"', '"../../labels.csv"'))
    assert read_model_card(path).labels_source == tmp_path / ".." / ".." / "labels.csv"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"name = " + b"[" * 5000 + b"]" * 5000, "is not valid TOML: it is nested too deeply"),
        (b"name = " + b"{a=" * 5000, "is not valid TOML: it is nested too deeply"),
        (b"[" + b"a." * 5000 + b"a]\nb = 1\n", "unknown key 'a'"),
        ('name = "Gl\u00fcck"'.encode("latin-1"), "is not valid TOML"),
        ('name = "x"'.encode("utf-16"), "is not valid TOML: it is no UTF-8 text"),
        (b"name = 1" + b"0" * 5000, "cannot be read"),
        (None, "cannot be read: Too many levels of symbolic links"),
    ],
)
@pytest.mark.parametrize("read", [read_model_card, read_haystack_card, read_recipe])
def test_a_file_that_is_no_card_is_one_line(
    tmp_path: Path, content: bytes | None, reason: str, read: Callable[[Path], object]
) -> None:
    path = tmp_path / "mine.toml"
    if content is None:
        path.symlink_to(path)
    else:
        path.write_bytes(content)
    with pytest.raises(NiahError, match=reason) as refused:
        read(path)
    assert "\n" not in str(refused.value)


def test_a_byte_order_mark_is_taken(tmp_path: Path) -> None:
    """Notepad writes one."""
    file = tmp_path / "x.toml"
    file.write_bytes(b"\xef\xbb\xbf" + b'name = "x"\r\n')
    assert read_toml(file, "card") == {"name": "x"}


def test_what_a_trained_card_holds_is_toml() -> None:
    """`niah train` writes names of folders and a user's [config]: any text and number."""
    written = {
        "name": 'one 🐶\n"\\\x7f\x01 é',
        "of bytes": "caf\udce9",
        "numbers": (1, -2.5, 1e-30, math.inf),
        "table": {"a b": [True, {"c": "d"}]},
    }
    read = tomllib.loads("\n".join(toml_line(key, value) for key, value in written.items()))
    assert read == {**written, "of bytes": "caf?", "numbers": [1, -2.5, 1e-30, math.inf]}
