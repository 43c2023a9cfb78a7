"""Log-mel features of training clips on disk, made once."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from niah.audio import AudioError
from niah.audio.reader_version import reader_version
from niah.frontends import Frontend
from niah.training.data.batch import log_mel_of_sounds
from niah.training.data.clips import FeatureClips
from niah.training.data.reading import read_samples
from niah.training.data.row_store import ALONE, RowStore, Share, refuse_beyond

if TYPE_CHECKING:
    from niah.needles import Needle, NeedleSet

LARGEST_FEATURES_GB = 100.0
_FORMAT = "2"


def load_features(
    needles: "NeedleSet",
    frontend: Frontend,
    cache: Path,
    *,
    share: Share = ALONE,
    largest_gb: float = LARGEST_FEATURES_GB,
) -> FeatureClips:
    """Return the clips' features from the cache; missing or damaged ones are computed.

    float16 holds log-mel (-16 to 16) to 0.008, far below any augmentation.

    Args:
        needles: training or validation clips.
        frontend: the network's.
        cache: folder of the store.
        share: blocks that this process computes.
        largest_gb: largest store that is made.

    Raises:
        NiahError: a clip that cannot be read, more than `largest_gb` gigabytes, no room on the disk.
    """
    shape = (len(needles.needles), frontend.needle_frames, frontend.mels)
    path = cache / f"{content_key(needles, frontend)}.npy"
    store = RowStore(path, shape, np.dtype(np.float16))
    instead = 'set pipeline = "waveform", which stores none, or allow it with --features-gb'
    refuse_beyond(store, largest_gb, instead)
    rows = store.load_or_make(
        lambda first, last: feature_rows(needles, frontend, first, last), "training features", share
    )
    return FeatureClips(rows, needles.targets().astype(np.float32))


def feature_rows(
    needles: "NeedleSet", frontend: Frontend, first: int, last: int
) -> NDArray[np.float16]:
    """Compute log-mel of some clips, each less its mean and before normalisation.

    Args:
        needles: the set.
        frontend: the network's.
        first: first clip.
        last: one past the last clip.

    Returns:
        (last - first, frames, mels) float16.
    """
    rows = [feature_row(needle, frontend) for needle in needles.needles[first:last]]
    return np.stack(rows)


def feature_row(needle: "Needle", frontend: Frontend) -> NDArray[np.float16]:
    """Compute log-mel of a clip, (frames, mels) float16, less its mean and before normalisation.

    Raises:
        AudioError: it cannot be read.
    """
    samples = torch.from_numpy(read_samples(needle.source, frontend.sample_rate))
    longest = frontend.samples(frontend.needle_frames)
    sound = (samples - samples.mean())[None, :longest]
    return log_mel_of_sounds(frontend, sound, (sound.shape[1],))[0].numpy().astype(np.float16)


def content_key(needles: "NeedleSet", frontend: Frontend) -> str:
    """Return the name of a file that is computed from these clips' sound by that front end.

    Args:
        needles: the set.
        frontend: the network's.
    """
    contents = [_digest(needle) for needle in needles.needles]
    text = "\n".join([_FORMAT, reader_version(), frontend.fingerprint, *contents])
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _digest(needle: "Needle") -> str:
    """Return the hash of a clip's sound, or why there is none: who needs its features says so."""
    try:
        return needle.source.digest()
    except AudioError as error:
        return error.reason
