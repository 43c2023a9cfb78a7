"""Damaged cards, presets and recipes: TOML with other keys, values, types, names and addresses."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from niah.cards import cards_folder, published_file
from tests.adapters.test_contract import FAMILIES
from tests.fuzz.mutations import INTEGERS, changed_tree, text, toml_file, toml_text, value
from tests.fuzz.sounds import wav

_SIZES = (0, -1, 1, 2, 3, 7, 13, 10**3, 10**6, 10**9, 2**31, 2**63 - 1)
_IMPORTS = (
    *(
        "os:getcwd",
        "os:system",
        "json:loads",
        "builtins:dict",
        "builtins:exit",
        "subprocess:run",
        "no_such:x",
    ),
    *(
        ":",
        "",
        "x",
        "a:b:c",
        ".near:x",
        "..:x",
        "a\0b:c",
        "niah.adapters.dass:",
        "niah.adapters.dass:Dass.build",
    ),
    *(
        "niah.adapters.dass:State",
        "niah.haystacks:Haystack",
        "niah.haystacks:zero",
        "niah.cards:ModelCard",
    ),
    *(
        "niah.adapters.beats:Beats",
        "niah.adapters.ast:Ast",
        "antigravity:x",
        "this:x",
        "niah.__main__:main",
    ),
)
_ADDRESSES = (
    *(
        "http://127.0.0.1:9/w.pth",
        "https://x.invalid/a.wav",
        "file:///etc/hostname",
        "ftp://127.0.0.1/x",
    ),
    *(
        "http://[::1",
        "//",
        "",
        "x",
        "a/b",
        "a/b/c",
        "../..",
        "HTTP://x",
        "http://x y/",
        "http://é/ü",
    ),
)
_CHECKSUMS = ("0" * 64, "0" * 63, "g" * 64, "A" * 64, "", "٣" * 64)


def model_card(rng: Random, folder: Path) -> Path:
    """A card of a small model, damaged: half of them in the sizes of its [config]."""
    family = FAMILIES[rng.choice(list(FAMILIES))]
    config = tomllib.loads(family.config)
    weights = {
        rng.choice(("file", "url", "hub", "by_hand")): rng.choice(_ADDRESSES),
        "sha256": rng.choice(_CHECKSUMS),
    }
    card: dict[str, Any] = {
        "name": "small",
        "adapter": rng.choice(_IMPORTS)
        if rng.random() < 0.1
        else f"niah.adapters.{family.adapter}",
        "labels": rng.choice(("esc-10",) * 8 + ("labels.csv", "../labels.csv", "esc-99")),
        "parameters": 1000,
        "aliases": ["little"],
        "config": config,
    }
    if rng.random() < 0.4:
        card["weights.v1"] = {**weights, "file_name": text(rng)}
        card["published"] = {"audioset_mAP": 0.47}
    if rng.random() < 0.5 and config:
        card["config"] = changed_tree(rng, config, 1, _size)
        content = toml_text(card).encode("utf-8", "surrogatepass")
    else:
        content = toml_file(rng, card)
    content = content.replace(b'["weights.v1"]', b"[weights.v1]")
    (folder / "labels.csv").write_text("index,mid,display_name\n0,a,A\n1,b,B\n")
    (folder / "small.toml").write_bytes(content)
    return folder / "small.toml"


def _size(rng: Random) -> Any:
    number = rng.choice(_SIZES)
    odd: tuple[Any, ...] = (
        value(rng),
        [number] * 2,
        [number] * 4,
        [],
        0.5,
        float("nan"),
        text(rng),
        True,
    )
    return number if rng.random() < 0.6 else rng.choice(odd)


def haystack_card(rng: Random, folder: Path) -> Path:
    source: dict[str, Any] = {"file": rng.choice(("noise.wav",) * 4 + (text(rng),))}
    if rng.random() < 0.4:
        source |= {"url": rng.choice(_ADDRESSES), "sha256": rng.choice(_CHECKSUMS)}
    builder = rng.choice(("recording",) * 4 + ("zero", "silence", "gaussian", "babble-official"))
    card = {
        "name": "noise",
        "builder": rng.choice(_IMPORTS) if rng.random() < 0.15 else f"niah.haystacks:{builder}",
        "description": "a noise",
        "licence": "CC0",
        "contains": ["/m/09x0r"],
        "source": source,
    }
    (folder / "noise.wav").write_bytes(wav())
    whole = rng.random() < 0.1
    content = toml_text(card).encode("utf-8", "surrogatepass") if whole else toml_file(rng, card)
    (folder / "noise.toml").write_bytes(content)
    return folder / "noise.toml"


def preset(rng: Random, folder: Path) -> Path:
    return _changed(rng, folder, rng.choice(_tables(published_file().parent / "presets")))


def recipe(rng: Random, folder: Path) -> Path:
    table = dict(rng.choice(_tables(cards_folder("models") / "recipes")))
    if rng.random() < 0.4:
        numbers = [key for key, each in table.items() if isinstance(each, int | float)]
        table[rng.choice(numbers)] = rng.choice((*INTEGERS, 0.0, -1.0, float("nan"), float("inf")))
    return _changed(rng, folder, table)


def _changed(rng: Random, folder: Path, table: Mapping[str, Any]) -> Path:
    (folder / "table.toml").write_bytes(toml_file(rng, dict(table)))
    return folder / "table.toml"


@cache
def _tables(folder: Path) -> tuple[dict[str, Any], ...]:
    return tuple(tomllib.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.toml")))
