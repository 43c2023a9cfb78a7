"""A small tagger as an ONNX file, with its card: linear in the mean over frames of each mel, or frame by frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

MELS, CLASSES = 16, 10
SCALE, ZERO_POINT = 0.05, 140  # of 8-bit inputs
OUT_SCALE, OUT_ZERO_POINT = 0.02, 100
FRONTEND = """[frontend]
sample_rate = 16000
n_fft = 512
win_length = 400
hop_length = 160
n_mels = 16
log = "ln"
offset = 0.01
"""


@dataclass(frozen=True)
class TinyOnnx:
    """What differs from one graph to another.

    Attributes:
        axes: of the input.
        shape: of the input, None where any size goes.
        quantised: 8 bits in and out.
        by_frame: one row of logits a frame, (batch, frames, classes).
        probabilities: a sigmoid at the end.
    """

    axes: Sequence[str] = ("batch", "frames", "mels")
    shape: Sequence[int | None] = (None, None, MELS)
    quantised: bool = False
    by_frame: bool = False
    probabilities: bool = False
    classes: int = CLASSES
    mels: int = MELS

    @property
    def weight(self) -> NDArray[np.float32]:
        """(mels, classes)."""
        drawn = np.random.default_rng(0).standard_normal((self.mels, self.classes))
        return (0.3 * drawn).astype(np.float32)

    def expected(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Logits (classes,) of features (frames, mels), or (frames, classes), in float64."""
        values = features.astype(np.float64)
        if self.quantised:
            q = np.clip(np.rint(features / np.float32(SCALE)) + ZERO_POINT, 0, 255)
            values = (q - ZERO_POINT) * np.float64(np.float32(SCALE))
        logits = (values if self.by_frame else values.mean(0)) @ self.weight.astype(np.float64)
        if self.quantised:
            q = np.clip(np.rint(logits / np.float32(OUT_SCALE)) + OUT_ZERO_POINT, 0, 255)
            logits = (q - OUT_ZERO_POINT) * np.float64(np.float32(OUT_SCALE))
        return np.asarray(logits)

    def write(self, path: Path, **attributes: Any) -> Path:
        """Write the graph; `attributes` may name another `output` or a second `extra` input."""
        nodes, x = [], "sound"
        tensors = {"weight": self.weight}
        kind = TensorProto.UINT8 if self.quantised else TensorProto.FLOAT
        if self.quantised:
            tensors |= {"in_scale": np.float32(SCALE), "in_zero": np.uint8(ZERO_POINT)}  # type: ignore[dict-item]
            tensors |= {"out_scale": np.float32(OUT_SCALE), "out_zero": np.uint8(OUT_ZERO_POINT)}  # type: ignore[dict-item]
            nodes.append(
                helper.make_node("DequantizeLinear", [x, "in_scale", "in_zero"], ["sound_f"])
            )
            x = "sound_f"
        if "channel" in self.axes:
            tensors["channel_axis"] = np.array([list(self.axes).index("channel")])
            nodes.append(
                helper.make_node("ReduceMean", [x, "channel_axis"], ["squeezed"], keepdims=0)
            )
            x = "squeezed"
        axes = [axis for axis in self.axes if axis != "channel"]
        order = [axes.index(axis) for axis in ("batch", "frames", "mels") if axis in axes]
        nodes.append(helper.make_node("Transpose", [x], ["ordered"], perm=order))
        x = "ordered"
        if not self.by_frame:
            tensors["frame_axis"] = np.array([len(axes) - 2])
            nodes.append(helper.make_node("ReduceMean", [x, "frame_axis"], ["meaned"], keepdims=0))
            x = "meaned"
        ends = ["logits"]
        nodes.append(helper.make_node("MatMul", [x, "weight"], ["logits"]))
        if self.probabilities:
            nodes.append(helper.make_node("Sigmoid", ["logits"], ["scores"]))
            ends = ["scores"]
        if self.quantised:
            nodes.append(
                helper.make_node("QuantizeLinear", [ends[0], "out_scale", "out_zero"], ["q"])
            )
            ends = ["q"]
        if extra := attributes.get("output"):
            nodes.append(helper.make_node("Identity", [ends[0]], [extra]))
            ends.append(extra)
        inputs = [helper.make_tensor_value_info("sound", kind, list(self.shape))]
        if attributes.get("extra"):
            inputs.append(helper.make_tensor_value_info("extra", kind, [1]))
        outputs = [helper.make_tensor_value_info(end, kind, None) for end in ends]
        initializers = [
            numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()
        ]
        graph = helper.make_graph(nodes, "tiny", inputs, outputs, initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        onnx.save(model, str(path), **attributes.get("save", {}))
        return path


def write_waveform_graph(path: Path, samples: int | None = None) -> NDArray[np.float32]:
    """Write a graph of the means of x and |x|, (batch, samples) -> (batch, classes); return its weight (2, classes)."""
    weight = np.random.default_rng(1).standard_normal((2, CLASSES)).astype(np.float32)
    tensors = {"weight": weight, "axis": np.array([1])}
    nodes = [
        helper.make_node("Abs", ["sound"], ["loud"]),
        helper.make_node("ReduceMean", ["sound", "axis"], ["mean"], keepdims=1),
        helper.make_node("ReduceMean", ["loud", "axis"], ["level"], keepdims=1),
        helper.make_node("Concat", ["mean", "level"], ["both"], axis=1),
        helper.make_node("MatMul", ["both", "weight"], ["logits"]),
    ]
    kind = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "waveform",
        [helper.make_tensor_value_info("sound", kind, [None, samples])],
        [helper.make_tensor_value_info("logits", kind, None)],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), str(path))
    return weight


def card(
    folder: Path,
    config: str,
    *,
    frontend: str = "",
    labels: str = "esc-10",
    file: str = "tiny.onnx",
) -> Path:
    """Write the card of `tiny.onnx` beside it; `frontend` goes after the keys of FRONTEND."""
    path = folder / "tiny.toml"
    head = f'name = "tiny"\nadapter = "niah.adapters.onnx:Onnx"\nlabels = "{labels}"\n'
    path.write_text(
        f'{head}[config]\n{config}\n{FRONTEND}{frontend}\n[weights.own]\nfile = "{file}"\n'
    )
    return path
