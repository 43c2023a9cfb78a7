"""The identity of models from Python: what they use beside their own code decides their scores too."""

import functools
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from niah.adapters.identity import identity_of, loaded_late, remembering
from niah.adapters.importing import code_sha256
from niah.adapters.model_source import ModelRequest
from niah.adapters.python_models import source_of
from niah.adapters.sources import find_source
from niah.adapters.waveform import WaveformAdapter
from niah.cards import ModelCard
from niah.errors import NiahError
from tests.helpers.waveform_tagger import PitchTagger


def _module(folder: Path, name: str, body: str) -> Path:
    """Write a module with a network beside a function of waveforms."""
    path = folder / f"{name}.py"
    path.write_text(
        "import torch\n"
        "class Wrapped:\n    def __init__(self, net):\n        self.inner = net\n"
        "def layer(seed):\n    torch.manual_seed(seed)\n    return torch.nn.Linear(3, 3)\n"
        f"{body}"
    )
    return path


@pytest.mark.parametrize(
    "body",
    [
        "net = layer({seed}).eval()\ndef tagger(x):\n    return net(x)\n",
        "nets = {{'a': [layer({seed}).eval()]}}\ndef tagger(x):\n    return nets['a'][0](x)\n",
        "w = layer({seed}).weight.detach().numpy()\ndef tagger(x):\n    return x.numpy() @ w\n",
        "net = Wrapped(layer({seed}).eval())\ndef tagger(x):\n    return net.inner(x)\n",
        "net = layer({seed}).eval()\ndef deep(x):\n    return net(x)\ndef tagger(x):\n    return deep(x)\n",
        "net = layer({seed}).eval()\ndef tagger(x):\n    return [net(each) for each in x]\n",
    ],
)
def test_weights_that_a_function_uses_are_part_of_its_identity(tmp_path: Path, body: str) -> None:
    """The file stays as it is, and what it loaded does not: a second training is another model."""
    space: dict[str, Any] = {}
    identities = []
    for number, seed in enumerate((0, 0, 1)):
        path = _module(tmp_path, f"weights_{number}", body.format(seed="SEED"))
        space = {"SEED": seed, "__name__": path.stem}
        exec(compile(path.read_text(), tmp_path / "weights_0.py", "exec"), space)
        identities.append(identity_of(space["tagger"]))
    assert identities[0] == identities[1] != identities[2]


_NOTEBOOK = """
import torch
from types import SimpleNamespace
GAIN = 2.0
options = SimpleNamespace(offset=1)
def scale(x, by=3.0): return x * GAIN * by if x.ndim in {1, 2, 3} else x
class Base:
    power = 2
    @property
    def squared(self): return self.power
class Net(torch.nn.Module):
    def __init__(self, slope=1.0):
        super().__init__()
        self.slope = slope
    def forward(self, x): return x * self.slope
net = Net().eval()
def tagger(x): return scale(net(x)) + options.offset
class Tagger(Base):
    def __init__(self): self.network = net
    def waveform_logits(self, x): return scale(self.network(x)) ** self.squared
tagger_object = Tagger()
calls = 0
def counting(x):
    global calls
    calls += 1
    return scale(x)
"""


def _notebook(body: str = _NOTEBOOK) -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "of_a_notebook"}
    exec(compile(body, "<cell>", "exec"), space)
    return space


@pytest.mark.parametrize(
    ("old", "new", "of_object"),
    [
        ("GAIN = 2.0", "GAIN = 3.0", True),
        ("by=3.0", "by=4.0", True),
        ("GAIN * by", "GAIN + by", True),
        ("* self.slope", "+ self.slope", True),
        ("net = Net()", "net = Net(2.0)", True),
        ("offset=1", "offset=2", False),
        ("power = 2", "power = 3", None),
        ("return self.power", "return -self.power", None),
    ],
)
def test_what_a_notebook_names_is_part_of_its_models_identity(
    old: str, new: str, of_object: bool | None
) -> None:
    """No file has it: an edited helper, constant or class got the cells of the one before."""
    before, same, edited = (
        _notebook(b) for b in (_NOTEBOOK, _NOTEBOOK, _NOTEBOOK.replace(old, new))
    )
    changed = {
        name: identity_of(before[name]) != identity_of(edited[name])
        for name in ("tagger", "tagger_object")
    }
    assert changed == {"tagger": of_object is not None, "tagger_object": of_object is not False}
    assert identity_of(before["tagger_object"]) == identity_of(same["tagger_object"])


