"""Time the authors' own DASS network, on VMamba's CUDA kernels, beside ours: same weights, same features, one process.

    python scripts/gpu/official_dass.py SOURCE OUT.csv [--models dass-medium,dass-small] [--dtypes bfloat16]
        [--lengths 10,50,300,1000,3600,9000] [--repeats 5] [--batch-size 12] [--steps 10] [--device cuda]

SOURCE is the folder `src/models` of the authors' repository (Saurabhbhati/DASS), which is imported, not copied; it
needs `selective_scan_cuda_oflex` (peers.sh builds it), timm, einops and torchvision. Their network runs under autocast,
as their `DASS.forward` does. `difference` is the largest between the two logits over the largest logit. A length that
fails ends its series, since an error on the device leaves nothing to go on with.
"""

import argparse
import csv
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from niah.adapters.loading import load_model
from niah.placement import total_frames
from niah.system.memory import PeakMemory, is_out_of_memory
from niah.training.graphs import ReplayedNetwork

HEADER = (
    "what", "model", "dtype", "batch_size", "length_s", "frames", "status", "official_s", "ours_s", "speedup",
    "official_peak_bytes", "ours_peak_bytes", "difference", "error",
)  # fmt: skip
LABELS, TRAINING_FRAMES = 527, 1024
FEWEST_REPEATS, ENOUGH_S = 3, 2.0
Row = dict[str, Any]


