"""Compile the Triton kernels to machine code for an H100 or H200; needs no GPU (Triton brings its assembler).

    python -m tests.helpers.triton_compile forward     the kernels of inference, bfloat16, DASS's first stage
    python -m tests.helpers.triton_compile all         and the backward ones, float32 too, DASS's last stage, AuM

Prints a JSON object: kernel and configuration -> bytes of machine code. The interpreter accepts what the compiler does
not, so this is the only check of that where there is no device.
"""

import json
import sys
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from niah.scan.triton import carry as triton_carry
from niah.scan.triton import cross_backward as triton_cross_backward
from niah.scan.triton import cross_forward as triton_cross
from niah.scan.triton import sequence_backward as triton_sequence_backward
from niah.scan.triton import sequence_forward as triton_sequence

HOPPER = GPUTarget("cuda", 90, 32)
WIDE = {"rows_size", "p_size", "B_size"}  # int64
MAPS = {"x", "u", "p", "y", "z", "B", "C", "gy", "gu", "gz", "dt_weight", "dt_bias"}
LENGTHS = {"T", "L", "line", "lines", "pieces", "chunks", "slabs", "items", "blocks"}


def compiled(kernel: Any, constants: dict[str, Any], kind: str, warps: int) -> int:
    signature, given, aligned = {}, {}, {}
    for index, name in enumerate(kernel.arg_names):
        if name in constants:
            signature[name], given[(index,)] = "constexpr", constants[name]
        elif name in LENGTHS | WIDE:
            signature[name] = "i64" if name in WIDE else "i32"
            check_length(kernel, index, name)
        else:
            signature[name] = f"*{kind}" if name in MAPS else "*fp32"
            aligned[(index,)] = [["tt.divisibility", 16]]
    source = ASTSource(kernel, signature, given, aligned)
    return len(triton.compile(source, target=HOPPER, options={"num_warps": warps}).asm["cubin"])


def check_length(kernel: Any, index: int, name: str) -> None:
    """A length that Triton specialises on would be compiled again for 1, and for multiples of 16."""
    parameter = kernel.params[index]
    if not parameter.do_not_specialize and name not in WIDE:
        raise SystemExit(f"{kernel.__name__}: argument {name} must be in do_not_specialize")
    if name in WIDE and parameter.annotation_type != "i64":
        raise SystemExit(f"{kernel.__name__}: argument {name} must be annotated tl.int64")


def jobs(which: str) -> list[tuple[str, Any, dict[str, Any], str, int]]:
    """(name, kernel, constants, kind of the maps, warps)."""
    stages = {"first": (32, 96, 6, 16), "last": (4, 768, 48, 64)}
    found: list[tuple[str, Any, dict[str, Any], str, int]] = []
    for stage, (F, C, R, rank) in stages.items():
        sizes = {"F": F, "C": C, "R": R, "RANK": rank, "M": 32, "WIDTH": 32}
        for kind, precision in (("bf16", "tf32"), ("fp32", "ieee")):
            if which == "forward" and (stage, kind) != ("first", "bf16"):
                continue
            tile = {**sizes, "PRECISION": precision}
            name = f"{stage} {kind}"
            pairs = triton_cross._line_pairs
            found.append((f"pairs {name}", pairs, {**tile, "ADJOINT": False}, kind, 4))
            found.append((f"outputs {name}", triton_cross._outputs, tile, kind, 4))
            if which == "all":
                found.append((f"adjoints {name}", pairs, {**tile, "ADJOINT": True}, kind, 4))
                backward = triton_cross_backward._gradients
                found.append((f"gradients {name}", backward, tile, kind, 8))
    carry = {"LANES": 96, "BLOCK": 64, "WIDTH": 32}
    found.append(("carry totals", triton_carry._block_totals, carry, "fp32", 4))
    found.append(("carry states", triton_carry._states, carry, "fp32", 4))
    for reverse in (False, True):
        tile = {"E": 1536, "N": 16, "STATES": 16, "WIDTH": 32, "REVERSE": reverse}
        pairs = triton_sequence._line_pairs
        found.append((f"sequence {reverse}", triton_sequence._outputs, tile, "bf16", 1))
        found.append((f"sequence pairs {reverse}", pairs, {**tile, "ADJOINT": False}, "bf16", 1))
        if which == "all":
            backward = triton_sequence_backward._gradients
            found.append((f"sequence gradients {reverse}", backward, tile, "bf16", 1))
    return found


if __name__ == "__main__":
    print(json.dumps({name: compiled(*rest) for name, *rest in jobs(sys.argv[1])}))
