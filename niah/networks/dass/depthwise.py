"""SiLU of a depthwise 3 x 3 convolution on a channels-last map, on a CPU: one pass, without temporary maps.

    out[t, f, c] = silu( sum_{i, j in 0..2} kernel[i, j, c] x[t + i, f + j - 1, c] ),   silu(a) = a / (1 + exp(-a))

x has one column more than `out` on each side; rows outside the map are zeros. torch's convolution would copy such a map
to another memory layout and back, which costs more than the nine products.
"""

import numpy as np
from torch import Tensor

from niah.scan.cpu.compile import kernel
from niah.scan.cpu.math import exp_of_non_positive

_ZERO, _ONE = np.float32(0), np.float32(1)


@kernel()
def _add_rows(total, kernel, before, here, after):  # type: ignore[no-untyped-def]
    for c in range(total.shape[0]):
        total[c] += kernel[0, c] * before[c] + kernel[1, c] * here[c] + kernel[2, c] * after[c]


@kernel()
def _silu(total, out):  # type: ignore[no-untyped-def]
    for c in range(total.shape[0]):
        t = exp_of_non_positive(-abs(total[c]))
        out[c] = total[c] * (_ONE if total[c] >= _ZERO else t) / (_ONE + t)


@kernel()
def _depthwise_silu(x, kernel, out):  # type: ignore[no-untyped-def]
    columns, rows, channels = out.shape
    total, nothing = np.empty(channels, np.float32), np.zeros(channels, np.float32)
    for t in range(columns):
        for f in range(rows):
            total[:] = _ZERO
            for i in range(3):
                before = x[t + i, f - 1] if f > 0 else nothing
                after = x[t + i, f + 1] if f + 1 < rows else nothing
                _add_rows(total, kernel[i], before, x[t + i, f], after)
            _silu(total, out[t, f])


def depthwise_silu(x: Tensor, kernel: Tensor, out: Tensor) -> None:
    """Convolve one map and apply SiLU; all arrays are contiguous float32 on the CPU.

    Args:
        x: (T + 2, F, C).
        kernel: (3, 3, C), time first.
        out: (T, F, C), is overwritten.
    """
    _depthwise_silu(x.numpy(), kernel.numpy(), out.numpy())