def import_official(source: Path) -> Any:
    """Import the authors' `vmamba`; fvcore, which it imports to count FLOPs only, may be absent."""
    counting = ModuleType("fvcore.nn")
    for name in ("FlopCountAnalysis", "flop_count_str", "flop_count", "parameter_count"):
        setattr(counting, name, None)
    sys.modules.setdefault("fvcore", ModuleType("fvcore"))
    sys.modules.setdefault("fvcore.nn", counting)
    sys.path.insert(0, str(source.resolve()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names that torch and timm have renamed since
        import vmamba  # type: ignore[import-not-found]
    return vmamba


def build_official(source: Path, model: str, device: torch.device) -> nn.Module:
    """Build the authors' network as their `DASS` does, with our seeded random weights."""
    adapter: Any = load_model(model, "random")
    ours = adapter.network
    depths = list(ours.config.depths)
    network: nn.Module = import_official(source).VSSM(
        drop_path_rate=0.0, embed_dim=ours.config.dims[0], depths=depths, dims=list(ours.config.dims), ssm_d_state=1,
        ssm_ratio=1.0, ssm_conv_bias=False, forward_type="v05_noz", downsample_version="v3", patchembed_version="v2",
        norm_layer="LN2D", num_classes=LABELS,
    )  # fmt: skip
    stem: Any = network.patch_embed
    stem[0] = nn.Conv2d(1, stem[0].out_channels, kernel_size=3, stride=2, padding=1)
    shapes = {key: value.shape for key, value in network.state_dict().items()}
    state = {key: value.reshape(shapes[key]) for key, value in ours.state_dict().items()}
    network.load_state_dict(state)
    return network.eval().to(device)


def official_logits(network: nn.Module, features: Tensor, dtype: torch.dtype) -> Tensor:
    """Run the authors' network on (batch, frames, mels), as their `DASS.forward` does."""
    mixed = dtype != torch.float32
    with torch.autocast(features.device.type, dtype if mixed else torch.bfloat16, enabled=mixed):
        logits: Tensor = network(features[:, None].transpose(2, 3))
    return logits.float()


def timed(
    work: Callable[[], Tensor], repeats: int, device: torch.device
) -> tuple[float, int, Tensor]:
    """Return the median seconds of `repeats` runs (fewer where they are long), peak bytes, and the last result."""
    memory = PeakMemory(device)  # a replayed pass takes nothing that the allocator sees
    for _ in range(2):  # compiles, and records where passes are replayed
        result = work()
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        result = work()
        float(result.flatten()[0])  # waits for the device
        seconds.append(time.perf_counter() - begin)
        if len(seconds) >= FEWEST_REPEATS and sum(seconds) > ENOUGH_S:
            break
    return median(seconds), memory.bytes(), result


def compared(
    official: Callable[[], Tensor],
    ours: Callable[[], Tensor],
    repeats: int,
    device: torch.device,
) -> Row:
    """Time both; return a row's figures. Theirs come first, and their failure does not spare ours."""
    row: Row = {"status": "ok"}
    logits = None
    try:
        seconds, peak, logits = timed(official, repeats, device)
        row |= {"official_s": f"{seconds:.4g}", "official_peak_bytes": peak}
    except RuntimeError as error:
        row |= {"status": "oom" if is_out_of_memory(error) else "error"}
        row["error"] = f"official: {str(error).splitlines()[0]}"
        if row["status"] == "error":
            return row
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    own_seconds, peak, own = timed(ours, repeats, device)
    row |= {"ours_s": f"{own_seconds:.4g}", "ours_peak_bytes": peak}
    if logits is not None:
        largest = float(logits.abs().max())
        row["difference"] = f"{float((logits - own.to(logits)).abs().max()) / largest:.3g}"
        row["speedup"] = f"{seconds / own_seconds:.2f}"
    return row


def forward_rows(options: argparse.Namespace, model: str, dtype: str) -> Iterator[Row]:
    """Yield a row for each length, until one fails."""
    device, kind = torch.device(options.device), getattr(torch, dtype)
    network = build_official(options.source, model, device)
    adapter = load_model(model, "random", device=str(device), dtype=dtype)
    for length_s in map(float, filter(None, options.lengths.split(","))):
        frames = total_frames(length_s, adapter.frontend.needle_frames)
        generator = torch.Generator(device).manual_seed(0)
        features = torch.randn(1, frames, adapter.frontend.mels, device=device, generator=generator)
        with torch.inference_mode():
            figures = compared(
                lambda x=features: official_logits(network, x, kind),  # type: ignore[misc]
                lambda x=features: adapter.logits(x),  # type: ignore[misc]
                options.repeats,
                device,
            )
        place = (model, dtype, 1, length_s, frames)
        yield dict(zip(HEADER, ("forward", *place), strict=False)) | figures
        if figures["status"] == "error":
            return


def training_row(options: argparse.Namespace, model: str, dtype: str) -> Row:
    """Time a step (forward, backward, AdamW) of both under autocast; ours replays CUDA graphs, as `niah train` does."""
    device, kind = torch.device(options.device), getattr(torch, dtype)
    theirs = build_official(options.source, model, device).train()
    adapter: Any = load_model(model, "random", device=str(device))
    ours = adapter.network
    ours.train().requires_grad_(True)
    features = torch.randn(options.batch_size, TRAINING_FRAMES, 128, device=device)
    targets = torch.zeros(options.batch_size, LABELS, device=device)

    def step(network: nn.Module, run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)

        def work() -> Tensor:
            loss = binary_cross_entropy_with_logits(run().float(), targets)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            return loss.detach()

        return work

    replayed = ReplayedNetwork(ours, partial(torch.autocast, device.type, kind))
    figures = compared(
        step(theirs, lambda: official_logits(theirs, features, kind)),
        step(ours, lambda: replayed(features)),
        options.steps,
        device,
    )
    place = (model, dtype, options.batch_size, TRAINING_FRAMES / 100, TRAINING_FRAMES)
    return dict(zip(HEADER, ("training step", *place), strict=False)) | figures


def rows(options: argparse.Namespace) -> Iterator[Row]:
    for dtype in options.dtypes.split(","):
        for model in options.models.split(","):
            yield from forward_rows(options, model, dtype)
            if options.steps and dtype != "float32":
                yield training_row(options, model, dtype)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--models", default="dass-medium,dass-small")
    parser.add_argument(
        "--lengths", default="10,50,300,1000,3600,9000", help="'': no forward passes"
    )
    parser.add_argument("--dtypes", default="bfloat16")
    parser.add_argument("--batch-size", type=int, default=12)
    parser.add_argument("--steps", type=int, default=10, help="of training; 0: none")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    failed = 0
    with options.out.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, HEADER, lineterminator="\n")
        writer.writeheader()
        for row in rows(options):
            writer.writerow(row)
            stream.flush()
            print(*(f"{name}={value}" for name, value in row.items()), flush=True)
            failed += row["status"] == "error"
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
