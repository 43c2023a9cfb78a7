"""One measurement of `niah bench`: a model at a length, and how it is run."""

import hashlib
import json
from dataclasses import asdict, dataclass

FAIR, PUBLISHED = "fair", "published"
RATES = "rates"


@dataclass(frozen=True)
class BenchPoint:
    """One measurement. `published` is as the seeds' scripts ran: full attention matrices, training mode."""

    model: str
    length_s: float  # 0: as long as `tokens` says
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

    @property
    def key(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        size = f"{self.tokens} tokens" if self.tokens else f"{self.length_s:g} s"
        return f"{self.model} {size}" + (f" ({self.variant})" if self.variant != FAIR else "")

    @property
    def series(self) -> "BenchPoint":
        """The same at no length: what one curve is drawn of."""
        return BenchPoint(**{**asdict(self), "length_s": 0.0, "tokens": 0})
