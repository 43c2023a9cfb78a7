"""Time the sizes that kernels were given, beside others: of the map scan, the depthwise convolution, the MLP, Mamba.

    python scripts/gpu/choices.py OUT.csv [--seconds 9000] [--repeats 3] [--only scan,depthwise,mlp,gradients,sequence]
        [--channels 96,384]

Milliseconds of all blocks of dass-medium at that length, in bfloat16, by stage: medians between CUDA events, inputs
random. `gradients` is the backward pass of the scans of a training step, of 12 clips of 10.24 s whatever the length;
`sequence` one scan of SSAMBA-tiny's and of AuM-base's mixer (384 and 1536 channels) of 300 s.
A way that fails is a row that says so.
"""

import argparse
import csv
import math
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from where import milliseconds  # type: ignore[import-not-found]  # beside this script

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from niah.networks.dass import fused, fused_kernels, linear_gelu
from niah.scan.triton import cross_backward, cross_forward, sequence_forward
from niah.scan.triton.sequence import scan_sequence

STAGES = ((2, 32, 96), (2, 16, 192), (20, 8, 384), (2, 4, 768))  # blocks, rows, channels
DEVICE = "cuda"
# lanes, channels of a tile, warps; registers of the first and the third phase, programs a processor of the third
SCANS = {
    "16x32 w2 r168 r255 p4": (16, 32, 2, 168, 255, 4),
    "16x32 w2 r168 r255 p3": (16, 32, 2, 168, 255, 3),
    "16x32 w2 r168 r200 p5": (16, 32, 2, 168, 200, 5),
    "16x32 w2 r168 r168 p6": (16, 32, 2, 168, 168, 6),
    "16x32 w4 r128 r128 p4": (16, 32, 4, 128, 128, 4),
    "16x32 w4 r96 r96 p5": (16, 32, 4, 96, 96, 5),
    "16x16 w1 r168 r200 p10": (16, 16, 1, 168, 200, 10),
    "32x32 w4 r168 r255 p2": (32, 32, 4, 168, 255, 2),
}
# elements of a map's column in a program, warps, columns
DEPTHWISE = {
    "512 w8 l8": (512, 8, 8),
    "512 w8 l4": (512, 8, 4),
    "512 w8 l16": (512, 8, 16),
    "512 w4 l16": (512, 4, 16),
    "1024 w8 l8": (1024, 8, 8),
    "1024 w4 l8": (1024, 4, 8),
    "2048 w8 l8": (2048, 8, 8),
}
# channels of a tile, warps, programs a processor, megabytes of scratch
GRADIENTS = {
    "16 w1 p8 40M": (16, 1, 8, 40),
    "16 w1 p8 25M": (16, 1, 8, 25),
    "16 w1 p6 40M": (16, 1, 6, 40),
    "16 w1 p4 40M": (16, 1, 4, 40),
    "16 w2 p4 40M": (16, 2, 4, 40),
    "32 w2 p4 40M": (32, 2, 4, 40),
    "32 w1 p8 40M": (32, 1, 8, 40),
}
TRAINING = (12, 10.24)  # clips, seconds
# warps of a program, and of a processor
SEQUENCES = {
    "1 warp, 16": (1, 16),
    "1 warp, 20": (1, 20),
    "2 warps, 16": (2, 16),
    "4 warps, 12": (4, 12),
    "4 warps, 16": (4, 16),
    "4 warps, 20": (4, 20),
    "4 warps, 32": (4, 32),
}
TOKENS, STATES = 15_000, 16  # of 300 s
# rows, columns, warps, stages of a tile of the product
PRODUCTS = {
    "128x128 w8 s3": (128, 128, 8, 3),
    "128x128 w4 s3": (128, 128, 4, 3),
    "128x128 w8 s4": (128, 128, 8, 4),
    "128x256 w8 s3": (128, 256, 8, 3),
    "128x256 w8 s4": (128, 256, 8, 4),
    "256x128 w8 s3": (256, 128, 8, 3),
    "64x128 w4 s4": (64, 128, 4, 4),
}
HIDDENS = (1 << 23, 1 << 24, 1 << 25, 1 << 26)
SIZED = (cross_forward, cross_backward, sequence_forward, fused_kernels, linear_gelu)
Row = dict[str, Any]
Stages = list[tuple[int, int, int]]


def median_ms(function: Callable[[], Any], repeats: int) -> float:
    """Return the median time of a call on the device, after one that compiles."""
    function()
    time: float = milliseconds(function, repeats)
    return time


