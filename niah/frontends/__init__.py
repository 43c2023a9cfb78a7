"""Front ends: a waveform as the log-mel frames that a model was trained on.

    kaldi   AST (AST, DASS, SSAST, SSAMBA, AuM, Audio-MAE), EAT (EAT, SSLAM), BEATS
    stft    PASST, HTSAT

Scenes need more of a front end than a model does: a haystack's mel *energies* are computed once and played at any
gain, so the logarithm is a stage of its own, with its own floor or offset. `Frontend` is all that scenes, needles and
adapters use; the classes of this package are frozen and have it.
"""

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["Frontend"]


@runtime_checkable
class Frontend(Protocol):
    """A front end as the harness uses it. Frames lie 10 ms apart; features are float32, normalised.

    A *level* is a normalised log energy before the floor: features = finish(levels(E) + gain_level(g)) for energies E
    of a sound played at gain g.
    """

    @property
    def sample_rate(self) -> int: ...
    @property
    def mels(self) -> int: ...
    @property
    def frame_length(self) -> int:
        """Samples under one whole frame."""

    @property
    def frame_shift(self) -> int:
        """Samples from a frame to the next: 10 ms."""

    @property
    def lead(self) -> int:
        """Samples by which a clip's first frame begins before the clip: half a window where frames are centred."""

    @property
    def needle_frames(self) -> int:
        """Frames that a 10 s clip is given to the model as."""

    @property
    def removes_mean(self) -> bool:
        """Return whether a clip's mean is taken off its waveform first."""

    @property
    def silence(self) -> float:
        """A feature of digital silence."""

    @property
    def zero_row(self) -> tuple[float, ...]:
        """The data set's mean log-mel as features, one value or one a mel; () where only a checkpoint knows it."""

    @property
    def fingerprint(self) -> str:
        """Stable hash of all parameters, for cache keys and cell keys."""

    def frames(self, samples: int) -> int:
        """Frames of a clip of that many samples, as the call gives them; 0 if it is too short."""

    def samples(self, frames: int) -> int:
        """Fewest samples under that many whole frames."""

    def energies(self, waveform: "Tensor") -> "Tensor":
        """Mel power of whole frames, no padding: (B, samples) -> (B, frames, mels)."""

    def log_mel(self, energies: "Tensor") -> "Tensor":
        """Logarithm of energies, with its floor or offset; any shape."""

    def normalise(self, log_mel: "Tensor") -> "Tensor":
        """Features of log-mel values; any shape."""

    def levels(self, energies: "Tensor") -> "Tensor":
        """Normalised log energies without floor or offset, -inf where E is 0; may overwrite its argument."""

    def gain_level(self, gain: float) -> float:
        """Return what a gain of the waveform adds to a level."""

    def finish(self, levels: "NDArray[np.float32]", lowest: float) -> None:
        """Levels to features, in place: the floor. No level is below `lowest`, which may make it needless."""

    def needle(self, waveform: "Tensor") -> "Tensor":
        """A clip (samples,) padded or cut to a needle: (needle_frames, mels). Its mean is the caller's to remove."""

    def __call__(self, waveform: "Tensor") -> "Tensor":
        """Features of whole clips, unpadded in time: (B, samples) -> (B, frames, mels)."""
