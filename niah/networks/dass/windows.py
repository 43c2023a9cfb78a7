"""Stacks of convolutions on a window of columns, with the same result as on the whole map.

Column t of the output of a convolution with kernel K, stride S and padding P depends on the input columns
tS - P .. tS - P + K - 1. `Windowed` goes back through a stack of layers to the input columns that a window needs, and
then forward; zeros replace columns beyond the ends of each layer's input, and only those.

Maps are (B, T, F, C); convolution kernels are as released, (out, in, mel, time).
"""

from collections.abc import Iterable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Chunk = tuple[int, int, int, int]  # batch items from, to; columns from, to


class Windowed:
    """Layers whose output at a column depends on few input columns: convolutions and pointwise layers.

    Kernels are transposed to the map's axis order once, so that one object serves all windows of a forward pass.
    """

    def __init__(self, layers: Iterable[nn.Module], *, fused: bool = False) -> None:
        """Prepare layers.

        Args:
            layers: convolutions, LayerNorms, pointwise layers.
            fused: whether LayerNorms are Triton kernels, which also add the bias of the convolution before them, and
                the stem's first convolution, LayerNorm and GELU are one.
        """
        self.layers = [layer for layer in layers if not isinstance(layer, nn.Identity)]
        self.fused = fused
        self.kernels = {
            layer: layer.weight.transpose(2, 3).contiguous(memory_format=torch.channels_last)
            for layer in self.layers
            if isinstance(layer, nn.Conv2d)
        }
        self.halves_features = False
        if fused:
            from niah.networks.dass.first_halving import fits

            self.halves_features = fits(self.layers)

    def size(self, columns: int) -> int:
        """Return the output columns of `columns` input columns; kernels are square, so also rows of rows."""
        for conv in self.kernels:
            columns = _after(conv, columns)
        return columns

    @property
    def channels(self) -> int:
        """Return the output channels."""
        return list(self.kernels)[-1].out_channels

    def needs(self, first: int, last: int, columns: int) -> tuple[int, int]:
        """Return the range of input columns for output columns first..last - 1, of an input of `columns` columns."""
        for conv, length in reversed(self._lengths(columns)):
            first, last = self._span(conv, first, last)
            first, last = max(first, 0), min(last, length)
        return first, last

    def window(
        self, x: Tensor, first: int, last: int, columns: int, out: Tensor | None = None
    ) -> Tensor:
        """Compute a window of output columns.

        Args:
            x: (B, t, F, C), the input columns that `needs` returns.
            first: output column.
            last: the output column after the last.
            columns: input columns of the whole map.
            out: (B, last - first, F', C'), contiguous, to write to; None makes it.

        Returns:
            (B, last - first, F', C').
        """
        lengths = dict(self._lengths(columns))
        spans = {}
        for conv in reversed(self.kernels):
            spans[conv] = first, last = self._span(conv, first, last)
            first, last = max(first, 0), min(last, lengths[conv])
        layers = self.layers
        if self.halves_features:
            conv = next(iter(self.kernels))
            x, layers = self._halve_features(x, conv, *spans[conv]), layers[3:]
        for last_layer, layer in zip((None, *layers), layers, strict=False):
            if isinstance(layer, nn.Conv2d):
                before, after = -spans[layer][0], spans[layer][1] - lengths[layer]
                if self.fused and x.shape[1] == lengths[layer]:  # the convolution pads by itself
                    before = after = 0
                    padding = _geometry(layer)[2]
                else:
                    padding = 0
                x = self._convolve(x, layer, max(before, 0), max(after, 0), padding)
            elif self.fused and isinstance(layer, nn.LayerNorm):
                x = self._normalise(x, layer, last_layer, out if layer is layers[-1] else None)
            else:
                x = layer(x)
        return x if out is None or x is out else out.copy_(x)

    def _halve_features(self, x: Tensor, conv: nn.Conv2d, first: int, last: int) -> Tensor:
        """Run the first three layers, whose convolution reads columns first..last - 1 of the features."""
        from niah.networks.dass.first_halving import first_halving

        norm = self.layers[1]
        assert isinstance(norm, nn.LayerNorm)
        assert conv.bias is not None
        columns = (last - first - 1) // 2  # three features for one, two more for each further one
        return first_halving(
            x.contiguous(), self.kernels[conv], conv.bias, norm, max(-first, 0), columns
        )

    def _normalise(
        self, x: Tensor, norm: nn.LayerNorm, last: nn.Module | None, out: Tensor | None
    ) -> Tensor:
        from niah.networks.dass.fused_kernels import layer_norm

        bias = last.bias if isinstance(last, nn.Conv2d) else None
        return layer_norm(x.contiguous(), norm.weight, norm.bias, norm.eps, before=bias, out=out)

    def _lengths(self, columns: int) -> list[tuple[nn.Conv2d, int]]:
        """Return each convolution with its number of input columns."""
        lengths = []
        for conv in self.kernels:
            lengths.append((conv, columns))
            columns = _after(conv, columns)
        return lengths

    @staticmethod
    def _span(conv: nn.Conv2d, first: int, last: int) -> tuple[int, int]:
        size, stride, padding = _geometry(conv)
        return first * stride - padding, (last - 1) * stride - padding + size

    def _convolve(
        self, x: Tensor, conv: nn.Conv2d, before: int, after: int, padding_in_time: int
    ) -> Tensor:
        if before or after:
            x = F.pad(x, (0, 0, 0, 0, before, after))
        padding = (padding_in_time, _geometry(conv)[2])
        kernel = self.kernels[conv]
        bias = (
            None if self.fused else conv.bias
        )  # every convolution of a map has its norm behind it
        y = F.conv2d(x.permute(0, 3, 1, 2), kernel, bias, conv.stride, padding, groups=conv.groups)
        return y.permute(0, 2, 3, 1)


def spans(first: int, last: int, size: int) -> list[tuple[int, int]]:
    """Cut columns `first`..`last` into ranges of at most `size` columns, and at least one."""
    size = max(1, size)
    return [(start, min(start + size, last)) for start in range(first, last, size)]


def parts(first: int, last: int, size: int) -> list[tuple[int, int]]:
    """Cut columns `first`..`last` into as few ranges of at most `size` columns as there can be, of about equal size."""
    count = max(1, -(-(last - first) // size))
    cuts = [first + (last - first) * i // count for i in range(count + 1)]
    return list(pairwise(cuts))


def _after(conv: nn.Conv2d, columns: int) -> int:
    size, stride, padding = _geometry(conv)
    return (columns + 2 * padding - size) // stride + 1


def _geometry(conv: nn.Conv2d) -> tuple[int, int, int]:
    """Return kernel size, stride and padding, the same along both axes."""
    return int(conv.kernel_size[1]), int(conv.stride[1]), int(conv.padding[1])
