"""Loading a feature extractor and a network of `transformers`: with all weights, in silence, errors in one line."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from niah.adapters.checkpoints import FLOAT_TYPES, stored_types
from niah.adapters.transformers_files import TransformersFiles
from niah.errors import NiahError
from niah.frontends.waveform import MOST_HZ, ROWS_PER_SECOND
from niah.system.download import why_no_binary

MAY_BE_MISSING = ("masked_spec_embed",)  # of training alone


def load_extractor(files: TransformersFiles, *, trust: bool = False) -> Any:
    """Load a model's feature extractor.

    Raises:
        NiahError: `transformers` cannot.
    """
    from transformers import AutoFeatureExtractor

    with quiet(files, "its feature extractor"):
        return AutoFeatureExtractor.from_pretrained(
            str(files.folder), trust_remote_code=trust, local_files_only=True
        )


def load_network(files: TransformersFiles, kind: str, *, trust: bool = False) -> Any:
    """Load a model with all of its weights, in float32 on the CPU.

    Args:
        files: of the model; the weights are fetched if need be.
        kind: class of `transformers`.
        trust: run the repository's own code.

    Raises:
        NiahError: `transformers` cannot, or the weights lack parameters, such as those of a classification head.
    """
    import transformers

    for path in files.weights():
        if reason := why_no_binary(path):
            raise NiahError(f"{path}: holds no weights: {reason}")
    with quiet(files, "its weights"):
        network, loading = getattr(transformers, kind).from_pretrained(
            str(files.folder),
            trust_remote_code=trust,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused just below, by name
        )
    missing = [str(name) for name in loading.get("missing_keys") or ()]
    lacking = [name for name in missing if not name.endswith(MAY_BE_MISSING)]
    # (name, shape of the file's, shape of the network's)
    lacking += [str(each[0]) for each in loading.get("mismatched_keys") or ()]
    if lacking:
        raise NiahError(
            f"model {files.name}: its weights lack {len(lacking)} parameters or have them in another shape "
            f"({min(lacking)}, ..), so they would be random: has it a trained head for its labels?"
        )
    _check_floats(network, files)
    return network.float()


def _check_floats(network: Any, files: TransformersFiles) -> None:
    """Refuse parameters that are stored as whole numbers, truth values or complex ones: quantised, or another's.

    Buffers may be whole numbers (positions, counts).

    Raises:
        NiahError: there is one; names the file, the parameter and its type.
    """
    parameters = {name for name, _ in network.named_parameters()}
    for path in files.weights():
        for name, kind in stored_types(path).items():
            is_parameter = any(
                name == own or name.endswith(f".{own}") or own.endswith(f".{name}")
                for own in parameters
            )
            if is_parameter and kind not in FLOAT_TYPES:
                raise NiahError(
                    f"{path}: parameter {name} is of type {kind}, which are no weights as they were trained: give "
                    "float32, float16 or bfloat16"
                )


def rate_of(extractor: Any, name: str) -> int:
    """Return the sampling rate of a feature extractor in Hz.

    Raises:
        NiahError: it says none.
    """
    rate = getattr(extractor, "sampling_rate", None)
    if not isinstance(rate, int):
        raise NiahError(
            f"model {name}: its feature extractor, {type(extractor).__name__}, says no sampling rate"
        )
    return rate


def scene_rate_of(rate: int, name: str) -> int:
    """Return the rate of the scenes of a model in Hz: its own, or the least multiple with whole samples in 10 ms.

    Args:
        rate: of its feature extractor: 44,100 for 22,050, which the waveforms are brought down to again.
        name: of the model.

    Raises:
        NiahError: no such rate is within what scenes are made of.
    """
    scene_rate = math.lcm(rate, ROWS_PER_SECOND) if rate > 0 else 0
    if not ROWS_PER_SECOND <= scene_rate <= MOST_HZ:
        raise NiahError(
            f"model {name}: its feature extractor takes {rate} Hz, of which no multiple up to {MOST_HZ} Hz has whole "
            "samples in 10 ms: give a function of waveforms that resamples itself (docs/your-model.md)"
        )
    return scene_rate


@contextmanager
def quiet(files: TransformersFiles, what: str) -> Iterator[None]:
    """Keep `transformers` from printing, and make one line of what it raises.

    Raises:
        NiahError: anything that it raised.
    """
    from transformers.utils import logging

    level = logging.get_verbosity()
    had_bar = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(action="ignore"):  # of empty mel filters, for AST's own
            yield
    except NiahError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        if "weights_only" in reason:  # torch advises to run what is in it
            reason = "they are a pickle with code or objects, which are not loaded: save them with safetensors"
        raise NiahError(f"model {files.name}: {what} cannot be loaded: {reason}") from error
    finally:
        logging.set_verbosity(level)
        if had_bar:
            logging.enable_progress_bar()
