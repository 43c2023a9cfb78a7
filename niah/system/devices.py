"""Names of devices and precisions, checked without importing torch."""

import re

from niah.errors import NiahError

DTYPES = ("float32", "bfloat16", "float16")
_DEVICE = re.compile(r"auto|cpu|cuda(:[0-9]{1,3})?", re.ASCII)


def check_device_name(device: str) -> str:
    """Return the name of a device. Only its spelling is checked, not that there is one.

    Raises:
        NiahError: it is not auto, cpu, cuda or cuda:N.
    """
    if not _DEVICE.fullmatch(device):
        raise NiahError(f"--device: unknown device '{device}': use auto, cpu, cuda or cuda:N")
    return device


def check_dtype_name(dtype: str) -> str:
    """Return the name of a precision.

    Raises:
        NiahError: it is not float32, bfloat16 or float16.
    """
    if dtype not in DTYPES:
        raise NiahError(f"--dtype: unknown dtype '{dtype}': use {', '.join(DTYPES)}")
    return dtype
