"""Evidence of where a model heard its highest classes in the scene."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from niah.adapters.scoring import scored
from niah.errors import NiahError
from niah.preview.scene import PreviewScene

if TYPE_CHECKING:
    from niah.adapters.protocol import Adapter
    from niah.preview.evidence import Evidence

_TOP_CLASSES = 4  # curves in one panel
_HIDDEN_S, _MOST_WINDOWS = 5.0, 50  # of occlusion: finer than for a hit rate, as it is one scene


def evidence_in(
    adapter: "Adapter", scene: PreviewScene, features: NDArray[np.float32], method: str
) -> "Evidence":
    """Compute a model's evidence along the scene, for its highest classes.

    Args:
        adapter: the model.
        scene: what is shown.
        features: (frames, mels) float32 of the scene.
        method: `positions`, `occlusion`, or `auto`: positions where the model has them.

    Returns:
        The curve and the classes to show.

    Raises:
        NiahError: an unknown method, or one that the model does not have.
    """
    import torch

    from niah.adapters.wrappers.sliding_window import over_windows
    from niah.diagnosis.localisation import evidence
    from niah.preview.evidence import Evidence

    whole, scorer = torch.from_numpy(features), over_windows(adapter)
    if method not in ("auto", *evidence.METHODS):
        raise NiahError(f"--method '{method}': must be auto, {' or '.join(evidence.METHODS)}")
    if method == "auto":
        method = "positions" if evidence.has_positions(adapter) else "occlusion"
    if method == "positions":
        curve = evidence.position_curve(adapter, whole)
    else:
        filling = scene.builder.scene(
            None,
            scene.clip_id,
            length_s=scene.length_s,
            position=scene.start / max(1, scene.total),  # no needle: it makes no difference
            snr_db=scene.snr_db,
            like=scene.needle,
        )
        hop_s = max(1.0, round(scene.length_s / _MOST_WINDOWS, 2))
        window_s = max(_HIDDEN_S, hop_s)
        curve = evidence.occlusion_curve(scorer, whole, filling, window_s=window_s, hop_s=hop_s)
    scores = torch.sigmoid(scored(scorer, whole[None])[0])
    top = torch.argsort(scores, descending=True, stable=True)[:_TOP_CLASSES].tolist()
    return Evidence(
        adapter.name,
        curve,
        columns=tuple(top),
        names=tuple(adapter.labels.names[index] for index in top),
        scores=tuple(float(scores[index]) for index in top),
    )
