"""The mean log-mel that a checkpoint has learned, for front ends whose normalisation is in the network."""

import dataclasses

from torch import nn

from niah.frontends import Frontend
from niah.frontends.log_mel import LogMelFrontend
from niah.frontends.stft import StftFrontend


def with_learned_mean(frontend: Frontend, norm: nn.BatchNorm1d) -> Frontend:
    """Set a front end's mean log-mel to the one that the checkpoint's batch normalisation stores.

    It is what the haystack `zero` plays.

    Args:
        frontend: the model's; one that has a mean of its own is returned unchanged.
        norm: the batch normalisation before the network, of one channel a mel band.

    Returns:
        The front end.
    """
    assert norm.running_mean is not None
    row = norm.running_mean.tolist()
    if isinstance(frontend, StftFrontend):
        return frontend.with_zero_row(row)
    if isinstance(frontend, LogMelFrontend):
        return dataclasses.replace(frontend, mean_log_mel=tuple(row))
    return frontend


def makes_the_features_of(one: Frontend, other: Frontend) -> bool:
    """Return whether two front ends make the same features, of which a learned mean log-mel is no part."""
    return _without_mean(one).fingerprint == _without_mean(other).fingerprint


def _without_mean(frontend: Frontend) -> Frontend:
    if isinstance(frontend, StftFrontend):
        return dataclasses.replace(frontend, zero_row=())
    if isinstance(frontend, LogMelFrontend):
        return dataclasses.replace(frontend, mean_log_mel=())
    return frontend