def test_a_long_chain_of_a_notebooks_objects_is_followed_some_way() -> None:
    body = "class Node:\n    def __init__(self, next): self.next = next\nfirst = None\n"
    body += "for _ in range(5000): first = Node(first)\ndef tagger(x): return x if first else -x\n"
    chain: list[Any] = [None, []]
    for _ in range(5000):
        chain = [chain]
    space = _notebook(body)
    assert identity_of(space["tagger"]) == identity_of(_notebook(body)["tagger"])
    space["first"] = chain
    identity_of(space["tagger"])


def test_what_a_notebooks_model_counts_itself_is_not_part_of_its_identity() -> None:
    space = _notebook()
    before = identity_of(space["counting"])
    space["counting"](torch.ones(2))
    assert identity_of(space["counting"]) == before


def test_a_notebooks_model_is_the_same_in_another_process() -> None:
    """The constants of a set have another order in each: a new kernel could not go on with a run.

    A class of such a module (`__main__` without a file) was a traceback: "source code not available".
    """
    script = f"{_NOTEBOOK}from niah.adapters.identity import identity_of\n"
    script += "print(identity_of(tagger), identity_of(tagger_object))"
    texts = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(texts) == 1


@pytest.mark.parametrize("held", [lambda net: net, lambda net: [net], lambda net: _Held(net)])
def test_an_objects_networks_are_part_of_its_identity(held: Callable[[Any], Any]) -> None:
    class Tagger(PitchTagger):
        def __init__(self, seed: int) -> None:
            super().__init__()
            torch.manual_seed(seed)
            self.backbone = held(torch.nn.Linear(2, 2).eval())

    assert identity_of(Tagger(0)) == identity_of(Tagger(0)) != identity_of(Tagger(1))
    assert identity_of(Tagger(0).waveform_logits) != identity_of(Tagger(1).waveform_logits)


class _Held:
    def __init__(self, net: torch.nn.Module) -> None:
        self.net = net


class Scaled(PitchTagger):
    def __init__(self, gain: Any) -> None:
        super().__init__()
        self._gain = gain

    def call(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1.0, 2.0),
        ("max", "mean"),
        ({"bands": [1, 2]}, {"bands": [1, 3]}),
        (lambda x: x, lambda x: 2 * x),
    ],
)
def test_an_objects_settings_are_part_of_its_identity(one: Any, other: Any) -> None:
    """Two objects of one class were one model: the second got the first's cells."""
    assert identity_of(Scaled(one)) == identity_of(Scaled(one)) != identity_of(Scaled(other))
    assert identity_of(Scaled(one).call) != identity_of(Scaled(other).call)


@pytest.mark.parametrize(
    "torchs_own",
    [
        lambda network: network,
        lambda network: torch.compile(network, backend="eager"),
        lambda network: torch.export.export(network, (torch.ones(1, 2),)).module(),
        torch.nn.DataParallel,
    ],
)
def test_torch_leaves_no_settings_in_a_network(torchs_own: Any) -> None:
    """The id of a compiled network is another in each process."""
    network = torch.nn.Linear(2, 2).eval()
    assert identity_of(torchs_own(network)) == identity_of(torchs_own(network))


def test_a_networks_settings_are_part_of_its_identity() -> None:
    class Pooling(torch.nn.Linear):
        def __init__(self, mode: str) -> None:
            torch.manual_seed(0)
            super().__init__(2, 2)
            self.mode = mode

    most, same, mean = (Pooling(mode).eval() for mode in ("max", "max", "mean"))
    assert identity_of(most) == identity_of(same) != identity_of(mean)
    compiled = (torch.compile(each, backend="eager") for each in (most, same, mean))
    one, again, other = map(identity_of, compiled)
    assert one == again != other


