"""Hash of what a measurement is of, beside its settings: the model's files, this package, and the machine.

`niah bench` keeps the rows of a folder that are of the same, and measures the others anew: a model that was edited
since, or a folder that another machine began, would else keep its old figures.
"""

import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from niah import version
from niah.bench.point import BenchPoint

_WEIGHTS = {".onnx", ".safetensors", ".bin", ".pt", ".pth", ".ckpt"}
_BESIDE_CODE = {".py", ".toml"} | _WEIGHTS
_IN_ITS_FOLDER = {".py", ".json"} | _WEIGHTS  # as `save_pretrained` writes it
_MOST_READ = 1 << 20  # bytes
_VERSIONS = ("python", "torch", "numba", "triton", "mamba-ssm")  # those that compute


def made_by(point: BenchPoint) -> str:
    """Return a hash of what decides a point's figures, beside its settings.

    These are the files beside the model's own and its checkpoint (a hub's repository has none here), this package's
    code, the versions of what else computes, and the machine, with its threads.

    Args:
        point: what is measured.

    Raises:
        NiahError: its device is not on this machine.
    """
    from niah.adapters.loading import choose_device
    from niah.sweep import provenance

    of = {
        "files": [_state(file) for file in sorted(_files(point))],
        "code": _code(),
        "machine": provenance.hardware(choose_device(point.device)),
    }
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:16]


@cache
def _code() -> dict[str, Any]:
    """Return the versions of what computes, and this package's own code."""
    from niah.sweep import provenance

    installed = provenance.versions()
    own = sorted(Path(version.__file__).parent.rglob("*.py"))
    return {**{name: installed.get(name) for name in _VERSIONS}, "niah": [_state(f) for f in own]}


def _files(point: BenchPoint) -> Iterator[Path]:
    """Yield the files of a model that lies here: all beside its card, its code or in its folder, and its checkpoint."""
    code, _, name = point.model.rpartition(":")
    named = Path(code if code.endswith(".py") and name else point.model).expanduser()
    is_folder = named.is_dir()
    suffixes = _IN_ITS_FOLDER if is_folder else _BESIDE_CODE
    if named.exists():
        beside = (named if is_folder else named.parent).iterdir()
        yield from (file for file in beside if file.suffix in suffixes and file.is_file())
    if (checkpoint := Path(point.checkpoint).expanduser()).is_file():
        yield checkpoint


def _state(file: Path) -> tuple[str, str]:
    """Return a file's name and its content; of weights, which may have gigabytes, size and time of change."""
    try:
        state = file.stat()
        if state.st_size > _MOST_READ:
            return file.name, f"{state.st_size} {state.st_mtime_ns}"
        return file.name, hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:  # the measurement says what is wrong with a file that it needs
        return file.name, ""
