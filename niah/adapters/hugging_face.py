"""Models of `transformers`: `hf:OWNER/NAME[@REVISION]`, or a folder that `save_pretrained` wrote.

Everything that can be wrong without the weights is said before they are fetched: configuration, labels, custom code.
"""

import hashlib
import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from niah.adapters.hub_repository import CONFIG, listed, open_repository
from niah.adapters.model_source import OWN_LABELS, ModelRequest, ModelSource
from niah.adapters.transformers_files import (
    EXTRACTORS,
    TOKENIZER,
    TransformersFiles,
    head_of,
    is_whole,
)
from niah.cards import ModelCard
from niah.errors import NiahError
from niah.system import plain_names
from niah.vocabularies import NAMES, Vocabulary, vocabulary
from niah.vocabularies.mapping import LabelMapping, map_labels, own_vocabulary

if TYPE_CHECKING:
    import torch

PREFIX = "hf:"
INSTALL = "pip install 'audio-niah[hf]'"
PROMPT = "this is a sound of {}"
TEXT_LABELS = "audioset-527"  # of a text model, where --labels says nothing
NEARLY_ALL = 0.9  # of a model's labels, for a vocabulary to be theirs unasked
_SMALL = (CONFIG, *EXTRACTORS, *TOKENIZER, "README.md")
_OWN_CODE_SCORES = 2  # in cell keys: probabilities told from logits, features of each clip alone
_HEADS = ("ForAudioClassification", "ForSequenceClassification")


def source_of_repository(spec: str, request: ModelRequest) -> ModelSource:
    """Find `hf:OWNER/NAME[@REVISION]`: fetch all but the weights.

    Raises:
        NiahError: no such repository, no access, no answer, or what `source_of_files` refuses.
    """
    _need_transformers(spec)
    repository, _, revision = spec.removeprefix(PREFIX).partition("@")
    plain_names.hub(repository or "?", "the repository of --model hf:")
    plain_names.revision(revision, f"the revision of --model {spec}")
    hub = open_repository(repository, revision)
    names = listed(hub, is_whole)
    for name in names:
        if name in _SMALL or name.endswith(".py"):
            hub.fetch(name)
    files = TransformersFiles(f"{PREFIX}{repository}", hub.folder, tuple(names), hub)
    return source_of_files(files, request)


def source_of_folder(spec: str, request: ModelRequest) -> ModelSource:
    """Find a folder of `save_pretrained`.

    Raises:
        NiahError: it has no config.json, or what `source_of_files` refuses.
    """
    _need_transformers(spec)
    folder = Path(spec).expanduser()
    if not (folder / CONFIG).is_file():
        raise NiahError(f"model {spec}: the folder has no {CONFIG}: none of save_pretrained")
    names = tuple(sorted(path.name for path in folder.iterdir() if path.is_file()))
    return source_of_files(TransformersFiles(folder.resolve().name, folder, names), request)


def source_of_files(files: TransformersFiles, request: ModelRequest) -> ModelSource:
    """Describe a model of `transformers`, of which all but the weights is here.

    Raises:
        NiahError: no classification head, no front end, custom code that is not trusted, or labels that map to nothing.
    """
    code = _checked_code(files, request)
    _check_head(files, has_code=bool(code))
    if not any(name in files.names for name in EXTRACTORS):
        raise NiahError(
            f"model {files.name}: it has no {EXTRACTORS[0]}: its sampling rate and features are not known"
        )
    config: dict[str, Any] = {"files_sha256": files.sha256(files.small)}
    if files.is_clap:
        mapping, labels = None, _text_labels(files, request)
        config["prompt"] = checked_prompt(request.prompt or PROMPT)
    else:
        mapping, labels = _mapped_labels(files, request)
        config["columns"] = [] if mapping is None else list(mapping.columns)
    if code:
        config["own_code_scores"] = _OWN_CODE_SCORES
    config["labels_sha256"] = hashlib.sha256("\n".join(labels.ids).encode()).hexdigest()
    kind = "clap:Clap" if files.is_clap else "transformers_model:TransformersModel"
    card = ModelCard(
        name=files.name,
        adapter=f"niah.adapters.{kind}",
        labels=labels.name,
        licence=_licence(files),
        config=config,
    )
    revision = files.hub.commit if files.hub else ""
    notes = [] if mapping is None else mapping.notes(files.name)
    record: dict[str, Any] = {"repository": files.hub.repository} if files.hub else {}
    record |= {} if mapping is None else {"labels_mapping": mapping.record()}
    record |= {"prompt": config["prompt"]} if files.is_clap else {"scores": head_of(files)}
    if head_of(files) == "softmax" and not files.is_clap:
        notes.append(f"model '{files.name}' has one label a clip: its scores are a softmax's")
    if mapping is None and not files.is_clap and not request.labels:
        notes.append(
            f"model '{files.name}': its own {len(labels)} labels are the classes; --labels NAME maps them to others"
        )
    if code:
        record["custom_code"] = list(code)
    make: Callable[..., Any] = partial(_make, files, card, labels, mapping, request)
    return ModelSource(
        card,
        "",
        labels,
        make,
        code_sha256=files.sha256(code) if code else "",
        revision=revision,
        custom_code=files.sha256(code)[:16] if code else "",
        notes=tuple(notes),
        record=record,
        make_bare=partial(make, bare=True),
        is_here=lambda: files.has_weights,
    )


def checked_prompt(prompt: str) -> str:
    """Return a prompt that has one place for a class's name.

    Raises:
        NiahError: it has not.
    """
    if prompt.count("{}") != 1 or not prompt.isprintable():
        raise NiahError(
            f"--prompt '{prompt}' must have one {{}} where a class's name goes: '{PROMPT}'"
        )
    return prompt


