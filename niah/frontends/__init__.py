"""Front ends: a waveform as the log-mel frames that a model was trained on.

    kaldi   AST (AST, DASS, SSAST, SSAMBA, AuM, Audio-MAE), EAT (EAT, SSLAM), BEATS
    stft    PASST (PaSST, EfficientAT), HTSAT (HTS-AT, Audio Mamba, Cnn14), PANNS_16K (Cnn14 at 16 kHz)

Scenes need more of a front end than a model does: a haystack's mel *energies* are computed once and used at any gain,
so the logarithm, with its floor or offset, is a separate step. `Frontend` is the interface that scenes, needles and
adapters use; the classes of this package are frozen dataclasses.
"""

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["Frontend"]


@runtime_checkable
class Frontend(Protocol):
    """A front end as the harness uses it. Frames are 10 ms apart; features are normalised float32.

    A *level* is a normalised log energy before the floor: features = finish(levels(E) + gain_level(g)) for energies E
    of a sound at gain g.
    """

    @property
    def sample_rate(self) -> int: ...
    @property
    def mels(self) -> int: ...
    @property
    def frame_length(self) -> int:
        """Return the samples of one frame."""

    @property
    def frame_shift(self) -> int:
        """Return the samples from one frame to the next: 10 ms."""

    @property
    def lead(self) -> int:
        """Return by how many samples the first frame begins before the clip: half a window where frames are centred."""

    @property
    def needle_frames(self) -> int:
        """Return the frames of a 10 s clip in the model's input."""

    @property
    def removes_mean(self) -> bool:
        """Return whether a clip's mean is subtracted from its waveform first."""

    @property
    def silence(self) -> float:
        """Return the feature of digital silence."""

    @property
    def zero_row(self) -> tuple[float, ...]:
        """Return the data set's mean log-mel as features, one value or one a mel; () where only a checkpoint has it."""

    @property
    def fingerprint(self) -> str:
        """Return a stable hash of all parameters, for cache keys and cell keys."""

    def frames(self, samples: int) -> int:
        """Return the frames that the call makes of a clip of `samples` samples; 0 if it is too short."""

    def samples(self, frames: int) -> int:
        """Return the fewest samples that have `frames` whole frames."""

    def energies(self, waveform: "Tensor") -> "Tensor":
        """Compute the mel power of whole frames, without padding: (B, samples) -> (B, frames, mels)."""

    def log_mel(self, energies: "Tensor") -> "Tensor":
        """Compute the logarithm of energies of any shape, with its floor or offset."""

    def normalise(self, log_mel: "Tensor") -> "Tensor":
        """Normalise log-mel values of any shape to features."""

    def levels(self, energies: "Tensor") -> "Tensor":
        """Compute normalised log energies without floor or offset, -inf where E is 0; may overwrite its argument."""

    def gain_level(self, gain: float) -> float:
        """Return the level that a gain of the waveform adds."""

    def finish(self, levels: "NDArray[np.float32]", lowest: float) -> None:
        """Apply the floor: levels to features, in place.

        Args:
            levels: (.., mels) float32, is overwritten.
            lowest: no level is below it, which may make the floor unnecessary.
        """

    def needle(self, waveform: "Tensor") -> "Tensor":
        """Pad or cut a clip (samples,) to a needle (needle_frames, mels); the caller subtracts its mean before."""

    def __call__(self, waveform: "Tensor") -> "Tensor":
        """Compute the features of whole clips, not padded in time: (B, samples) -> (B, frames, mels)."""