def test_what_the_protocol_asks_of_an_object_is_no_setting() -> None:
    tagger, named = PitchTagger(), PitchTagger()
    named.name, named.device, named.kernel = "other", "cuda", "mine"  # type: ignore[attr-defined]
    assert identity_of(tagger) == identity_of(named)


def test_what_the_methods_of_an_adapter_assign_is_no_setting() -> None:
    class Layer(torch.nn.Module):
        def __init__(self, gain: float) -> None:
            super().__init__()
            self.gain, self.calls = gain, 0

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return self.gain * features[:, 0]

    class Counting:
        def __init__(self, gain: float, layer_gain: float = 1.0) -> None:
            self.gain, self.calls, self.layer = gain, 0, Layer(layer_gain).eval()

        def logits(self, features: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return self.gain * cast(torch.Tensor, self.layer(features))

    adapter = Counting(2.0)
    before = identity_of(adapter)
    adapter.logits(torch.ones(1, 2, 3))
    assert identity_of(adapter) == before != identity_of(Counting(3.0))
    assert identity_of(Counting(2.0, 3.0)) != before


def test_a_long_list_of_an_object_is_data() -> None:
    assert identity_of(Scaled([1.0] * 2000)) == identity_of(Scaled([2.0] * 2000))


def test_weights_of_any_type_have_an_identity() -> None:
    linear = torch.nn.Linear(2, 2).eval()
    assert identity_of(linear.bfloat16()) != identity_of(linear.half())


def _with(made: Any, **attributes: Any) -> Any:
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def _layer(unsaved: float = 1.0, hook: Any = None, **attributes: Any) -> torch.nn.Module:
    """Return a network of one layer whose `state_dict` is always the same."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(2, 2).eval()
    layer.register_buffer("unsaved", torch.tensor(unsaved), persistent=False)
    if hook is not None:
        layer.register_forward_hook(hook)
    return torch.nn.Sequential(_with(layer, **attributes)).eval()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda: torch.eye(2).to_sparse(), lambda: torch.zeros(2, 2).to_sparse()),
        (lambda: torch.tensor([1 + 1j]), lambda: torch.tensor([1 + 2j])),
        (
            lambda: torch.tensor([1.0], dtype=torch.float64),
            lambda: torch.tensor([1 + 1e-12], dtype=torch.float64),
        ),
        (lambda: torch.tensor([2**24]), lambda: torch.tensor([2**24 + 1])),
        (lambda: torch.empty(2, device="meta"), lambda: torch.empty(3, device="meta")),
        (
            lambda: np.array([f"class {n}" for n in (1, 2)], dtype=object),
            lambda: np.array([f"class {n}" for n in (1, 3)], dtype=object),
        ),
        (
            lambda: np.ma.masked_array([1.0, 2.0], [False, False]),
            lambda: np.ma.masked_array([1.0, 2.0], [False, True]),
        ),
        (lambda: _layer(mode="max"), lambda: _layer(mode="mean")),
        (lambda: _layer(), lambda: _layer(unsaved=2.0)),
        (lambda: _layer(activation=torch.nn.ReLU()), lambda: _layer(activation=torch.nn.GELU())),
        (lambda: _layer(activation=torch.relu), lambda: _layer(activation=torch.sigmoid)),
        (lambda: _layer(), lambda: _layer(hook=lambda _, __, out: 0 * out)),
        (lambda: SimpleNamespace(net=_layer()), lambda: SimpleNamespace(net=_layer(mode="max"))),
        (lambda: Scaled(1.0).call, lambda: _with(Scaled(1.0), gain=2.0).call),
        (lambda: _with(Scaled(1.0), coef_=np.ones(2)), lambda: _with(Scaled(1.0), coef_=np.eye(2))),
        (
            lambda: _with(Scaled(1.0), weights_sha256="1a"),
            lambda: _with(Scaled(1.0), weights_sha256="2b"),
        ),
    ],
)
def test_values_of_any_kind_that_a_function_closes_over_show(
    one: Callable[[], Any], other: Callable[[], Any]
) -> None:
    """An array of Python objects holds their addresses, which are others each time; a `state_dict` has no settings."""

    def made(value: Any) -> Callable[[Any], Any]:
        return lambda waveforms: (waveforms, value)

    def by_default(value: Any) -> Callable[[Any], Any]:
        def tagger(waveforms: Any, value: Any = value) -> Any:
            return waveforms, value

        return tagger

    def by_partial(value: Any) -> Callable[[Any], Any]:
        tagger: Any = by_default(0)
        return functools.partial(tagger, value=value)

    for with_value in (made, by_default, by_partial):
        first, again, changed = (identity_of(with_value(make())) for make in (one, one, other))
        assert first == again != changed


def test_lambdas_of_one_file_are_several_models() -> None:
    """They have one name, and the second got the first's cells."""
    one, other = (lambda x: x), (lambda x: -x)
    assert identity_of(one) == identity_of(one) != identity_of(other)


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ("SETTING = float(GIVEN)", True),
        ("SETTING = [float(GIVEN)]", True),
        ("from argparse import Namespace\nSETTING = Namespace(gain=float(GIVEN))", True),
        ("SETTING = GIVEN and 2.0", False),
        ("DEVICE = SETTING = f'/data/{GIVEN}'", False),
    ],
)
def test_what_a_scripts_text_does_not_tell_counts(tmp_path: Path, line: str, counts: bool) -> None:
    """`python tagger.py 2` got the cells of `python tagger.py 1`; a device or a folder makes no other model."""
    path = _module(tmp_path, "with_options", f"{line}\ndef tagger(x):\n    return x, SETTING\n")
    identities = []
    for given in ("1", "2"):
        space: dict[str, Any] = {"GIVEN": given, "__name__": "with_options"}
        exec(compile(path.read_text(), path, "exec"), space)
        identities.append(identity_of(space["tagger"]))
    assert (identities[0] != identities[1]) == counts


