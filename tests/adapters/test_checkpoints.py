"""Checkpoint files: what a file is, its wrappers, its sets of weights."""

import gzip
import io
import random
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import niah
from niah.adapters.checkpoints import check_fit, load_strictly, read_checkpoint, read_state
from niah.adapters.loading import adapter_info
from niah.errors import NiahError

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.ones(2)}


def archive(*names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name in names:
            file.writestr(name, b"x")
    return stream.getvalue()


def prefixed(*prefixes: str) -> dict[str, Tensor]:
    return {"".join((*prefixes, key)): value for key, value in STATE.items()}


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        prefixed("_orig_mod."),
        prefixed("module.", "_orig_mod."),
        prefixed("_orig_mod.", "module.", "model."),
        {"epoch": 3, "state_dict": prefixed("model.")},
        {"state_dict": prefixed("net.")},
        {"model": {"state_dict": prefixed("sed_model.")}},
        {"state_dict_ema": STATE, "epoch": 1},
        {"model_ema": prefixed("module.")},
        {"params": STATE, "iteration": 3},
        {"model_state": prefixed("module."), "optimizer_state": {"state": {}, "lr": 0.1}},
    ],
)
def test_wrappers_come_off_however_they_nest(tmp_path: Path, content: dict[str, Any]) -> None:
    torch.save(content, tmp_path / "file.pth")
    found = read_checkpoint(tmp_path / "file.pth")
    assert found.note == ""
    assert found.state.keys() == STATE.keys()
    assert all(torch.equal(found.state[key], value) for key, value in STATE.items())


