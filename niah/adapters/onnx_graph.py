"""An ONNX file as a function of arrays: its one input and its output, with the scales of 8-bit ones.

A quantised value is q = round(x / scale) + zero_point, kept to the range of its type; x = (q - zero_point) scale (ONNX,
QuantizeLinear and DequantizeLinear). The scales are those of the nodes at the graph's ends, or a card's.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError
from niah.system.download import sha256_of
from niah.system.lfs_pointer import refuse_lfs_pointer

INSTALL = "pip install 'audio-niah[onnx]'"
_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
}


@dataclass(frozen=True)
class Port:
    """An input or output: `shape` has None where the graph takes any size; `scale` 0 is not quantised."""

    name: str
    dtype: type[np.generic]
    shape: tuple[int | None, ...]
    scale: float = 0.0
    zero_point: int = 0

    @property
    def is_quantised(self) -> bool:
        return issubclass(self.dtype, np.integer)

    def __str__(self) -> str:
        sizes = " x ".join("any" if size is None else str(size) for size in self.shape)
        return f"'{self.name}' ({sizes}, {np.dtype(self.dtype).name})"

    def encode(self, values: NDArray[np.floating[Any]]) -> NDArray[np.generic]:
        """Values as the graph takes them."""
        if not self.is_quantised:
            return values.astype(self.dtype, copy=False)
        limits = np.iinfo(np.dtype(self.dtype).name)
        quantised = values / np.float32(self.scale)
        np.rint(quantised, out=quantised)
        quantised += self.zero_point
        np.clip(quantised, limits.min, limits.max, out=quantised)
        return quantised.astype(self.dtype)

    def decode(self, values: NDArray[np.generic]) -> NDArray[np.float32]:
        """Values as the graph means them, float32."""
        if not self.is_quantised:
            return values.astype(np.float32, copy=False)
        decoded = values.astype(np.float32)
        decoded -= np.float32(self.zero_point)
        decoded *= np.float32(self.scale)
        return decoded


class OnnxGraph:
    """A graph of one input, ready to run.

    Args:
        path: an .onnx file; its external data lies beside it.
        where: card and file, for messages.
        output: name of the output; "" for the only one.
        on_cuda: whether to run on a CUDA device.

    Raises:
        NiahError: a missing package, a file that is no such graph, more inputs, an output that is not there, types
            that are no numbers of sound, or no scale for 8-bit ones.
    """

    def __init__(self, path: Path, where: str, *, output: str = "", on_cuda: bool = False) -> None:
        self._where = where
        self._session = _session(path, where, on_cuda)
        model = _model(path, where)
        self.sha256 = _sha256(path, model)
        ends = self._session.get_inputs()
        if len(ends) != 1:
            names = ", ".join(end.name for end in ends) or "none"
            raise NiahError(f"{where}: must have one input but it has {len(ends)} ({names})")
        self.input = self._port(ends[0])
        outputs = {end.name: end for end in self._session.get_outputs()}
        if output and output not in outputs:
            raise NiahError(f"{where}: has no output '{output}'; it has {', '.join(outputs)}")
        if not output and len(outputs) > 1:
            raise NiahError(
                f"{where}: has several outputs ({', '.join(outputs)}): name one with config.output"
            )
        self.output = self._port(outputs[output or next(iter(outputs))])
        scales = _end_scales(path, model)
        self.input, self.output = _scaled(self.input, scales), _scaled(self.output, scales)

    def with_scales(
        self, inputs: tuple[float, int] | None, outputs: tuple[float, int] | None
    ) -> None:
        """Take a card's (scale, zero point) in place of the graph's, and see that 8-bit ends have one.

        Raises:
            NiahError: an 8-bit end without a scale.
        """
        if inputs:
            self.input = replace(self.input, scale=inputs[0], zero_point=inputs[1])
        if outputs:
            self.output = replace(self.output, scale=outputs[0], zero_point=outputs[1])
        for name, port in (("input", self.input), ("output", self.output)):
            if port.is_quantised and not port.scale > 0:
                raise NiahError(
                    f"{self._where}: {name} {port} has no scale in the graph: give config.{name}_scale and "
                    f"config.{name}_zero_point"
                )

    def run(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """Run the graph on an encoded input.

        Raises:
            NiahError: the graph does not take it.
        """
        try:
            answers: Sequence[Any] = self._session.run(
                [self.output.name], {self.input.name: values}
            )
        except Exception as error:  # onnxruntime's own kinds; all are of this input or of the graph
            shape = " x ".join(map(str, values.shape))
            raise NiahError(f"{self._where}: cannot run on {shape}: {_first_line(error)}") from None
        return np.asarray(answers[0])

    def _port(self, end: Any) -> Port:
        if end.type not in _TYPES:
            raise NiahError(
                f"{self._where}: '{end.name}' is {end.type}, must be float, float16, double, uint8 or int8"
            )
        sizes = tuple(size if isinstance(size, int) and size > 0 else None for size in end.shape)
        return Port(end.name, _TYPES[end.type], sizes)


def _session(path: Path, where: str, on_cuda: bool) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise NiahError(f"{where} needs onnxruntime: {INSTALL}") from None
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors, which are raised too
    providers = ["CPUExecutionProvider"]
    if on_cuda:
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise NiahError(
                f"{where}: this onnxruntime has no CUDA: install onnxruntime-gpu, or use --device cpu"
            )
        providers.insert(0, "CUDAExecutionProvider")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime's own kinds
        refuse_lfs_pointer(path)
        raise NiahError(
            f"{where} is no ONNX graph that onnxruntime runs: {_first_line(error)}"
        ) from None


def _model(path: Path, where: str) -> Any:
    try:
        import onnx
    except ImportError:
        raise NiahError(f"{where} needs onnx: {INSTALL}") from None
    return onnx.load(str(path), load_external_data=False)


def _sha256(path: Path, model: Any) -> str:
    """Checksum of the file, or of it and the files beside it that hold its weights."""
    places = {
        entry.value
        for tensor in model.graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }
    sums = [sha256_of(path), *(sha256_of(path.parent / place) for place in sorted(places))]
    return sums[0] if len(sums) == 1 else hashlib.sha256("\n".join(sums).encode()).hexdigest()


def _end_scales(path: Path, model: Any) -> dict[str, tuple[float, int]]:
    """Return {name of an end: (scale, zero point)} of the quantising nodes at the graph's ends."""
    from onnx import numpy_helper

    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            tensors |= {
                end: each.t
                for each in node.attribute
                for end in node.output
                if each.name == "value"
            }
    scales = {}
    for node in graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        end = node.output[0] if node.op_type == "QuantizeLinear" else node.input[0]
        values = [
            numpy_helper.to_array(tensors[name], base_dir=str(path.parent))
            for name in node.input[1:]
            if name in tensors
        ]
        if values and all(value.size == 1 for value in values):
            zero_point = int(values[1].item()) if len(values) > 1 else 0
            scales[end] = (float(values[0].item()), zero_point)
    return scales


def _scaled(port: Port, scales: dict[str, tuple[float, int]]) -> Port:
    if not port.is_quantised or port.name not in scales:
        return port
    scale, zero_point = scales[port.name]
    return replace(port, scale=scale, zero_point=zero_point)


def _first_line(error: Exception) -> str:
    line = " ".join(str(error).split("\n")[0].split())
    # onnxruntime's reason stands behind a signature of C++
    return line if len(line) <= 300 else f"{line[:80]} .. {line[-210:]}"
