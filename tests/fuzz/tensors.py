"""Damaged weights and checkpoints: safetensors with other headers, pickles with other opcodes, with code in them."""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from tests.fuzz.mutations import (
    INTEGERS,
    changed_bytes,
    changed_tree,
    json_file,
    recoded,
    text,
    value,
)
from tests.helpers import tiny_training

State = dict[str, Tensor]
RECIPE = tiny_training.recipe(epochs=2)
_DTYPES = (
    *(
        "F64",
        "F16",
        "BF16",
        "I8",
        "U8",
        "I64",
        "BOOL",
        "F8_E4M3",
        "F8_E5M2",
        "C64",
        "F4",
        "f32",
        "",
        "U16",
        3,
        None,
    ),
)
_SHAPES: tuple[Any, ...] = (
    [2**62],
    [2**32, 2**32],
    [10**9, 10**9],
    [0],
    [],
    [-1],
    [1.5],
    [0, 2**63],
    [1] * 70,
    "x",
    None,
)
_OFFSETS: tuple[Any, ...] = (
    [0, 4],
    [0, 2**62],
    [4, 0],
    [-1, 3],
    [2**64 - 1, 2**64],
    [0],
    [0.5, 1],
    "x",
    None,
)
_KINDS = (
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int8,
    torch.bool,
    torch.complex64,
)
MARK = "executed"  # a file in the input's folder that code in a pickle would make


@cache
def _state() -> State:
    return dict(tiny_training.network().state_dict())


def network() -> nn.Module:
    return tiny_training.network()


def safetensors(rng: Random, folder: Path) -> Path:
    kind = rng.random()
    if kind < 0.3:
        content = save(
            {
                key: each.contiguous()
                for key, each in _odd_state(rng, _DENSE).items()
                if isinstance(key, str) and key.isprintable()
            }
        )
    else:
        content = save(_state())
    size = int.from_bytes(content[:8], "little")
    if 0.3 <= kind < 0.75:
        head, data = json.loads(content[8 : 8 + size]), content[8 + size :]
        head = _json_head(rng, head, len(data))
        stated = len(head) if rng.random() < 0.9 else rng.choice(INTEGERS) % 2**64
        content = struct.pack("<Q", stated) + head + data
    elif kind >= 0.75:
        content = changed_bytes(rng, content, rng.choice((0, 9, size + 8)))
    path = folder / rng.choice(("w.safetensors",) * 5 + ("w.pth",))
    path.write_bytes(content)
    return path


def _json_head(rng: Random, head: dict[str, Any], data_bytes: int) -> bytes:
    if rng.random() < 0.3:
        return json_file(rng, head)
    for _ in range(rng.choice((1, 1, 2))):
        entry = head[rng.choice(list(head))]
        part = rng.choice(("dtype", "shape", "data_offsets", "shape", "more"))
        odd = {
            "dtype": _DTYPES,
            "shape": _SHAPES,
            "data_offsets": (*_OFFSETS, [0, data_bytes]),
            "more": (1,),
        }
        entry[part] = rng.choice(odd[part])
    if rng.random() < 0.3:
        head["__metadata__"] = rng.choice(({"a": "b" * 10**5}, {"a": 1}, value(rng)))
    content = json.dumps(head).encode()
    return content + b" " * (-len(content) % 8)


@dataclass(frozen=True)
class Draw:
    """Weights to be changed, and one key of them."""

    rng: Random
    state: State
    key: str

    @property
    def tensor(self) -> Tensor:
        return self.state[self.key]

    def with_tensor(self, tensor: Tensor) -> State:
        return {**self.state, self.key: tensor}

    def renamed(self, rename: Callable[[str], str]) -> State:
        return {rename(key): each for key, each in self.state.items()}


Change = Callable[[Draw], Any]


def _filled(draw: Draw) -> State:
    odd = draw.rng.choice((float("nan"), float("inf"), -1e38, 0.0))
    return draw.with_tensor(torch.full_like(draw.tensor, odd))


def _wrapped(draw: Draw) -> State:
    prefix = draw.rng.choice(("module.", "net.", "_orig_mod."))
    return draw.renamed(lambda key: prefix + key)