class Small(nn.Module):
    """A network with the names and shapes of `STATE`."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(3, 2, bias=False)
        self.b = nn.Parameter(torch.zeros(2))


@pytest.mark.parametrize("prefix", ["student.", "lit.net.", "backbone._orig_mod.", "v."])
def test_a_network_is_found_as_a_part_of_a_trainer_s(prefix: str) -> None:
    network, beside = Small(), {"criterion.weight": torch.ones(3), "n_averaged": torch.tensor(5)}
    load_strictly(network, {**prefixed(prefix), **beside}, "file")
    assert all(torch.equal(network.state_dict()[key], value) for key, value in STATE.items())
    with pytest.raises(NiahError, match=r"several times \(.*teacher\."):
        load_strictly(network, {**prefixed(prefix), **prefixed("teacher.")}, "file")
    with pytest.raises(NiahError, match="1 missing"):
        load_strictly(network, {f"{prefix}b": STATE["b"], "a.weight": STATE["a.weight"]}, "file")
    with pytest.raises(NiahError, match="1 not known"):
        load_strictly(network, {**STATE, "criterion.weight": torch.ones(3)}, "file")


def test_of_sets_with_names_of_their_own_one_must_be_named(tmp_path: Path) -> None:
    other = {key: value + 1 for key, value in STATE.items()}
    file = tmp_path / "file.pth"
    torch.save({"params": STATE, "params_ema": other}, file)
    with pytest.raises(NiahError, match=r"several sets of weights \(params, params_ema\)"):
        read_state(file)
    chosen = read_checkpoint(tmp_path / "file.pth:params_ema")
    assert torch.equal(chosen.state["b"], other["b"])
    assert chosen.note == "params_ema, not params"


def test_of_several_sets_the_trained_one_is_read_and_another_by_name(tmp_path: Path) -> None:
    other = {key: value + 1 for key, value in STATE.items()}
    file = tmp_path / "file.ckpt"
    averaged = {f"net_swa.{key}": value for key, value in other.items()}
    contents: list[tuple[dict[str, Any], str, str]] = [
        ({"state_dict": {**prefixed("net."), **averaged}}, "net", "net_swa"),
        ({"model": STATE, "model_ema": other}, "model", "model_ema"),
    ]
    for content, trained, average in contents:
        torch.save(content, file)
        first, second = read_checkpoint(file), read_checkpoint(Path(f"{file}:{average}"))
        assert torch.equal(first.state["b"], STATE["b"])
        assert torch.equal(second.state["b"], other["b"])
        assert (first.note, second.note) == (
            f"{trained}, not {average}",
            f"{average}, not {trained}",
        )
        with pytest.raises(NiahError, match=f"no weights 'emma'.*{average}"):
            read_checkpoint(Path(f"{file}:emma"))


def test_the_record_names_the_set_that_was_taken(tmp_path: Path) -> None:
    random = niah.load_model("dass-nano", "random")
    state = random.network.state_dict()  # type: ignore[attr-defined]
    torch.save({"model": state, "model_ema": state}, tmp_path / "two.pth")
    info = adapter_info(niah.load_model("dass-nano", tmp_path / "two.pth"))
    assert Path(info.weights_source).name == "two.pth (model, not model_ema)"
    named = adapter_info(niah.load_model("dass-nano", f"{tmp_path / 'two.pth'}:model_ema"))
    assert named.weights_sha256 == info.weights_sha256


def test_a_file_is_what_its_first_bytes_say(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "safetensors-inside.pth")
    torch.save(STATE, tmp_path / "pickle-inside.safetensors")
    for file in (tmp_path / "safetensors-inside.pth", tmp_path / "pickle-inside.safetensors"):
        assert torch.equal(read_state(file)["b"], STATE["b"])


@pytest.mark.parametrize("low_byte", [0x80, ord("P")])
def test_the_length_of_a_header_is_not_taken_for_a_pickle(tmp_path: Path, low_byte: int) -> None:
    """One file of 256 begins with a pickle's first byte: here metadata make the header that long."""
    for spaces in range(256):
        save_file(STATE, tmp_path / "a.safetensors", metadata={"about": " " * spaces})
        if (tmp_path / "a.safetensors").read_bytes()[0] == low_byte:
            break
    found = (tmp_path / "a.safetensors").read_bytes()[0]
    assert found == low_byte
    assert torch.equal(read_state(tmp_path / "a.safetensors")["b"], STATE["b"])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html><title>scan warning</title>", "a web page"),
        (b"some words", "it is text"),
        (gzip.compress(b"weights", mtime=0), "compressed with gzip"),
        (archive("a.npy"), "an archive of numpy's arrays"),
        (archive("m/constants.pkl", "m/data.pkl"), "a TorchScript archive"),
        (archive("weights.pth"), "a zip archive without weights of torch"),
        (bytes(257) + b"ustar" + bytes(300), "a tar archive"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "is HDF5"),
        (b"\x08\x07\x12\x07pytorch", "an ONNX graph"),
        ("<html>".encode("utf-16"), "text in UTF-16"),
        (b"", "it is empty"),
        (b"\x80\x02}q\x00(X\x01\x00", "not a readable torch file"),
        (b"\x80\x02\x8f\xff\xffnonsense.", "not a readable torch file"),
    ],
)  # fmt: skip
def test_what_is_no_checkpoint_is_told_in_one_line(
    tmp_path: Path, content: bytes, told: str
) -> None:
    (tmp_path / "file.pth").write_bytes(content)
    with pytest.raises(NiahError) as refused:
        read_state(tmp_path / "file.pth")
    assert told in str(refused.value)
    assert "weights_only" not in str(refused.value)
    assert str(refused.value).isprintable()


def test_the_length_of_a_header_may_begin_as_a_pickle_does(tmp_path: Path) -> None:
    """Every length of a safetensors header, a multiple of 8: 0x80, 0x4b50 and the like begin other formats."""
    file = tmp_path / "x.safetensors"
    seen = set()
    for padding in range(0, 264, 8):
        save_file(STATE, file, metadata={"padding": "x" * padding})
        seen.add(file.read_bytes()[0])
        assert torch.equal(read_state(file)["b"], STATE["b"])
    assert 0x80 in seen


def test_an_archive_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(3)}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bomb,
    ):
        for entry in plain.infolist():
            bomb.writestr(entry.filename, plain.read(entry))
        with bomb.open("plain/data/1", "w", force_zip64=True) as stream:
            for _ in range(300):
                stream.write(bytes(2**20))
    begin = time.perf_counter()
    with pytest.raises(NiahError, match=r"its \d MiB unpack to 300 MiB"):
        read_state(tmp_path / "bomb.pth")
    assert time.perf_counter() - begin < 1


