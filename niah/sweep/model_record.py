"""A model's traces in a run directory: its entry of run.json, and the rows of cells that failed."""

import traceback
from pathlib import Path
from typing import Any

import torch

from niah.adapters.loading import adapter_info
from niah.adapters.waveform import WaveformAdapter
from niah.errors import NiahError
from niah.records.model_entries import model_entry
from niah.records.run_directory import RunDirectory
from niah.records.schema import Row
from niah.sweep.loaded_model import LoadedModel
from niah.sweep.options import RunOptions
from niah.system.folders import roots_of, without_folders
from niah.system.memory import free_cached, is_out_of_memory
from niah.system.printable import printable


def describe(model: LoadedModel, code_sha256: str) -> dict[str, Any]:
    """Return the entry of a model in run.json.

    Args:
        model: the loaded model.
        code_sha256: hash of the user's own code of it; "" where it has none.
    """
    info = adapter_info(model.adapter, model.spec.card)
    card, source = model.spec.card, model.spec.source
    return {
        "checkpoint_sha256": info.weights_sha256,
        "checkpoint": Path(info.weights_source).name,
        "random": info.random,
        "parameters": info.parameters,
        "licence": card.licence,
        "paper": card.paper,
        "adapter": card.adapter,
        **({"adapter_code": code_sha256} if code_sha256 else {}),
        **({"revision": source.revision} if source.revision else {}),
        **source.record,
    }


def write_description(name: str, entry: dict[str, Any], directory: RunDirectory) -> None:
    """Write the entry of the model `name` into run.json.

    Raises:
        NiahError: cells that are there were scored by other code of the same model and weights: tables would mix both.
    """
    stored = model_entry(directory.run_json(), name, entry["checkpoint_sha256"])
    same_weights = stored.get("checkpoint_sha256") == entry["checkpoint_sha256"]
    code = entry.get("adapter_code")
    if same_weights and stored.get("adapter_code", code) != code:
        mine = (row for row, _ in directory.rows() if row["model"] == name)
        if any(row["status"] == "ok" for row in mine):
            raise NiahError(
                f"the code or the weights of model '{name}' are not those that scored cells in {directory.path}: give "
                "another --out"
            )
    directory.write_run_json({"models": {name: entry}})


def late_networks(model: LoadedModel) -> str:
    """Return a sentence on networks that a Python model has loaded in its calls, which no key knows of; "" without."""
    late = model.adapter.loaded_late() if isinstance(model.adapter, WaveformAdapter) else []
    if not late:
        return ""
    return (
        f"model '{model.name}' loads {', '.join(late)} in its first call: another checkpoint there would get the cells "
        "of this one; load it with the file"
    )


def failure(error: BaseException, options: RunOptions, device: torch.device) -> Row:
    """Return a row's columns for an exception, without folders of this machine: rows are published."""
    if is_out_of_memory(error):
        free_cached(device)
        return {"status": "oom", "error": "out of memory"}
    text = str(error) if isinstance(error, NiahError) else _with_place(error)
    return {"status": "error", "error": printable(without_folders(text, roots_of(vars(options))))}


def _with_place(error: BaseException) -> str:
    """Format an unexpected exception in one line: its kind, message, and the line of the adapter that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename]
    place = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}{place}".replace(": (", " (")