def _one_renamed(draw: Draw) -> State:
    name = draw.rng.choice(("module." + draw.key, "model." + draw.key, text(draw.rng)))
    return draw.renamed(lambda key: name if key == draw.key else key)


def _quantised(draw: Draw) -> State:
    zeros = torch.zeros(draw.tensor.shape)
    return draw.with_tensor(torch.quantize_per_tensor(zeros, 0.1, 0, torch.qint8))


def _other_keys(draw: Draw) -> Any:
    return {draw.rng.choice((3, ("a", "b"), None, 1.5, b"x")): each for each in draw.state.values()}


def _contained(draw: Draw) -> Any:
    state = draw.state
    return draw.rng.choice(([state], {"model": {"state_dict": state}}, {"net": {}}, {}, (state,)))


_DENSE: tuple[Change, ...] = (
    _filled,
    _wrapped,
    _one_renamed,
    lambda draw: draw.with_tensor(draw.tensor.to(draw.rng.choice(_KINDS))),
    lambda draw: draw.with_tensor(draw.tensor.reshape(-1)),
    lambda draw: draw.with_tensor(draw.tensor[..., :0]),
    lambda draw: draw.with_tensor(torch.zeros(())),
    lambda draw: {**draw.state, "more": draw.tensor.clone()},
    lambda draw: {key: each for key, each in draw.state.items() if key != draw.key},
)
_ANY: tuple[Change, ...] = (
    *_DENSE,
    _quantised,
    _other_keys,
    _contained,
    lambda draw: draw.with_tensor(draw.tensor.to_sparse()),
    lambda draw: draw.with_tensor(torch.zeros(1).expand(draw.tensor.shape)),
    lambda draw: draw.with_tensor(torch.zeros(1).expand(2**30, 64)),
    lambda draw: draw.with_tensor(nn.Parameter(draw.tensor)),
    lambda draw: draw.with_tensor(torch.empty(draw.tensor.shape, device="meta")),
    lambda draw: draw.with_tensor(torch.nested.nested_tensor([draw.tensor.reshape(-1)[:1]])),
    lambda draw: {
        "model": draw.state,
        "model_ema": draw.rng.choice((draw.state, {}, value(draw.rng))),
    },
    lambda draw: {**draw.state, draw.key: value(draw.rng)},
    lambda draw: {"state_dict": draw.state, "epoch": 3, "more": value(draw.rng)},
    lambda draw: value(draw.rng),
)


def _odd_state(rng: Random, changes: tuple[Change, ...]) -> Any:
    state = {key: each.clone() for key, each in _state().items()}
    return rng.choice(changes)(Draw(rng, state, rng.choice(list(state))))