def _make(
    files: TransformersFiles,
    card: ModelCard,
    labels: Vocabulary,
    mapping: LabelMapping | None,
    request: ModelRequest,
    device: "torch.device",
    dtype: "torch.dtype",
    *,
    bare: bool = False,
) -> Any:
    """Make the waveform model."""
    from niah.adapters.clap import Clap
    from niah.adapters.transformers_model import TransformersModel

    trust = request.trust_remote_code and bool(files.code)
    if files.is_clap:
        return Clap(
            files, labels, str(card.config["prompt"]), device=device, dtype=dtype, bare=bare
        )
    columns = None if mapping is None else mapping.columns
    return TransformersModel(
        files, labels, columns, trust=trust, device=device, dtype=dtype, bare=bare
    )


def _need_transformers(spec: str) -> None:
    if importlib.util.find_spec("transformers") is None:
        raise NiahError(f"model {spec} needs the package transformers: {INSTALL}")


def _checked_code(files: TransformersFiles, request: ModelRequest) -> tuple[str, ...]:
    """Return the Python files that are run: none for what `transformers` has itself, unless they are trusted.

    Raises:
        NiahError: they are needed and not trusted, or lie in another repository.
    """
    if not files.code and not any("auto_map" in files.json(name) for name in (CONFIG, *EXTRACTORS)):
        return ()
    if not request.trust_remote_code:
        if _is_known(files):
            return ()
        raise NiahError(
            f"model {files.name} runs Python code of its own ({', '.join(files.code) or 'elsewhere'}): read it, then "
            "add --trust-remote-code"
        )
    for name in (CONFIG, *EXTRACTORS):
        for reference in _references(files.json(name).get("auto_map")):
            if "--" in reference:
                raise NiahError(
                    f"model {files.name}: its code is in another repository, {reference.partition('--')[0]}, at no "
                    "fixed revision: put the code beside config.json in a folder of yours"
                )
    return files.code


def _references(auto_map: object) -> list[str]:
    values = list(auto_map.values()) if isinstance(auto_map, dict) else [auto_map]
    flat = [each for value in values for each in (value if isinstance(value, list) else [value])]
    return [each for each in flat if isinstance(each, str)]


def _is_known(files: TransformersFiles) -> bool:
    """Return whether `transformers` has this kind of model itself."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return files.config.get("model_type") in CONFIG_MAPPING_NAMES


def _check_head(files: TransformersFiles, *, has_code: bool) -> None:
    """Refuse models that score no classes.

    Raises:
        NiahError: the architecture has no classification head.
    """
    if files.is_clap or has_code:
        return
    named = ", ".join(files.architectures) or f"model type '{files.config.get('model_type')}'"
    if files.config.get("problem_type") == "regression":
        raise NiahError(f"model {files.name}: {named} is a regression: it scores no classes")
    if files.architectures and not any(name.endswith(_HEADS) for name in files.architectures):
        raise NiahError(
            f"model {files.name}: {named} has no classification head: take a repository of *ForAudioClassification "
            "or ClapModel, fine-tune one, or fit a linear probe on its embeddings (docs/encoders.md)"
        )


def _text_labels(files: TransformersFiles, request: ModelRequest) -> Vocabulary:
    if request.labels == OWN_LABELS:
        raise NiahError(
            f"model {files.name} has no labels of its own: say the classes with --labels audioset-527 or a CSV"
        )
    return _vocabulary(request.labels or TEXT_LABELS)


def _mapped_labels(
    files: TransformersFiles, request: ModelRequest
) -> tuple[LabelMapping | None, Vocabulary]:
    """Return the classes that are scored, and the mapping to them (None: the model's own labels).

    Without `--labels`, the shipped vocabulary of most of the labels is taken if it has nearly all of them.

    Raises:
        NiahError: labels that map to nothing.
    """
    own = files.labels
    if request.labels == OWN_LABELS:
        return None, own_vocabulary(files.name.removeprefix(PREFIX), own)
    if request.labels:
        classes = _vocabulary(request.labels)
        mapping = map_labels(own, classes)
        if not mapping.columns:
            shown = ", ".join(own[:3])
            raise NiahError(
                f"model {files.name}: none of its {len(own)} labels ({shown}, ..) is a class of '{classes.name}': "
                "give --labels model for its own, or a CSV with these names"
            )
        return mapping, mapping.classes
    best = max((map_labels(own, vocabulary(name)) for name in NAMES), key=_mapped)
    if len(best.columns) < NEARLY_ALL * len(own):
        return None, own_vocabulary(files.name.removeprefix(PREFIX), own)
    return best, best.classes


def _mapped(mapping: LabelMapping) -> tuple[int, int, int]:
    """Rank: most labels, then most of them exact, then the smaller vocabulary."""
    return len(mapping.columns), mapping.exact, -len(mapping.missing)


def _vocabulary(name: str) -> Vocabulary:
    return vocabulary(Path(name) if Path(name).is_file() else name)


def _licence(files: TransformersFiles) -> str:
    """Read the licence off the front matter of README.md; "" if it says none."""
    readme = files.folder / "README.md"
    if not readme.is_file():
        return ""
    lines = readme.read_text(encoding="utf-8", errors="replace").splitlines()
    if lines[:1] != ["---"]:
        return ""
    for line in lines[1:]:
        key, colon, value = line.partition(":")
        if line == "---":
            break
        if colon and key == "license":
            return value.strip().strip("'\"")[:60]
    return ""
