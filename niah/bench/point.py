"""One measurement of `niah bench`: a model, a length and its settings."""

import hashlib
import json
from dataclasses import asdict, dataclass

from niah.adapters.model_source import ModelRequest
from niah.placement import scene_frames
from niah.sweep.options import check_kernel, check_window
from niah.system.devices import check_device_name, check_dtype_name

FAIR, PUBLISHED = "fair", "published"
RATES = "rates"


@dataclass(frozen=True)
class BenchPoint:
    """One measurement. `published` is as the papers' scripts ran: full attention matrices, training mode."""

    model: str
    length_s: float  # 0: the length that gives `tokens`
    tokens: int = 0
    variant: str = FAIR
    checkpoint: str = "random"
    batch_size: int = 1
    repeats: int = 5
    warmup: int = 1
    device: str = "auto"
    dtype: str = "float32"
    kernel: str = "auto"
    window_s: float | None = None
    training: bool = False  # as published: eval() was never called
    labels: str = ""  # this and the following: of models without a card, as in `niah run`
    sample_rate: int | None = None
    prompt: str = ""
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        if not self.tokens and self.length_s:
            scene_frames(self.length_s, needle_frames=1)
        if self.window_s is not None:
            check_window(self.window_s)
        check_kernel(self.kernel)
        check_dtype_name(self.dtype)
        check_device_name(self.device)

    @property
    def key(self) -> str:
        """Return a hash of all settings; those of models without a card count where they are set."""
        settings = asdict(self)
        for name in ("labels", "sample_rate", "prompt", "trust_remote_code"):
            if not settings[name]:
                del settings[name]
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def request(self) -> ModelRequest:
        """Return what the point says of a model without a card."""
        return ModelRequest(self.labels, self.sample_rate, self.prompt, self.trust_remote_code)

    @property
    def name(self) -> str:
        """Return the point in words: "dass-small 300 s"."""
        size = f"{self.tokens} tokens" if self.tokens else f"{self.length_s:g} s"
        return f"{self.model} {size}" + (f" ({self.variant})" if self.variant != FAIR else "")

    @property
    def series(self) -> "BenchPoint":
        """Return the point without its length: points of one curve have the same."""
        return BenchPoint(**{**asdict(self), "length_s": 0.0, "tokens": 0})