def test_a_network_in_training_mode_is_refused_wherever_a_function_has_it(tmp_path: Path) -> None:
    request = ModelRequest("synthetic", 16000)
    path = _module(tmp_path, "at_work", "net = layer(0)\ndef tagger(x):\n    return net(x)\n")
    with pytest.raises(NiahError, match="network 'net' is in training mode"):
        find_source(f"{path}:tagger", request)
    body = "to_db = torch.nn.Hardtanh()\ndef tagger(x):\n    return to_db(x)\n"
    assert find_source(f"{_module(tmp_path, 'no_weights', body)}:tagger", request)
    program = torch.export.export(torch.nn.Linear(2, 2).eval(), (torch.zeros(1, 2),))
    assert source_of(program.module(), request)


def test_a_card_of_a_function_counts_the_weights_of_its_file(tmp_path: Path) -> None:
    body = "net = layer({seed}).eval()\ndef tagger(x):\n    return net(x)\n"
    hashes = []
    for seed in (0, 1):
        path = _module(tmp_path, "of_card", body.format(seed=seed))
        module = types.ModuleType("of_card")
        module.__file__ = str(_module(tmp_path, "same", ""))
        exec(path.read_text(), vars(module))
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, "of_card", module)
            hashes.append(code_sha256(ModelCard("of", "of_card:tagger", "synthetic")))
    assert hashes[0] != hashes[1]


_MEMO = "MEMO = {}\ndef tagger(x):\n    return MEMO.setdefault(len(x), x + 1)\n"
_LAST = "LAST = []\ndef tagger(x):\n    LAST[:] = [x + 1]\n    return LAST[0]\n"
_LATE = """net = None
def tagger(x):
    global net
    net = net or layer(0).eval()
    return net(x)
"""
_CLOSURE = """def made():
    memo = {}
    calls = [0]
    def tagger(x):
        calls[0] += 1
        return memo.setdefault(len(x), (x + 1, [x]))
    return tagger
tagger = made()
"""
_OBJECT = """class Tagger:
    net = None
    def waveform_logits(self, x):
        self.net = self.net or layer(0).eval()
        return self.net(x)
tagger = Tagger()
"""
_COUNTER = """class Tagger:
    def __init__(self):
        self.calls, self.memo, self.last = 0, {}, ["none"]
    def waveform_logits(self, x):
        self.calls += 1
        self.memo[len(x)] = float(x.sum())
        self.last.clear()
        return x
tagger = Tagger()
"""
_DATACLASS = """from dataclasses import dataclass
@dataclass
class Tagger:
    gain: float = 2.0
    calls: int = 0
    def waveform_logits(self, x):
        self.calls += 1
        return x * self.gain
tagger = Tagger()
"""


