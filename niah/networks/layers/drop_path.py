"""Stochastic depth (arXiv 1603.09382): a residual branch is left out for some clips of a training batch."""

from torch import Tensor, nn


class DropPath(nn.Module):
    """Zero each clip's branch with probability `rate` in training, the others divided by 1 - rate; as timm draws."""

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if self.rate == 0.0 or not self.training:
            return x
        stays = x.new_empty((len(x), *[1] * (x.ndim - 1))).bernoulli_(1 - self.rate)
        if self.rate < 1:
            stays.div_(1 - self.rate)
        return x * stays