class Code:
    """An object whose unpickling calls a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def _code(rng: Random, folder: Path) -> Any:
    import os
    import subprocess

    mark = str(folder / MARK)
    payload = rng.choice(
        (
            Code(os.system, f"touch {mark}"),
            Code(os.mkdir, mark),
            Code(eval, f"open({mark!r}, 'w')"),
            Code(exec, f"open({mark!r}, 'w').close()"),
            Code(open, mark, "w"),
            Code(subprocess.Popen, ["touch", mark]),
            Code(getattr, "", "upper"),
            Code(torch.save, 1, mark),
            Code(torch.load, mark),
            Code(__import__, "os"),
        )
    )
    return rng.choice(
        (
            payload,
            {"model": payload},
            {"a": [payload]},
            {payload: 1} if rng.random() < 0.2 else [payload],
        )
    )


def pickled(rng: Random, folder: Path) -> Path:
    """A `.pth`: odd tensors, code, torn opcodes, zip members that were changed."""
    kind = rng.random()
    if kind < 0.3:
        content = _saved(rng, _odd_state(rng, _ANY))
    elif kind < 0.45:
        payload = _code(rng, folder)
        as_torch = rng.random() < 0.5
        content = _saved(rng, payload) if as_torch else pickle.dumps(payload, rng.choice((0, 2, 4)))
        content = changed_bytes(rng, content) if rng.random() < 0.2 else content
    elif kind < 0.55:
        content = rng.choice(_SCRAPS)
        content = changed_bytes(rng, content) if rng.random() < 0.3 else content
    else:
        plain = _state() if rng.random() < 0.5 else {"model": _state(), "epoch": 3}
        content = _changed_archive(rng, _saved(rng, plain))
    path = folder / rng.choice(("w.pth", "w.pt", "w.ckpt", "w.bin", "w.safetensors"))
    path.write_bytes(content)
    return path


_SCRAPS = (
    *(
        b"",
        b"\x80",
        b"\x80\x04.",
        b"PK\x03\x04",
        b"PK\x05\x06" + b"\0" * 18,
        b"<!DOCTYPE html><html>login</html>",
    ),
    *(
        pickle.dumps({}),
        pickle.dumps(3),
        pickle.dumps({"a": 1}),
        pickle.dumps([1] * 100),
        b"(" * 100_000 + b".",
    ),
    b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b".",
    b"\x80\x02X\xff\xff\xff\x7fabc.",
    b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fx.",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n",
)


def _saved(rng: Random, content: Any) -> bytes:
    stored = io.BytesIO()
    try:
        torch.save(content, stored, _use_new_zipfile_serialization=rng.random() < 0.7)
    except Exception:  # the older form does not take every kind of tensor
        stored = io.BytesIO()
        torch.save(value(rng), stored)
    return stored.getvalue()


def _changed_archive(rng: Random, content: bytes) -> bytes:
    """Change bytes of a torch file: of a member of its zip in half of the cases, where it is one."""
    if not content.startswith(b"PK") or rng.random() < 0.5:
        return changed_bytes(rng, content, rng.choice((0, 64, 600)))
    changed = io.BytesIO()
    how = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(changed, "w", how) as new:
        for name in old.namelist():
            member = old.read(name)
            if (name.endswith("data.pkl") and rng.random() < 0.7) or rng.random() < 0.1:
                member = changed_bytes(rng, member)
            if rng.random() < 0.05:
                continue
            new.writestr(name if rng.random() < 0.95 else f"../{name}", member)
    return changed.getvalue()


def training_checkpoint(rng: Random, folder: Path) -> Path:
    """The `checkpoint.pt` of a training: damaged bytes, or a sound file that says something else."""
    content = _checkpoint()
    if rng.random() < 0.5:
        saved = torch.load(io.BytesIO(content), weights_only=True)
        if (
            rng.random() < 0.6
        ):  # as if it were written so: the checksum is left out, as the first checkpoints did
            saved.pop("sha256")
        part = rng.choice(("standing", "model", "optimiser", "scaler", "moving", "recipe", "clips"))
        if isinstance(saved[part], dict) and rng.random() < 0.8:
            saved[part] = changed_tree(rng, dict(saved[part]))
        else:
            saved[part] = value(rng)
        content = _saved(rng, saved if rng.random() < 0.9 else [saved])
    else:
        content = _changed_archive(rng, content)
    (folder / "checkpoint.pt").write_bytes(content)
    return folder / "checkpoint.pt"


@cache
def _checkpoint() -> bytes:
    """A training's checkpoint after one step, by this package's own writer."""
    import tempfile

    from niah.training.checkpoint import CheckpointWriter, Origin, TrainState, content_of

    trained = network()
    optimiser = torch.optim.AdamW(trained.parameters())
    trained(torch.zeros(1, 4, 128)).sum().backward()
    optimiser.step()
    state = TrainState(
        step=3, averaged=dict(trained.state_dict()), averaged_epochs=1, log={"loss": 0.5}
    )
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "checkpoint.pt"
        content = content_of(RECIPE, state, trained, optimiser, origin=Origin("c" * 64))
        CheckpointWriter(path, beside=False).write(content)
        return path.read_bytes()


def training_log(rng: Random, folder: Path) -> Path:
    from niah.training.log import COLUMNS
    from tests.fuzz.mutations import csv_file

    rows = [
        COLUMNS,
        *([str(epoch), str(8 * epoch), *["0.5"] * (len(COLUMNS) - 2)] for epoch in (1, 2)),
    ]
    content = csv_file(rng, rows) if rng.random() < 0.9 else recoded(rng, text(rng))
    (folder / "log.csv").write_bytes(content)
    return folder / "log.csv"
