"""Score a network while it trains: the benchmark's own metrics over whole 10 s clips, in float32.

Logits of 16 bits tie clips that the network ranks, of a young network nearly all of them.
"""

import numpy as np
import torch
from torch import nn

from niah.frontends import Frontend
from niah.metrics.average_precision import (
    auc,
    average_precision,
    d_prime,
    mean_auc,
    mean_average_precision,
)
from niah.training.data.batch import normalised
from niah.training.data.clips import FeatureClips
from niah.training.processes import Processes

BATCH = 16


@torch.inference_mode()
def validate(
    network: nn.Module, frontend: Frontend, clips: FeatureClips, processes: Processes
) -> dict[str, float]:
    """Return mAP, mean AUC and d' of the network with its present weights; the processes share the clips.

    Args:
        network: is left in evaluation mode.
        frontend: the network's.
        clips: validation clips.
        processes: this process and its device.
    """
    network.eval()
    count = len(clips)
    rows = np.arange(-(-count // processes.count) * processes.count) % count  # equal shares
    mine = rows[processes.share]
    logits = []
    for first in range(0, len(mine), BATCH):
        features = clips.features(mine[first : first + BATCH]).to(processes.device)
        logits.append(network(normalised(frontend, features)))
    gathered = processes.gather(torch.cat(logits))[:count].double().cpu().numpy()
    targets = clips.targets > 0.5
    area = mean_auc(auc(targets, gathered))
    return {
        "validation_mAP": mean_average_precision(average_precision(targets, gathered)),
        "validation_auc": area,
        "validation_d_prime": d_prime(area),
    }
