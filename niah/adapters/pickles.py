"""Pickles of tensors, as `torch.save` writes them: read without running what is in them.

What trainers store beside the weights is allowed where it is harmless: `argparse.Namespace` (the MAE family), which
holds plain values, and numpy's arrays and scalars (the sampler and the scores of PANNs'), which are passed over:
nothing of numpy is called for them.
"""

import argparse
import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from niah.errors import NiahError
from niah.system.download import how_to_fetch_again

_TAKE_OUT = (  # the tensors, and the order of BEATs' outputs
    "python -c \"import torch; f = torch.load('{}', weights_only=False); "
    "torch.save({{k: f[k] for k in ('model', 'label_dict') if k in f}} if 'model' in f else f, 'weights.pth')\""
)
_BOMB_RATIO, _BOMB_BYTES = 4, 256 * 2**20


class _PassedOver:
    """A value of numpy beside the weights; none is made."""

    def __init__(self, *arguments: object) -> None:
        """Take what numpy would be called with."""

    def __setstate__(self, state: object) -> None:
        """Take what the value would hold."""


_HARMLESS: list[Any] = [
    argparse.Namespace,
    *((_PassedOver, f"numpy.{name}") for name in ("ndarray", "dtype")),
    *(
        (_PassedOver, f"numpy.{core}.multiarray.{name}")
        for core in ("core", "_core")
        for name in ("_reconstruct", "scalar")
    ),
]


def read_pickle(path: Path) -> Any:
    """Read a file of `torch.save`, of its present form or the first.

    Args:
        path: the file.

    Returns:
        Tensors, and plain values around them.

    Raises:
        NiahError: it is no such file, damaged, holds code, or unpacks to far more than it is.
    """
    _refuse_bomb(path)
    try:
        # opened here: by its path torch would go by the suffix
        with (
            warnings.catch_warnings(),
            torch.serialization.safe_globals(_HARMLESS),
            path.open("rb") as stream,
        ):
            warnings.simplefilter("ignore")  # advice to torch's developers
            return torch.load(stream, map_location="cpu", weights_only=True)
    except MemoryError as error:
        raise NiahError(
            f"checkpoint {path} asks for more memory than there is: it is damaged, or too large for this machine"
        ) from error
    except Exception as error:  # a damaged pickle may raise anything
        if named := _refused_global(error):
            raise NiahError(
                f"checkpoint {path} is refused: it holds something other than tensors ({named}), which loading would "
                "run. Ask its authors for the state dict alone, as .safetensors or from torch.save; or, only if you "
                f"trust the file, take it out: {_TAKE_OUT.format(path.name)}{how_to_fetch_again(path)}"
            ) from None
        raise NiahError(
            f"checkpoint {path} is not a readable torch file: {unreadable_because(error)}{how_to_fetch_again(path)}"
        ) from None


def unreadable_because(error: Exception) -> str:
    """Return the reason in an error of `torch.load`, in one line, without its advice to run what the file holds."""
    text = str(error)
    if isinstance(error, pickle.UnpicklingError):
        text = text.partition("WeightsUnpickler error:")[2] or "it is a damaged pickle"
    reason = next(
        (line for line in map(str.strip, text.splitlines()) if line), type(error).__name__
    )
    reason = reason.partition(". This is an internal")[0].partition("  (Could this")[0]
    return _printable(reason)[:200]


def _refused_global(error: Exception) -> str:
    """Return the name of the code that a pickle wants to call; "" where that is not what is wrong."""
    named = re.search(r"GLOBAL (\S+)", str(error))
    return _printable(named[1])[:100] if named and isinstance(error, pickle.UnpicklingError) else ""


def _printable(text: str) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _refuse_bomb(path: Path) -> None:
    """Refuse an archive that unpacks to far more than it is: torch stores tensors as they are."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except Exception:  # no archive, or one that torch will refuse
        return
    size = path.stat().st_size
    if unpacked > max(_BOMB_BYTES, _BOMB_RATIO * size):
        raise NiahError(
            f"checkpoint {path} is refused: its {size / 2**20:.0f} MiB unpack to {unpacked / 2**20:,.0f} MiB: "
            "save it again with torch.save"
        )