def test_a_few_damaged_bytes_are_one_line(tmp_path: Path) -> None:
    """Of both of torch's formats; what still loads has the same tensors or others, never a traceback."""
    draw = random.Random(0)
    file = tmp_path / "damaged.pth"
    for zipped in (True, False):
        torch.save(STATE, file, _use_new_zipfile_serialization=zipped)
        content = file.read_bytes()
        for _ in range(100):
            damaged = bytearray(content)
            for _ in range(draw.randint(1, 3)):
                damaged[draw.randrange(len(damaged))] = draw.randrange(256)
            file.write_bytes(damaged)
            message = ""
            try:
                read_state(file)
            except NiahError as error:
                message = str(error)
            assert message.isprintable()
            assert "Re-running" not in message


class Payload:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return print, ("code was run",)


def test_code_is_refused_by_its_name_and_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"x": Payload()}, tmp_path / "code.pth")
    with pytest.raises(NiahError, match=r"something other than tensors \(\S*print\)") as refused:
        read_state(tmp_path / "code.pth")
    assert "only if you trust the file, take it out: python -c " in str(refused.value)
    assert "code was run" not in capsys.readouterr().out


def test_the_command_in_the_refusal_takes_the_tensors_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": STATE, "extra": Payload()}, "code.pth")
    with pytest.raises(NiahError) as refused:
        read_state(Path("code.pth"))
    exec(str(refused.value).partition('python -c "')[2].partition('"')[0], {})
    assert torch.equal(read_state(Path("weights.pth"))["b"], STATE["b"])


def test_the_command_in_the_refusal_keeps_the_order_of_the_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BEATs' released files have a label_dict, without which the rows of the head mean nothing."""
    monkeypatch.chdir(tmp_path)
    torch.save({"model": STATE, "label_dict": {0: "/m/1"}, "extra": Payload()}, "code.pth")
    with pytest.raises(NiahError) as refused:
        read_state(Path("code.pth"))
    exec(str(refused.value).partition('python -c "')[2].partition('"')[0], {})
    assert torch.load("weights.pth", weights_only=True)["label_dict"] == {0: "/m/1"}
    assert torch.equal(read_state(Path("weights.pth"))["b"], STATE["b"])


@pytest.mark.parametrize("module", [b"numpy._core", b"numpy.core"])
def test_numpy_beside_the_weights_is_passed_over(tmp_path: Path, module: bytes) -> None:
    """PANNs' files have the state of their sampler beside the model: arrays, scalars, a queue of objects."""
    sampler = {
        "indexes": np.arange(5),
        "weights": np.ones((2, 3), dtype=np.float32),
        "queue": np.array([None, "a"], dtype=object),
        "pointer": np.int64(3),
    }
    stream = io.BytesIO()
    torch.save({"iteration": 600000, "model": STATE, "sampler": sampler}, stream)
    with zipfile.ZipFile(stream) as saved, zipfile.ZipFile(tmp_path / "p.pth", "w") as renamed:
        for entry in saved.namelist():
            content = saved.read(entry)
            if entry.endswith("data.pkl"):
                assert b"numpy._core" in content
                content = content.replace(b"numpy._core", module)
            renamed.writestr(entry, content)
    state = read_state(tmp_path / "p.pth")
    assert set(state) == set(STATE)
    assert torch.equal(state["b"], STATE["b"])
    torch.save({"b": np.ones(3)}, tmp_path / "arrays.pth")
    with pytest.raises(NiahError, match="holds no state dict"):
        read_state(tmp_path / "arrays.pth")


@pytest.mark.parametrize("kind", ["sparse", "meta"])
def test_tensors_without_plain_values_are_refused(tmp_path: Path, kind: str) -> None:
    random = niah.load_model("dass-nano", "random")
    state = dict(random.network.state_dict())  # type: ignore[attr-defined]
    key = "classifier.head.bias"
    state[key] = state[key].to_sparse() if kind == "sparse" else state[key].to("meta")
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(NiahError, match=f"{key} is {kind}"):
        niah.load_model("dass-nano", tmp_path / "odd.pth")


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_nested_tensor_is_refused() -> None:
    """It has no shape; a damaged pickle may hold one."""
    network = torch.nn.Linear(2, 1)
    nested = torch.nested.nested_tensor([torch.zeros(1, 2)])
    with pytest.raises(NiahError, match="weight is nested"):
        check_fit(network, {**network.state_dict(), "weight": nested}, "odd.pth")