def normal(*shape: int, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(shape, device=DEVICE, dtype=torch.bfloat16) * scale


def scan_rows(way: str, stages: Stages, seconds: float, repeats: int) -> Iterator[Row]:
    """Time phases 1 and 2, and all three, of each stage."""
    lanes, channels, warps, registers, output_registers, programs = SCANS[way]
    cross_forward.LANES, cross_forward.CHANNELS, cross_forward.WARPS = lanes, channels, warps
    cross_forward.REGISTERS, cross_forward.OUTPUT_REGISTERS = registers, output_registers
    cross_forward.PROGRAMS_PER_PROCESSOR = programs
    for blocks, rows, C in stages:
        columns, rank = math.ceil(seconds * 100 / 128 * rows), math.ceil(C / 16)
        u = normal(1, columns, rows, C)
        row = 8 * math.ceil((rank + 2) / 8)
        p = normal(1, columns, rows, 4, row)
        weights = normal(4, C, rank, scale=0.1), normal(4, C), -torch.rand(4, C, device=DEVICE)
        inputs = (u, p[..., : rank + 2], *weights, normal(4, C))
        plan = cross_forward.plan_of(inputs[0], inputs[1], inputs[2])
        y = torch.empty_like(u)
        with torch.inference_mode():
            states = median_ms(
                partial(cross_forward.line_states, plan, *inputs[:5], adjoint=False), repeats
            )
            whole = median_ms(partial(cross_forward.outputs, plan, inputs, y), repeats)
        for part, time in (("states", states), ("outputs", whole - states)):
            yield {"what": "scan", "way": way, "channels": C, "part": part, "ms": time * blocks}
        del u, p, y, inputs


def depthwise_rows(way: str, stages: Stages, seconds: float, repeats: int) -> Iterator[Row]:
    """Time the depthwise convolution of each stage, slab by slab as a block does."""
    column, fused_kernels.WARPS, fused_kernels.LENGTH = DEPTHWISE[way]
    fused_kernels.MAP_COLUMN = column
    for blocks, rows, C in stages:
        columns = math.ceil(seconds * 100 / 128 * rows)
        slab = min(columns, fused.HIDDEN // (4 * C) // rows)
        v, taps = normal(1, columns + 2, rows, C), normal(9, C)
        u = torch.empty_like(v)

        def work(v: torch.Tensor, taps: torch.Tensor, u: torch.Tensor, slab: int) -> None:
            for begin in range(1, v.shape[1] - 1, slab):
                last = min(begin + slab, v.shape[1] - 1)
                around = v[:, begin - 1 : last + 1]
                fused_kernels.depthwise_silu(around, taps, u[:, begin:last], 1)

        time = median_ms(partial(work, v, taps, u, slab), repeats) * blocks
        yield {"what": "depthwise", "way": way, "channels": C, "part": str(C), "ms": time}
        del v, u


def gradient_rows(way: str, stages: Stages, _: float, repeats: int) -> Iterator[Row]:
    """Time the backward pass of each stage: its own lines of states, and the gradients."""
    channels, warps, programs, megabytes = GRADIENTS[way]
    cross_forward.BACKWARD_CHANNELS, cross_forward.BACKWARD_PROGRAMS = channels, programs
    scratch = megabytes * 1_000_000
    cross_backward.WARPS = warps
    clips, seconds = TRAINING
    for blocks, rows, C in stages:
        columns, rank = math.ceil(seconds * 100 / 128 * rows), math.ceil(C / 16)
        u, gy = (normal(clips, columns, rows, C) for _ in range(2))
        p = normal(clips, columns, rows, 4, rank + 2)
        weights = normal(4, C, rank, scale=0.1), normal(4, C), -torch.rand(4, C, device=DEVICE)
        inputs = (u, p, *(x.float() for x in (*weights, normal(4, C))))
        plan = cross_forward.plan_of(inputs[0], inputs[1], inputs[2])
        saved = (*inputs, cross_forward.outputs(plan, inputs)[1])
        cross_forward.SCRATCH_BYTES = scratch
        time = median_ms(partial(cross_backward.gradients, plan, saved, gy), repeats)
        yield {
            "what": "gradients",
            "way": way,
            "channels": C,
            "part": "backward",
            "ms": time * blocks,
        }


def sequence_rows(way: str, _stages: Stages, _seconds: float, repeats: int) -> Iterator[Row]:
    """Time a scan of each width, as a CUDA graph of its launches."""
    sequence_forward.WARPS, sequence_forward.WARPS_PER_PROCESSOR = SEQUENCES[way]
    for channels in (384, 1536):
        u, z = (normal(1, TOKENS, channels) for _ in range(2))
        B, C = (normal(1, TOKENS, STATES) for _ in range(2))
        A = -torch.arange(1.0, STATES + 1, device=DEVICE).repeat(channels, 1)
        rest = (A, normal(channels), normal(1, channels, STATES))
        with torch.inference_mode():
            scan_sequence(u, z, B, C, *rest)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                scan_sequence(u, z, B, C, *rest)
            time = median_ms(graph.replay, 5 * repeats)
        yield {
            "what": "sequence",
            "way": way,
            "channels": channels,
            "part": str(channels),
            "ms": time,
        }


def mlp(
    way: str, x: torch.Tensor, weights: tuple[torch.Tensor, ...], rows: int
) -> Callable[[], None]:
    """Return the MLP on slabs of rows, from its normed input, added to x."""
    first, bias, second = weights

    def work() -> None:
        for begin in range(0, len(x), rows):
            part = x[begin : begin + rows]
            if way == "torch":
                hidden = torch.ops.aten.gelu_(F.linear(part, first, bias))
            elif way == "cublas, tanh":
                hidden = torch._addmm_activation(bias, part, first.t(), use_gelu=True)
            else:
                hidden = linear_gelu.linear_gelu(part, first, bias)
            part.addmm_(hidden, second)

    return work


def mlp_rows(way: str, stages: Stages, seconds: float, repeats: int) -> Iterator[Row]:
    """Time the MLP of each stage, for slabs of several sizes."""
    if way in PRODUCTS:
        linear_gelu.ROWS, linear_gelu.COLUMNS, linear_gelu.WARPS, linear_gelu.STAGES = PRODUCTS[way]
    for blocks, rows, C in stages:
        positions = math.ceil(seconds * 100 / 128 * rows) * rows
        x = normal(positions, C)
        weights = normal(4 * C, C, scale=0.02), normal(4 * C), normal(4 * C, C, scale=1e-4)
        for hidden in HIDDENS:
            with torch.inference_mode():
                time = median_ms(mlp(way, x, weights, hidden // (4 * C)), repeats)
            part = f"slabs of 2^{int(math.log2(hidden))}"
            yield {"what": "mlp", "way": way, "channels": C, "part": part, "ms": time * blocks}


def rows_of(task: Callable[..., Iterator[Row]], way: str, *rest: Any) -> list[Row]:
    """Run a task, which changes sizes that kernels take at their launch, and change them back.

    A task that fails ends in a row that says so.
    """
    rows: list[Row] = []
    before = [dict(vars(module)) for module in SIZED]
    try:
        rows.extend(task(way, *rest))
    except Exception:
        traceback.print_exc()
        rows.append({"what": task.__name__, "way": way, "error": "failed: see the log"})
    finally:
        for module, values in zip(SIZED, before, strict=True):
            vars(module).update(values)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=9000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="scan,mlp")
    parser.add_argument("--channels", default="96,384", help="stages: most of the time is theirs")
    options = parser.parse_args()
    chosen = {int(channels) for channels in options.channels.split(",")}
    stages = [stage for stage in STAGES if stage[2] in chosen]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    jobs: list[tuple[Callable[..., Iterator[Row]], str]] = []
    if "scan" in options.only:
        jobs += [(scan_rows, way) for way in SCANS]
    if "depthwise" in options.only:
        jobs += [(depthwise_rows, way) for way in DEPTHWISE]
    if "gradients" in options.only:
        jobs += [(gradient_rows, way) for way in GRADIENTS]
    if "sequence" in options.only:
        jobs += [(sequence_rows, way) for way in SEQUENCES]
    if "mlp" in options.only:
        jobs += [(mlp_rows, way) for way in ("torch", "cublas, tanh", *PRODUCTS)]
    with options.out.open("w", newline="") as stream:
        writer = csv.DictWriter(
            stream, ("what", "way", "channels", "part", "ms", "error"), lineterminator="\n"
        )
        writer.writeheader()
        for task, way in jobs:
            rows = rows_of(task, way, stages, options.seconds, options.repeats)
            sums: dict[str, float] = {}
            for row in rows:
                writer.writerow({**row, "ms": f"{row['ms']:.4g}"} if "ms" in row else row)
                if "ms" in row:
                    sums[row["part"]] = sums.get(row["part"], 0.0) + row["ms"]
            stream.flush()
            print(way, {part: round(total, 3) for part, total in sums.items()}, flush=True)


if __name__ == "__main__":
    main()
