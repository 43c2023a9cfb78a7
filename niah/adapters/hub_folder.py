"""Folders as `save_pretrained` and the hub have them: weights, and a config.json that names the outputs in their order.

`id2label` of that file counts: a head whose rows are in another order than the vocabulary's would give every score to
another class. Names that are cut at their first comma (mispeech/ced-*) are known in the vocabulary's own order alone.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from niah.errors import NiahError
from niah.system.text_files import read_json
from niah.vocabularies import Vocabulary
from niah.vocabularies.names import are_all_cut

WEIGHTS_FILES = ("model.safetensors", "pytorch_model.bin", "weights.safetensors")
CONFIG = "config.json"
_UNNAMED = "LABEL_"  # transformers' own names for outputs that nobody named


def weights_file(folder: Path) -> Path:
    """Return the file of weights in a folder.

    Raises:
        NiahError: none of the usual names, or weights in several shards.
    """
    for name in WEIGHTS_FILES:
        if (folder / name).is_file():
            return folder / name
    for name in WEIGHTS_FILES:
        if (folder / f"{name}.index.json").is_file():
            raise NiahError(
                f"checkpoint {folder}: its weights are in several shards ({name}.index.json): save them as one file "
                '(save_pretrained(.., max_shard_size="100GB"))'
            )
    raise NiahError(
        f"checkpoint {folder} is a folder without {', '.join(WEIGHTS_FILES)}: give the file of weights itself"
    )


def label_order(weights: Path, labels: Vocabulary) -> list[int] | None:
    """Return the row of the stored head for each label, where the config.json beside the weights names another order.

    Args:
        weights: file of weights.
        labels: vocabulary of the model.

    Returns:
        One row a label, or None where no order is named or it is the vocabulary's.

    Raises:
        NiahError: config.json names other labels.
    """
    named = _named_outputs(weights.with_name(CONFIG))
    if named is None:
        return None
    where = f"checkpoint {weights}: {CONFIG} beside it"
    try:
        of_row = {int(row): str(name) for row, name in named.items()}
    except (TypeError, ValueError):
        raise NiahError(f"{where}: id2label must map 0, 1, 2, .. to labels") from None
    if sorted(of_row) != list(range(len(labels))):
        raise NiahError(
            f"{where} names {len(of_row)} labels, not the {len(labels)} of '{labels.name}'"
        )
    if _nobody_named(of_row):
        return None
    if are_all_cut([of_row[row] for row in range(len(labels))], labels):
        return None
    by_name = {name.casefold(): id_ for id_, name in zip(labels.ids, labels.names, strict=True)}
    row_of: dict[str, int] = {}
    for row, name in of_row.items():
        id_ = labels.id_of(name.strip()) or by_name.get(name.strip().casefold())
        if id_ is None or id_ in row_of:
            problem = "unknown" if id_ is None else "repeated"
            raise NiahError(
                f"{where}: output {row} is '{name:.60}', {problem} in '{labels.name}': give a card with these labels"
            )
        row_of[id_] = row
    order = [row_of[id_] for id_ in labels.ids]
    return None if order == sorted(order) else order


def names_outputs(weights: Path) -> bool:
    """Return whether a config.json beside a file of weights names the outputs in their order."""
    named = _named_outputs(weights.with_name(CONFIG))
    return named is not None and not _nobody_named(named)


def _nobody_named(named: Mapping[Any, Any]) -> bool:
    return all(name == f"{_UNNAMED}{row}" for row, name in named.items())


def _named_outputs(config: Path) -> Mapping[str, Any] | None:
    """Return `id2label` of a config.json; None where there is no such file or it is of something else."""
    try:
        content = read_json(config) if config.is_file() else None
    except NiahError:  # beside a file in any folder, it may be anyone's
        return None
    named = content.get("id2label") if isinstance(content, dict) else None
    return named if isinstance(named, dict) and named else None
