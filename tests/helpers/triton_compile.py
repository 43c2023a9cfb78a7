"""Compile the Triton kernels to machine code for an H100 or H200; needs no GPU (Triton brings its assembler).

    python -m tests.helpers.triton_compile forward     the kernels of DASS's third stage, in bfloat16
    python -m tests.helpers.triton_compile all         those of its other stages and dtypes, backward, carry, AuM

Prints a JSON object: kernel and configuration -> bytes of machine code, registers, instructions of its loops. The
interpreter accepts what the compiler does not, so this is the only check of that where there is no device.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from niah.networks.dass import first_halving, fused_kernels, linear_gelu
from niah.networks.layers import mixer_kernels
from niah.scan.triton import carry as triton_carry
from niah.scan.triton import cross_backward as triton_cross_backward
from niah.scan.triton import cross_forward as triton_cross
from niah.scan.triton import cross_kernels as triton_kernels
from niah.scan.triton import sequence_backward as triton_sequence_backward
from niah.scan.triton import sequence_forward as triton_sequence

HOPPER = GPUTarget("cuda", 90, 32)
WIDE = {
    "rows_size",
    "p_size",
    "B_size",
    "split",
    "v_stride",
    "u_stride",
    "x_stride",
    "row",
}  # int64
MAPS = {"x", "u", "p", "y", "z", "B", "C", "gy", "gu", "gz", "dt_weight", "dt_bias", "v", "out"}
MAPS |= {"kernel", "weight", "bias", "add", "before", "scale", "shift"}
LENGTHS = {"T", "L", "line", "lines", "pieces", "chunks", "slabs", "items", "blocks", "scans"}
LENGTHS |= {"row_lines", "column_lines", "rows", "columns", "window", "first", "tokens", "length"}
LENGTHS |= {"zero", "padding"}
FLOATS = {triton_sequence._line_pairs: {"B", "C"}, triton_sequence._outputs: {"B", "C"}}
NUMBERS = {"eps"}
TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"


def compiled(
    kernel: Any, constants: dict[str, Any], kind: str, options: dict[str, int]
) -> dict[str, Any]:
    signature, given, aligned = {}, {}, {}
    for index, name in enumerate(kernel.arg_names):
        if name in constants:
            signature[name], given[(index,)] = "constexpr", constants[name]
        elif name in LENGTHS | WIDE:
            signature[name] = "i64" if name in WIDE else "i32"
            check_length(kernel, index, name)
            if name in WIDE:  # which are multiples of it in all our networks
                aligned[(index,)] = [["tt.divisibility", 16]]
        elif name in NUMBERS:
            signature[name] = "fp32"
        else:
            is_map = name in MAPS - FLOATS.get(kernel, set())
            signature[name] = f"*{kind}" if is_map else "*fp32"
            aligned[(index,)] = [["tt.divisibility", 16]]
    source = ASTSource(kernel, signature, given, aligned)
    code = triton.compile(source, target=HOPPER, options=options).asm["cubin"]
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code)
        file.flush()
        usage, text = (
            subprocess.run([TOOLS / tool, flag, file.name], capture_output=True, text=True).stdout
            for tool, flag in (("cuobjdump", "-res-usage"), ("nvdisasm", "-c"))
        )
    registers = max(int(n) for n in re.findall(r"REG:(\d+)", usage))
    return {"bytes": len(code), "registers": registers, "loops": loops(text)}


def loops(text: str) -> list[dict[str, int]]:
    """Count instructions, barriers and special functions in each innermost loop of a disassembly, longest first."""
    instructions: list[str] = []
    labels: dict[str, int] = {}
    for line in text.splitlines():
        if match := re.match(r"\s*(\.L_x_\d+):", line):
            labels[match[1]] = len(instructions)
        elif match := re.match(r"\s*/\*[0-9a-f]{4,}\*/\s+(.*?);", line):
            instructions.append(match[1])
    ranges = []
    for at, instruction in enumerate(instructions):
        match = re.search(r"BRA[^`]*`\((\.L_x_\d+)\)", instruction)
        if match and labels.get(match[1], len(instructions)) < at:
            ranges.append((labels[match[1]], at + 1))
    inner = [
        one
        for one in ranges
        if not any(o != one and o[0] >= one[0] and o[1] <= one[1] for o in ranges)
    ]
    counted = [
        {
            "instructions": stop - start,
            "barriers": sum("BAR." in x for x in instructions[start:stop]),
            "special": sum("MUFU" in x for x in instructions[start:stop]),
        }
        for start, stop in inner
    ]
    return sorted(counted, key=lambda loop: -loop["instructions"])


def check_length(kernel: Any, index: int, name: str) -> None:
    """A length that Triton specialises on would be compiled again for 1, and for multiples of 16."""
    parameter = kernel.params[index]
    if not parameter.do_not_specialize and name not in WIDE:
        raise SystemExit(f"{kernel.__name__}: argument {name} must be in do_not_specialize")
    if name in WIDE and parameter.annotation_type != "i64":
        raise SystemExit(f"{kernel.__name__}: argument {name} must be annotated tl.int64")


Job = tuple[str, Any, dict[str, Any], str, dict[str, int]]


def jobs(which: str) -> list[Job]:
    """(name, kernel, constants, kind of the maps, options)."""
    stages = {"first": (32, 96, 6, 8), "third": (8, 384, 24, 32), "last": (4, 768, 48, 64)}
    found: list[Job] = []
    limit = {"num_warps": triton_cross.WARPS, "maxnreg": triton_cross.REGISTERS}
    more = {**limit, "maxnreg": triton_cross.OUTPUT_REGISTERS}
    for stage, (F, C, R, P) in stages.items():
        sizes = {
            "F": F,
            "C": C,
            "R": R,
            "P": P,
            "LOADED": P,
            "RANK": max(16, P),
            "M": triton_cross.LANES,
        }
        for kind, precision in (("bf16", "half"), ("bf16", "tf32"), ("fp32", "tf32x3")):
            if which == "forward" and (stage, precision) != ("third", "half"):
                continue
            tile = {**sizes, "WIDTH": 32, "PRECISION": precision, "PTX": True}
            name = f"{stage} {kind} {precision}"
            pairs = triton_kernels._line_pairs
            found.append((f"pairs {name}", pairs, {**tile, "ADJOINT": False}, kind, limit))
            found.append((f"outputs {name}", triton_kernels._outputs, tile, kind, more))
            if which == "all" and precision != "half":
                found.append((f"adjoints {name}", pairs, {**tile, "ADJOINT": True}, kind, limit))
                backward = triton_cross_backward._gradients
                own = {key: value for key, value in tile.items() if key != "LOADED"}
                own |= {"WIDTH": triton_cross.BACKWARD_CHANNELS}
                warps = {"num_warps": triton_cross_backward.WARPS}
                found.append((f"gradients {name}", backward, own, kind, warps))
    plain = {"num_warps": 4}
    norm = {"C": 96, "PADDED": 128, "M": 32, "BEFORE": False, "ADD": True}
    found.append(("layer norm", fused_kernels._layer_norm, norm, "bf16", plain))
    depthwise = {"F": 8, "C": 384, "PADDED": 8, "WIDTH": 64, "COLUMNS": fused_kernels.LENGTH}
    depthwise |= {"PTX": True}
    wide = {"num_warps": fused_kernels.WARPS}
    found.append(("depthwise", fused_kernels._depthwise_silu, depthwise, "bf16", wide))
    halving = {"MELS": 128, "F": 64, "C": 48, "PADDED": 64, "M": first_halving.POSITIONS}
    halving |= {"EXACT": False, "PTX": True, "WIDEN": False}
    wide = {"num_warps": first_halving.WARPS}
    found.append(("first halving", first_halving._first_halving, halving, "bf16", wide))
    product = {
        "K": 384,
        "N": 1536,
        "M": 128,
        "WIDTH": 128,
        "DEPTH": 64,
        "PTX": True,
        "WIDEN": False,
    }
    wide = {"num_warps": linear_gelu.WARPS, "num_stages": linear_gelu.STAGES}
    found.append(("linear gelu", linear_gelu._linear_gelu, product, "bf16", wide))
    if which == "forward":
        return found
    carry = {"LANES": 96, "BLOCK": 64, "WIDTH": 32}
    found.append(("carry totals", triton_carry._block_totals, carry, "fp32", plain))
    found.append(("carry states", triton_carry._states, carry, "fp32", plain))
    short = triton_carry._short_map_states
    found.append(("carry short", short, {**carry, "WIDTH": 16}, "fp32", plain))
    for reverse in (False, True):
        sizes = {"E": 1536, "N": 16, "STATES": 16, "REVERSE": reverse}
        tile = {**sizes, "WIDTH": 32 * triton_sequence.WARPS, "PTX": True}
        pairs = triton_sequence._line_pairs
        warps = {"num_warps": triton_sequence.WARPS, "maxnreg": triton_sequence.REGISTERS}
        found.append((f"sequence {reverse}", triton_sequence._outputs, tile, "bf16", warps))
        found.append(
            (f"sequence pairs {reverse}", pairs, {**tile, "ADJOINT": False}, "bf16", warps)
        )
        backward = triton_sequence_backward._gradients
        tile = {**sizes, "WIDTH": triton_sequence_backward.CHANNELS}
        warps = {"num_warps": triton_sequence_backward.WARPS}
        found.append((f"sequence gradients {reverse}", backward, tile, "bf16", warps))
    mixer = {"E": 1536, "TAPS": 4, "M": mixer_kernels.TOKENS, "WIDTH": mixer_kernels.CHANNELS}
    convolution = mixer_kernels._convolve_silu
    found.append(("convolution", convolution, {**mixer, "AHEAD": True}, "bf16", plain))
    return found


if __name__ == "__main__":
    print(json.dumps({name: compiled(*rest) for name, *rest in jobs(sys.argv[1])}))
