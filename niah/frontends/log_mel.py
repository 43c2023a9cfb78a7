"""A log-mel front end by card: the table [frontend] says what librosa, torchaudio or TensorFlow computed.

    S[f] = |FFT_n(w * frame)[f]|^power              frames `hop_length` apart, the window filled up with zeros to n_fft
    E[k] = sum_f M[k, f] S[f]                       mel power, or mel magnitude where power is 1
    features = (log(E) - mean) / std                log: ln, log10 or dB, with an offset on E or a floor under it

The words are those of librosa and torchaudio (docs/your-model.md lists the keys). M is librosa's mel bank: `htk` and
`slaney` are triangles in Hz with edges on that mel scale, as librosa and torchaudio have them; `kaldi` are triangles
straight on the HTK scale, as Kaldi and TensorFlow (`tf.signal.linear_to_mel_weight_matrix`) have them.

Padding is for the true ends of a clip. `energies` pads nothing: a haystack is made of whole frames.

A network of patches has more frames of a clip where they are not centred, as YAMNet's authors fill the waveform up
with zeros to a whole patch (tensorflow/models, research/audioset/yamnet/features.py, `pad_waveform`): each frame that
begins in the clip, up to the end of the last patch that the clip reaches into. `niah.adapters.patches` fills the rest
of that patch up with silence, which is what zeros are.
"""

import functools
import hashlib
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from niah.cards import ModelCard
from niah.errors import NiahError
from niah.frontends.blocks import check_waveform, mel_power, squared_spectrum
from niah.frontends.log_mel_checks import problems_of
from niah.frontends.log_stage import LogStage, Staged
from niah.frontends.mel import mel_bank, row_of
from niah.toml_tables import build