_SETTING = """class Counting(torch.nn.Linear):
    calls, last = 0, ""
    def forward(self, x):
        self.calls, self.last = self.calls + 1, str(x.shape)
        self.register_buffer("seen", x, persistent=False)
        return super().forward(x)
def made(net):
    def tagger(x):
        return net(x)
    return tagger
tagger = made(torch.nn.Sequential(Counting(3, 3)).eval())
"""


def _loaded(folder: Path, body: str) -> dict[str, Any]:
    path = _module(folder, "remembers", body)
    space: dict[str, Any] = {"__name__": "remembers"}
    exec(compile(path.read_text(), path, "exec"), space)
    return space


@pytest.mark.parametrize(
    "body", [_MEMO, _LAST, _LATE, _CLOSURE, _OBJECT, _COUNTER, _DATACLASS, _SETTING]
)
def test_what_a_models_calls_leave_is_not_part_of_its_identity(tmp_path: Path, body: str) -> None:
    """A second run in the same process was refused as one of another model, and a card's cells had new keys."""
    tagger = _loaded(tmp_path, body)["tagger"]
    before = identity_of(tagger)
    for length in (2, 3, 2):
        with remembering(tagger), torch.inference_mode():
            getattr(tagger, "waveform_logits", tagger)(torch.ones(length, 3))
        assert identity_of(tagger) == before


def test_a_run_calls_a_model_so_that_it_may_remember(tmp_path: Path) -> None:
    tagger = _loaded(tmp_path, _MEMO.replace("x + 1", "x[:, :25]"))["tagger"]
    source = source_of(tagger, ModelRequest("synthetic", 16000))
    assert source.make is not None
    adapter = WaveformAdapter(source.make(torch.device("cpu"), torch.float32))
    adapter.logits(torch.ones(2, 10, adapter.frontend.mels))
    again = source_of(tagger, ModelRequest("synthetic", 16000))
    assert source.code_sha256 == again.code_sha256


@pytest.mark.parametrize(
    ("body", "names"), [(_LATE, ["net"]), (_OBJECT, ["self.net"]), (_MEMO, []), (_COUNTER, [])]
)
def test_networks_that_a_call_loads_are_named(tmp_path: Path, body: str, names: list[str]) -> None:
    tagger = _loaded(tmp_path, body)["tagger"]
    for _ in range(2):
        with remembering(tagger), torch.inference_mode():
            getattr(tagger, "waveform_logits", tagger)(torch.ones(2, 3))
        assert loaded_late(tagger) == names


def test_weights_that_a_user_puts_in_after_a_call_count(tmp_path: Path) -> None:
    space = _loaded(tmp_path, _LATE)
    before = identity_of(space["tagger"])
    with remembering(space["tagger"]):
        space["tagger"](torch.ones(1, 3))
    space["net"] = space["layer"](1).eval()
    assert identity_of(space["tagger"]) != before
    space = _loaded(tmp_path, _MEMO)
    before = identity_of(space["tagger"])
    space["MEMO"]["weights"] = torch.ones(2)
    assert identity_of(space["tagger"]) != before


def test_containers_and_functions_that_hold_themselves_are_followed_once(tmp_path: Path) -> None:
    space = _loaded(tmp_path, "TREE = [1]\ndef tagger(x):\n    return TREE[0](x)\n")
    space["TREE"] += [space["TREE"], space["layer"](0).weight.detach()]
    before = identity_of(space["tagger"])
    space["TREE"][2] = space["layer"](1).weight.detach()
    assert identity_of(space["tagger"]) != before

    def recursive(depth: int) -> int:
        return recursive(depth - 1) if depth else len(holds)

    holds: list[Any] = [torch.ones(2)]
    holds += [holds, recursive]
    before = identity_of(recursive)
    holds[0] = torch.zeros(2)
    assert identity_of(recursive) != before
