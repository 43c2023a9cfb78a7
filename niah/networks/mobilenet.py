"""EfficientAT's MobileNets: MobileNetV3-Large over log-mel, of any width (arXiv 2211.04772; official `models/mn`).

    (B, T, M) -> (B, 1, M, T) -> 3 x 3 convolution, halved -> 15 inverted residual blocks, 4 of them halving
      -> 1 x 1 convolution -> mean over mels and time -> linear, hard swish -> linear to classes

Glossary: B batch, T frames, M mels, C channels. An inverted residual block widens by a 1 x 1 convolution, filters each
channel by itself, weighs channels by a squeeze-and-excitation (8 of the 15), and narrows again.

Any length has logits, by the official code too. A squeeze takes the mean of a channel over all mels and all time, so
every position depends on the whole input: it cannot be computed in parts. What follows the last mean is not linear:
there are no logits of single positions.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

NORM_EPS = 1e-3
DROPOUT = 0.2
FIRST, LAST = (
    16,
    1280,
)  # channels of the first convolution, and of the layer before the classes, at width 1
_TABLE = (  # kernel, widened to, channels, squeezes, hard swish (else ReLU), stride
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)


@dataclass(frozen=True)
class MobileNetConfig:
    """Settings; the defaults are mn10."""

    width: float = 1.0
    mels: int = 128
    squeeze: int = 4  # by which a squeeze narrows its channels
    classes: int = 527


@dataclass(frozen=True)
class BlockShape:
    """Sizes of one inverted residual block."""

    kernel: int
    inputs: int
    widened: int
    outputs: int
    squeezes: bool
    activation: type[nn.Module]
    stride: int

    @property
    def keeps_shape(self) -> bool:
        """Return whether the block's input is added to its output."""
        return self.stride == 1 and self.inputs == self.outputs


def divisible(channels: float) -> int:
    """Round to the nearest multiple of 8, at least 8 and at least 90 %."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def block_shapes(width: float) -> Iterator[BlockShape]:
    """Yield the blocks of a network that is `width` times as wide as MobileNetV3-Large."""
    inputs = divisible(FIRST * width)
    for kernel, widened, channels, squeezes, hard, stride in _TABLE:
        outputs = divisible(channels * width)
        activation = nn.Hardswish if hard else nn.ReLU
        widened_to = divisible(widened * width)
        yield BlockShape(kernel, inputs, widened_to, outputs, squeezes, activation, stride)
        inputs = outputs


def largest_map(width: float, frames: int, mels: int) -> int:
    """Count the elements of a clip's largest map: of a block that has widened and not yet halved."""
    frames, mels, largest = halved(frames), halved(mels), 0
    for shape in block_shapes(width):
        largest = max(largest, shape.widened * frames * mels)
        if shape.stride == 2:
            frames, mels = halved(frames), halved(mels)
    return largest


def halved(size: int) -> int:
    """Return the size after a padded convolution of stride 2."""
    return (size + 1) // 2


def norm(channels: int) -> nn.BatchNorm2d:
    """Make the batch norm that follows every convolution."""
    return nn.BatchNorm2d(channels, eps=NORM_EPS, momentum=0.01)


def conv_norm(
    inputs: int,
    outputs: int,
    kernel: int,
    activation: type[nn.Module] | None,
    *,
    stride: int = 1,
    groups: int = 1,
) -> nn.Sequential:
    """Make a convolution, its batch norm and an activation."""
    padding = (kernel - 1) // 2
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    return nn.Sequential(conv, norm(outputs), *([activation()] if activation else []))


def classifier(inputs: int, width: float, classes: int) -> nn.Sequential:
    """Make the head: (B, C, F, T) -> (B, classes)."""
    hidden = divisible(LAST * width)
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(inputs, hidden),
        nn.Hardswish(),
        nn.Dropout(DROPOUT),
        nn.Linear(hidden, classes),
    )


def draw(network: nn.Module) -> None:
    """Draw random weights so that an untrained network passes its input on to the logits.

    The official ones are smaller: of convolutions by what a layer gives, not what it takes, and 0.01 in the head. In
    training, batch norm makes the scale of no account; in evaluation, where it has seen nothing, logits would be 1e-10.
    """
    head = set(network.get_submodule("classifier").modules())
    for module in network.modules():
        if isinstance(module, nn.Conv2d) or (module in head and isinstance(module, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.01)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


class Squeeze(nn.Module):
    """Squeeze-and-excitation: each channel times a sigmoid of all channels' means, (B, C, F, T) -> the same."""

    def __init__(self, channels: int, narrowed: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, narrowed)
        self.fc2 = nn.Linear(narrowed, channels)

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean(dim=(2, 3))
        weights: Tensor = self.fc2(self.fc1(means).relu()).sigmoid()
        return x * weights[:, :, None, None]


class ConcurrentSqueeze(nn.Module):
    """Holder of the squeezes by channel, mel and time; released models have the first alone."""

    def __init__(self, channels: int, narrowed: int) -> None:
        super().__init__()
        self.conc_se_layers = nn.ModuleList([Squeeze(channels, narrowed)])

    def forward(self, x: Tensor) -> Tensor:
        squeezed: Tensor = self.conc_se_layers[0](x)
        return squeezed


class InvertedResidual(nn.Module):
    """Block: (B, C, F, T) -> (B, C', F / stride, T / stride)."""

    def __init__(self, shape: BlockShape, squeeze: int) -> None:
        super().__init__()
        self.keeps_shape = shape.keeps_shape
        widened, activation = shape.widened, shape.activation
        layers: list[nn.Module] = []
        if widened != shape.inputs:
            layers.append(conv_norm(shape.inputs, widened, 1, activation))
        filters = conv_norm(
            widened, widened, shape.kernel, activation, stride=shape.stride, groups=widened
        )
        layers.append(filters)
        if shape.squeezes:
            layers.append(ConcurrentSqueeze(widened, divisible(widened // squeeze)))
        layers.append(conv_norm(widened, shape.outputs, 1, None))
        self.block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return out + x if self.keeps_shape else out


class MobileNet(nn.Module):
    """The network: (B, T, M) features -> (B, classes) logits."""

    def __init__(self, config: MobileNetConfig) -> None:
        super().__init__()
        self.config = config
        shapes = list(block_shapes(config.width))
        last = 6 * shapes[-1].outputs
        self.features = nn.Sequential(
            conv_norm(1, shapes[0].inputs, 3, nn.Hardswish, stride=2),
            *(InvertedResidual(shape, config.squeeze) for shape in shapes),
            conv_norm(shapes[-1].outputs, last, 1, nn.Hardswish),
        )
        self.classifier = classifier(last, config.width, config.classes)
        draw(self)

    def forward(self, features: Tensor) -> Tensor:
        """Compute logits: (B, T, M) -> (B, classes)."""
        image = features.transpose(1, 2)[:, None]
        logits: Tensor = self.classifier(self.features(image))
        return logits
