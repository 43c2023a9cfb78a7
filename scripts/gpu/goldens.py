"""Logits on a device, in each dtype, against the official ones; a table of errors, exit 1 if one is past its tolerance.

    python scripts/gpu/goldens.py OUT.csv [--device cuda] [--dtypes float32,bfloat16,float16] [--only NAME,..]
    NAME: of a golden or a model, or mamba, dass, transformers, others

Models with goldens in tests/golden are compared with them; the others, with seeded random weights, against their own
float32 logits on the CPU, which the CPU suite compares with goldens. float32 is meant: TF32 is off. The error is the
largest one, absolute for float32 and over the largest logit for 16 bits.
"""

import argparse
import csv
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from niah.adapters.loading import load_model  # noqa: E402
from niah.adapters.protocol import Adapter  # noqa: E402
from niah.errors import one_line  # noqa: E402
from tests.helpers.goldens import load_golden  # noqa: E402

GOLDENS = {  # golden -> model
    "aum-base": "aum-base", "aum-small": "aum-small", "ssamba-tiny": "ssamba-tiny", "ssamba-small": "ssamba-small",
    "ssamba-base": "ssamba-base", "dass-small": "dass-small", "dass-small-strong": "dass-small",
    "dass-medium": "dass-medium", "dass-medium-strong": "dass-medium", "ast": "ast", "ast-interp": "ast-interp",
    "ast-sine": "ast-sin-base", "ssast-base": "ssast-base-patch", "audiomae-b": "audiomae-base", "passt-s": "passt-s",
}  # fmt: skip
OTHERS = (
    "beats-iter3", "eat-base", "htsat", "audio-mamba", "ced-tiny", "sat-tiny-2s", "dasheng-base", "elastic-ast",
    "cnn14", "mn04", "dymn04", "yamnet-float",
)  # fmt: skip
FAMILIES = {
    "mamba": [name for name in GOLDENS if name.startswith(("aum", "ssamba"))],
    "dass": [name for name in GOLDENS if name.startswith("dass")],
    "transformers": [n for n in GOLDENS if not n.startswith(("aum", "ssamba", "dass"))],
    "others": [*OTHERS],
}
TOLERANCE = {"float32": 2e-4, "bfloat16": 5e-2, "float16": 1e-2}
# 24 blocks of weights that bfloat16 rounds; the pass on a CPU in bfloat16 is 5.8e-2 off
WIDER = {("aum-base", "bfloat16"): 1e-1}
HEADER = ("name", "model", "against", "frames", "dtype", "kernel", "error", "tolerance", "ok")
Case = tuple[torch.Tensor, Any]


def with_golden(name: str, folder: Path) -> tuple[Path, list[Case]]:
    golden = load_golden(name)
    file = folder / f"{name}.pth"
    torch.save(golden.state, file)
    cases = []
    for (
        features,
        logits,
    ) in golden.cases():  # SSAMBA's and SSAST's hold other strides and poolings too
        plain = f"logits_{features.shape[1]}"
        cases.append((features, golden.arrays.get(plain, logits)))
    return file, cases


def with_random(model: str) -> list[Case]:
    adapter = load_model(model, "random")
    frames, mels = adapter.frontend.needle_frames, adapter.frontend.mels
    features = torch.randn(1, frames, mels, generator=torch.Generator().manual_seed(0))
    return [(features, adapter.logits(features).numpy())]


def rows(device: str, dtypes: list[str], only: list[str]) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        for name in only or [*GOLDENS, *OTHERS]:
            model = GOLDENS.get(name, name)
            file: Path | str = "random"
            if name in GOLDENS:
                file, cases = with_golden(name, Path(folder))
            else:
                cases = with_random(model)
            against = "golden" if name in GOLDENS else "cpu"
            for dtype in dtypes:  # a network's weights by rule take longer than its passes
                known = {"name": name, "model": model, "against": against, "dtype": dtype}
                try:
                    adapter = load_model(model, file, device=device, dtype=dtype)
                    for case in cases:
                        yield known | compared(adapter, case, name, dtype)
                except Exception as error:  # the others are measured all the same
                    traceback.print_exc()
                    yield known | {"error": one_line(error), "ok": False}
            if isinstance(file, Path):
                file.unlink()


def compared(adapter: Adapter, case: Case, name: str, dtype: str) -> dict[str, Any]:
    """Return the columns of a row that a pass gives."""
    features, expected = case
    logits = adapter.logits(features).float().cpu().numpy()
    error = float(abs(logits - expected).max())
    error /= 1.0 if dtype == "float32" else float(abs(expected).max())
    tolerance = WIDER.get((name, dtype), TOLERANCE[dtype])
    return {
        "frames": features.shape[1],
        "kernel": adapter.kernel,
        "error": f"{error:.3g}",
        "tolerance": tolerance,
        "ok": error <= tolerance,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtypes", default="float32,bfloat16,float16")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    only = [each for name in options.only.split(",") if name for each in FAMILIES.get(name, [name])]
    failed = 0
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, HEADER, lineterminator="\n")
        writer.writeheader()
        for row in rows(options.device, options.dtypes.split(","), only):
            writer.writerow(row)
            stream.flush()
            print(*row.values())
            failed += not row["ok"]
    print(f"{failed} past their tolerance" if failed else "all within their tolerance")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
