"""Files of weights that are no checkpoint of torch or safetensors, by their first bytes, and the way to use them."""

import re
import zipfile
from pathlib import Path

_KINDS = (
    (b"\x1f\x8b", "is compressed with gzip: unpack it"),
    (b"BZh", "is compressed with bzip2: unpack it"),
    (b"\xfd7zXZ", "is compressed with xz: unpack it"),
    (b"\x28\xb5\x2f\xfd", "is compressed with Zstandard: unpack it"),
    (b"7z\xbc\xaf", "is a 7z archive: unpack it"),
    (b"\x89HDF", "is HDF5, as Keras writes it: save the weights with safetensors"),
    (b"GGUF", "is GGUF, whose weights are quantised for other programs"),
    (b"\x93NUMPY", "is one array of numpy: save a state dict with safetensors"),
    (b"\xff\xfe", "is text in UTF-16, not weights"),
)
_SIGN_AT_4 = ((b"TFL3", "is a TensorFlow Lite model: give it by a card of its own"),)
_ONNX = re.compile(rb"\x08[\x03-\x0d]\x12")  # version of the format, then the producer's name


def other_format(path: Path) -> str:
    """Return what a file is where it is none of the formats of a checkpoint, as the rest of a sentence; else "".

    Args:
        path: the file.
    """
    with path.open("rb") as file:
        head = file.read(512)
    for sign, words in _KINDS:
        if head.startswith(sign):
            return words
    for sign, words in _SIGN_AT_4:
        if head[4:8] == sign:
            return words
    if _ONNX.match(head):
        return "is an ONNX graph: give it by a card of its own, with the ONNX adapter"
    if head[257:262] == b"ustar" and not head.startswith(b"PK"):
        return "is a tar archive: unpack it, or save the weights with safetensors"
    return _archive(path) if head.startswith(b"PK") else ""


def _archive(path: Path) -> str:
    """Return what a zip archive is where torch did not write it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return ""  # damaged, which its reader says
    if any(name.endswith("/constants.pkl") for name in names):
        return "is a TorchScript archive, which holds code: save its state dict with safetensors"
    if names and all(name.endswith(".npy") for name in names):
        return "is an archive of numpy's arrays: save them as a state dict with safetensors"
    if not any(name.endswith("data.pkl") for name in names):
        return "is a zip archive without weights of torch: unpack it"
    return ""
