"""From a card's import string to the class, object or function that it names, the package's own or a user's.

`"package.module:Class"` is imported as Python would. Where the module is in the card's folder, that folder comes first
on the path: a card and a Python file beside it are all that a user's model needs (docs/your-model.md).
"""

import hashlib
import inspect
import sys
from contextlib import chdir
from pathlib import Path
from typing import Any

import torch

from niah.adapters.identity import weights_in_use
from niah.adapters.in_use import in_training_mode
from niah.adapters.waveform import FunctionModel
from niah.cards import ModelCard
from niah.errors import NiahError, one_line
from niah.system.download import sha256_of
from niah.system.user_modules import import_user_module, is_beside
from niah.vocabularies import vocabulary

OWN_PACKAGE = "niah."


def import_adapter(card: ModelCard) -> Any:
    """Import the class that a card names.

    Raises:
        NiahError: the string, the module or the class is wrong, or another module of that name was imported before.
    """
    module_name, _, attribute = card.adapter.partition(":")
    where = f"card {card.path}: adapter '{card.adapter}'"
    # a file beside the card may have any name, tagger-2.py
    is_named = bool(module_name.strip(".")) and is_beside(card.folder, module_name)
    is_module = is_named or all(map(str.isidentifier, module_name.split(".")))
    if not (is_module and attribute.isidentifier()):
        raise NiahError(f"{where} must read 'package.module:Class'")
    try:
        module = import_user_module(module_name, card.folder)
    except NiahError as error:
        raise NiahError(f"{where}: {error}") from None
    except ImportError as error:
        raise NiahError(f"{where} cannot be imported: {error}") from None
    except SyntaxError as error:
        raise NiahError(f"{where}: {error.filename}, line {error.lineno}: {error.msg}") from None
    except (Exception, SystemExit) as error:  # the module's own code
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise NiahError(f"{where} cannot be imported: {reason}") from error
    if not hasattr(module, attribute):
        raise NiahError(f"card {card.path}: module '{module_name}' has no '{attribute}'")
    return getattr(module, attribute)


def make(target: Any, card: ModelCard, *, device: torch.device, dtype: torch.dtype) -> Any:
    """Make what a card's import string names: a class is called with the card, a function of waveforms is wrapped.

    An object with `logits` or `waveform_logits` is taken as it is.

    Raises:
        NiahError: a factory that fails, or a function of waveforms whose rate the card does not say.
    """
    if is_factory(target):
        try:
            with chdir("."):
                return target(card, device=device, dtype=dtype)
        except NiahError:
            raise
        except (Exception, SystemExit) as error:
            raise NiahError(
                f"card {card.path}: {card.adapter}(card, device=.., dtype=..) raised {type(error).__name__}: "
                f"{one_line(error)}"
            ) from error
    if hasattr(target, "logits") or hasattr(target, "waveform_logits"):
        return target
    if not callable(target):
        raise NiahError(f"card {card.path}: '{card.adapter}' is no class, model or function")
    rate = card.config.get("sample_rate")
    if not isinstance(rate, int):
        raise NiahError(
            f"card {card.path}: '{card.adapter}' is a function of waveforms: the card must say its rate, "
            "[config] sample_rate = 16000"
        )
    if used := in_training_mode(target):
        raise NiahError(
            f"card {card.path}: network '{used}' is in training mode: call .eval() on it first"
        )
    limits = {name: card.config.get(name) for name in ("max_seconds", "fixed_seconds")}
    return FunctionModel(target, card.name, rate, vocabulary(card.labels_source), **limits)


def is_factory(target: Any) -> bool:
    """Return whether an imported name makes an adapter of (card, device=.., dtype=..), rather than being a model.

    A class does, and a function with these parameters; one of waveforms may have a `device` of its own.
    """
    if isinstance(target, type):
        return True
    if not inspect.isroutine(target):
        return False
    try:
        parameters = inspect.signature(target).parameters
    except ValueError:  # some that are built in have none
        return False
    if {"device", "dtype"} <= set(parameters):
        return True
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return takes_any and next(iter(parameters)) == "card"


def code_sha256(card: ModelCard) -> str:
    """Return the SHA-256 of a user's adapter file, for cell keys; "" for this package's own, which have a version.

    Networks and arrays of the file that a function uses, which the card cannot name, count as well.
    """
    module_name, _, attribute = card.adapter.partition(":")
    module = sys.modules.get(module_name)
    file = getattr(module, "__file__", None)
    if module_name.startswith(OWN_PACKAGE) or file is None:
        return ""
    code = sha256_of(Path(file))
    target = getattr(module, attribute, None)
    is_model = inspect.isroutine(target) and not is_factory(target)
    weights = weights_in_use(target) if is_model else []
    return hashlib.sha256("\n".join([code, *weights]).encode()).hexdigest() if weights else code
