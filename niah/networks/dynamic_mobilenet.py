"""EfficientAT's dynamic MobileNets, DyMN (arXiv 2310.15648; official `models/dymn`).

The blocks of `niah.networks.mobilenet`, without squeezes; in each, a context of the block's input x sets what it does:

    s_f, s_t = mean of x over time, and over mels              (B, C, F), (B, C, T)
    s = hard swish(norm(W [s_f, s_t]))                         (B, H, F + T)
    h = mean of s over its F + T places                        (B, H)
    convolutions: kernels sum_k softmax(A h)_k W_k             of each clip, k = 1 .. K
    Dy-ReLU: max(a1 x + b1, a2 x + b2), a and b of h           after the middle convolution
    coordinate attention: x sigmoid(P s_f) sigmoid(Q s_t)      before the last convolution

Glossary: B batch, C channels, F mels, T frames, H context size, K kernels.

The context is a mean over F mels and T frames together: in 10 s the mels of the first blocks are an eighth of it, in
2.5 h they hardly count. The released models attend with a softmax of temperature 1.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from niah.networks.mobilenet import (
    BlockShape,
    block_shapes,
    classifier,
    conv_norm,
    divisible,
    draw,
    norm,
)

PIECES = 2  # linear pieces of a Dy-ReLU
NARROWED, LEAST_CONTEXT, MOST_CONTEXT = 4, 32, 128  # context: a quarter of the widened channels


@dataclass(frozen=True)
class DynamicMobileNetConfig:
    """Settings; the defaults are dymn10."""

    width: float = 1.0
    mels: int = 128
    kernels: int = 4
    classes: int = 527


@dataclass(frozen=True)
class Context:
    """Context of a block's input: `whole` (B, H), `by_mel` (B, C, F', 1) and `by_time` (B, C, 1, T')."""

    whole: Tensor
    by_mel: Tensor
    by_time: Tensor


class ContextGenerator(nn.Module):
    """Context of a map: (B, C, F, T) -> `Context`, its places of the halved map where the block halves."""

    def __init__(self, shape: BlockShape, size: int) -> None:
        super().__init__()
        self.joint_conv = nn.Conv2d(shape.inputs, size, 1, bias=False)
        self.joint_norm = norm(size)
        self.conv_f = nn.Conv2d(size, shape.widened, 1)
        self.conv_t = nn.Conv2d(size, shape.widened, 1)
        self.stride = shape.stride

    def forward(self, x: Tensor) -> Context:
        by_mel, by_time = x.mean(dim=3), x.mean(dim=2)
        places = torch.cat([by_mel, by_time], dim=2)[..., None]
        joint = F.hardswish(self.joint_norm(self.joint_conv(places)))  # (B, H, F + T, 1)
        mels = joint[:, :, : x.shape[2]]
        times = joint[:, :, x.shape[2] :].transpose(2, 3)
        if self.stride > 1:
            mels = F.avg_pool2d(mels, (3, 1), (self.stride, 1), (1, 0))
            times = F.avg_pool2d(times, (1, 3), (1, self.stride), (0, 1))
        return Context(joint.mean(dim=(2, 3)), self.conv_f(mels), self.conv_t(times))


class DynamicConv(nn.Module):
    """Convolution whose kernel is a clip's own mean of K: (B, C, F, T), (B, H) -> (B, C', F', T')."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        context: int,
        kernels: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.shape = (outputs, inputs // groups, kernel, kernel)
        self.stride, self.groups = stride, groups
        self.residuals = nn.Sequential(nn.Linear(context, kernels))
        drawn = torch.empty(kernels * outputs, *self.shape[1:])
        nn.init.kaiming_normal_(drawn)
        drawn *= kernels**0.5  # a mean of kernels is smaller than each
        self.weight = nn.Parameter(drawn.view(1, 1, kernels, -1))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        batch = len(x)
        shares = self.residuals(context).softmax(dim=-1)  # (B, K)
        outputs, inputs, kernel, _ = self.shape
        weight = (shares @ self.weight[0, 0]).view(batch * outputs, inputs, kernel, kernel)
        together = x.reshape(1, -1, *x.shape[2:])  # clips as groups of channels
        out = F.conv2d(
            together,
            weight,
            stride=self.stride,
            padding=(kernel - 1) // 2,
            groups=self.groups * batch,
        )
        return out.view(batch, outputs, *out.shape[2:])


class DynamicRelu(nn.Module):
    """Dy-ReLU of version B: max over pieces of a x + b, a and b of a channel and the context."""

    lambdas: Tensor
    init_v: Tensor

    def __init__(self, channels: int, context: int) -> None:
        super().__init__()
        self.coef_net = nn.Sequential(nn.Linear(context, 2 * PIECES * channels))
        self.register_buffer("lambdas", torch.tensor([1.0] * PIECES + [0.5] * PIECES))
        self.register_buffer("init_v", torch.tensor([1.0] + [0.0] * (2 * PIECES - 1)))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        theta = 2 * self.coef_net(context).sigmoid() - 1
        coefficients = theta.view(*x.shape[:2], 2 * PIECES) * self.lambdas + self.init_v
        a1, a2, b1, b2 = coefficients[:, :, None, None].unbind(dim=-1)
        return torch.maximum(x * a1 + b1, x * a2 + b2)


class DynamicBlock(nn.Module):
    """Inverted residual block with a context: (B, C, F, T) -> (B, C', F / stride, T / stride)."""

    def __init__(self, shape: BlockShape, width: float, kernels: int) -> None:
        super().__init__()
        self.keeps_shape, self.widens = shape.keeps_shape, shape.widened != shape.inputs
        widened = shape.widened
        least, most = divisible(LEAST_CONTEXT * width), divisible(MOST_CONTEXT * width)
        size = min(most, max(least, divisible(widened // NARROWED)))
        if self.widens:
            self.exp_conv = DynamicConv(shape.inputs, widened, size, kernels)
            self.exp_norm = norm(widened)
            self.exp_act = shape.activation()
        self.depth_conv = DynamicConv(
            *(widened, widened, size, kernels),
            kernel=shape.kernel,
            stride=shape.stride,
            groups=widened,
        )
        self.depth_norm = norm(widened)
        self.depth_act = DynamicRelu(widened, size)
        self.proj_conv = DynamicConv(widened, shape.outputs, size, kernels)
        self.proj_norm = norm(shape.outputs)
        self.context_gen = ContextGenerator(shape, size)

    def forward(self, x: Tensor) -> Tensor:
        context: Context = self.context_gen(x)
        out: Tensor = x
        if self.widens:
            out = self.exp_act(self.exp_norm(self.exp_conv(out, context.whole)))
        out = self.depth_norm(self.depth_conv(out, context.whole))
        out = self.depth_act(out, context.whole)
        out = out * context.by_mel.sigmoid() * context.by_time.sigmoid()
        out = self.proj_norm(self.proj_conv(out, context.whole))
        return out + x if self.keeps_shape else out


class DynamicMobileNet(nn.Module):
    """The network: (B, T, M) features -> (B, classes) logits."""

    def __init__(self, config: DynamicMobileNetConfig) -> None:
        super().__init__()
        self.config = config
        shapes = list(block_shapes(config.width))
        last = 6 * shapes[-1].outputs
        self.in_c = conv_norm(1, shapes[0].inputs, 3, nn.Hardswish, stride=2)
        self.layers = nn.ModuleList(
            DynamicBlock(shape, config.width, config.kernels) for shape in shapes
        )
        self.out_c = conv_norm(shapes[-1].outputs, last, 1, nn.Hardswish)
        self.classifier = classifier(last, config.width, config.classes)
        draw(self)

    def forward(self, features: Tensor) -> Tensor:
        """Compute logits: (B, T, M) -> (B, classes)."""
        x = self.in_c(features.transpose(1, 2)[:, None])
        for layer in self.layers:
            x = layer(x)
        logits: Tensor = self.classifier(self.out_c(x))
        return logits