@dataclass(frozen=True)
class LogMelFrontend(Staged):
    """Front end with the parameters of a card; lengths in samples, frequencies in Hz.

    `patch_frames` and `patch_hop` (frames) are those of a network that takes patches (`niah.adapters.patches`);
    0 is one that takes whole inputs. `mean_log_mel`, one value or one a mel, is what the haystack `zero` plays.
    """

    sample_rate: int
    n_fft: int
    hop_length: int
    n_mels: int
    log: str
    win_length: int = 0  # 0: n_fft
    window: str = "hann"
    periodic: bool = True
    window_pad: str = (
        "both"  # where zeros fill the window up to n_fft: "end" in TensorFlow and Kaldi
    )
    center: bool = True
    pad_mode: str = "reflect"
    power: int = 2
    f_min: float = 0.0
    f_max: float | None = None  # None: half the sample rate
    mel_scale: str = "htk"
    norm: str = "none"
    offset: float = 0.0
    floor: float = 0.0
    top_db: str = "none"
    mean: float = 0.0
    std: float = 1.0
    mean_log_mel: tuple[float, ...] = ()
    patch_frames: int = 0
    patch_hop: int = 0  # 0: patch_frames

    def __post_init__(self) -> None:
        for name in ("f_min", "offset", "floor", "mean", "std"):  # 125 and 125.0 are one front end
            object.__setattr__(self, name, float(getattr(self, name)))
        object.__setattr__(self, "win_length", self.win_length or self.n_fft)
        object.__setattr__(self, "patch_hop", self.patch_hop or self.patch_frames)
        object.__setattr__(
            self, "f_max", float(self.sample_rate / 2 if self.f_max is None else self.f_max)
        )
        for problem in problems_of(self):
            raise NiahError(problem)

    @property
    def fingerprint(self) -> str:
        """Stable hash of all parameters, for cache keys and cell keys."""
        parts = sorted(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self))
        version = "card-log-mel-2" if self._fills_up else "card-log-mel-1"
        return hashlib.sha256("\n".join([version, *parts]).encode()).hexdigest()[:16]

    @property
    def mels(self) -> int:
        return self.n_mels

    @property
    def frame_shift(self) -> int:
        return self.hop_length

    @property
    def frame_length(self) -> int:
        """Samples of the FFT, or of the window where zeros stand behind it."""
        return self.win_length if self.window_pad == "end" else self.n_fft

    @property
    def lead(self) -> int:
        """Half the FFT where frames are centred."""
        return self.n_fft // 2 if self.center else 0

    @property
    def zero_row(self) -> tuple[float, ...]:
        """Normalised `mean_log_mel`; without it 0 where the front end takes a data set's mean off, else ()."""
        if self.mean_log_mel:
            return tuple((value - self.mean) / self.std for value in self.mean_log_mel)
        return (0.0,) if self.mean else ()

    @property
    def is_10_ms(self) -> bool:
        """Return whether frames lie 10 ms apart, as those of scenes do."""
        return 100 * self.hop_length == self.sample_rate

    def frames(self, samples: int) -> int:
        """Frames of a clip: 1 + n // hop centred, 1 + (n - length) // hop else; 0 if too few to fill or reflect one.

        Where the end is filled up for patches, ceil(n / hop), or those of the patches that the clip reaches into if
        they are fewer: 0 of no samples alone.
        """
        if self.center:
            return 1 + samples // self.hop_length if samples > self.lead else 0
        if not self._fills_up:
            return max(0, 1 + (samples - self.frame_length) // self.hop_length)
        beyond_first = samples - self.samples(self.patch_frames)
        more_patches = max(0, -(-beyond_first // (self.patch_hop * self.hop_length)))
        in_patches = self.patch_frames + more_patches * self.patch_hop
        return min(-(-samples // self.hop_length), in_patches)

    def samples(self, frames: int) -> int:
        """Fewest samples under that many whole frames."""
        return self.frame_length + (frames - 1) * self.hop_length if frames > 0 else 0

    def row_of(self, hertz: float) -> float:
        """Mel row (fractional, 0 to mels) that lies at that frequency, for pictures' axes."""
        scale = "slaney" if self.mel_scale == "slaney" else "kaldi"
        return row_of(hertz, self.n_mels, self.f_min, self.high_hz, scale)  # type: ignore[arg-type]

    def energies(self, waveform: Tensor) -> Tensor:
        """Mel power (or magnitude) of whole frames, unpadded: (B, samples) -> (B, frames, mels)."""
        return mel_power(
            waveform,
            self._spectrum,
            self._bank(waveform),
            frames=max(0, 1 + (waveform.shape[-1] - self.frame_length) // self.hop_length),
            shift=self.hop_length,
            length=self.frame_length,
        )

    def __call__(self, waveform: Tensor) -> Tensor:
        """Compute features of whole clips: (B, samples) -> (B, frames, mels).

        Both ends are padded if frames are centred, the end is filled up with zeros for patches.

        Raises:
            NiahError: another shape, or no floats.
        """
        check_waveform(waveform)
        frames = self.frames(waveform.shape[-1])
        if frames == 0:
            return waveform.new_empty((waveform.shape[0], 0, self.n_mels))
        if self.center:
            ends = (self.lead, self.lead)
            waveform = torch.nn.functional.pad(waveform[:, None], ends, self.pad_mode)[:, 0]
        elif self._fills_up:
            missing = max(0, self.samples(frames) - waveform.shape[-1])
            waveform = torch.nn.functional.pad(waveform, (0, missing))
        return self.normalise(self.log_mel(self.energies(waveform)))

    @property
    def _fills_up(self) -> bool:
        """Return whether the end of a clip is filled up for a network of patches."""
        return self.patch_frames > 0 and not self.center

    @property
    def _stage(self) -> LogStage:
        units = {"ln": 1.0, "log10": 1 / math.log(10), "dB": 20 / self.power / math.log(10)}
        return LogStage(
            self.offset or self.floor,
            adds_floor=self.offset > 0,
            unit=units[self.log],
            mean=self.mean,
            scale=self.std,
            power=self.power,
        )

    @property
    def high_hz(self) -> float:
        """Upper end of the mel range."""
        assert self.f_max is not None
        return self.f_max

    def _spectrum(self, samples: Tensor) -> Tensor:
        """|FFT|^power of each frame: (samples,) -> (frames, n_fft / 2)."""
        frames = samples.unfold(0, self.frame_length, self.hop_length)
        padded = samples.new_zeros((frames.shape[0], self.n_fft))
        window = _window(
            self.window,
            self.win_length,
            self.periodic,
            self.frame_length,
            samples.dtype,
            samples.device,
        )
        torch.mul(frames, window, out=padded[:, : self.frame_length])
        spectrum = squared_spectrum(padded)
        return spectrum if self.power == 2 else spectrum.sqrt_()

    def _bank(self, like: Tensor) -> Tensor:
        size = self.n_mels, self.n_fft, self.sample_rate, self.f_min, self.high_hz
        if self.mel_scale == "kaldi":
            return mel_bank(*size, "kaldi", like.dtype, like.device)
        return _librosa_bank(
            *size, self.mel_scale == "htk", self.norm == "slaney", like.dtype, like.device
        )


def from_card(card: ModelCard) -> LogMelFrontend:
    """Make the front end of a card's [frontend].

    Raises:
        NiahError: no such table, or a key that is unknown, missing, of another type or of a value that makes no front
            end; file and key are named.
    """
    where = f"card {card.path}"
    if not card.frontend:
        raise NiahError(
            f"{where}: [frontend] is missing: it says how the model's features are computed"
        )
    try:
        return build(LogMelFrontend, card.frontend, where, prefix="frontend.")
    except OverflowError:
        raise NiahError(f"{where}: [frontend] holds a number that is too large") from None
    except NiahError as error:
        if str(error).startswith(where):
            raise
        key, _, problem = str(error).partition(" ")
        raise NiahError(f"{where}: key 'frontend.{key}' {problem}") from None


@functools.lru_cache(maxsize=16)
def _window(
    name: str,
    length: int,
    periodic: bool,
    frame_length: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    """Window (frame_length,): `length` samples in the middle of zeros."""
    make: dict[str, Callable[..., Tensor]] = {
        "hann": torch.hann_window,
        "hamming": torch.hamming_window,
        "blackman": torch.blackman_window,
        "bartlett": torch.bartlett_window,
    }
    if name == "rectangular":
        window = torch.ones(length, dtype=torch.float64)
    else:
        window = make[name](length, periodic=periodic, dtype=torch.float64)
    left = (frame_length - length) // 2
    window = torch.nn.functional.pad(window, (left, frame_length - length - left))
    return window.to(device, dtype)


@functools.lru_cache(maxsize=16)
def _librosa_bank(
    mels: int,
    fft_size: int,
    sample_rate: int,
    low_hz: float,
    high_hz: float,
    htk: bool,
    slaney_norm: bool,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    """librosa's mel weights (fft_size / 2, mels); a mel that no bin reaches is empty, and always at the floor."""
    import librosa

    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # of empty mels, which their model was trained with
        bank = librosa.filters.mel(
            sr=sample_rate,
            n_fft=fft_size,
            n_mels=mels,
            fmin=low_hz,
            fmax=high_hz,
            htk=htk,
            norm="slaney" if slaney_norm else None,
            dtype=np.float64,
        )
    return torch.from_numpy(bank[:, :-1].T.copy()).to(device, dtype)
