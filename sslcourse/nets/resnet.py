"""Residual networks: a small one for two CPU cores, and torchvision's with a stem for small images."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.errors import UserError
from sslcourse.nets.encoder import Encoder

# "layer" standardises each image by itself, over channels and places (GroupNorm of one group), so that nothing
# passes between the images of a batch
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "layer": lambda channels: nn.GroupNorm(1, channels),
}


def chosen_norm(name: str) -> Callable[[int], nn.Module]:
    if name not in NORMS:
        raise UserError(f"norm {name!r} of a residual network: choose {' or '.join(NORMS)}")
    return NORMS[name]


class Conv(nn.Conv2d):
    """A convolution whose stride is left out in bf16 on a map of one pixel, where it changes nothing.

    There oneDNN leaves most of the weight's gradient unwritten (seen with torch 2.14 on a CPU with AVX-512 BF16).
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == torch.bfloat16 and x.shape[2:] == (1, 1):
            return F.conv2d(x, self.weight, self.bias, padding=self.padding)
        return super().forward(x)


def conv(inputs: int, outputs: int, stride: int = 1) -> Conv:
    layer = Conv(inputs, outputs, 3, stride, 1, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer


class Block(nn.Module):
    """The basic residual block of He et al. (2016): two 3x3 convolutions and a shortcut.

    Where the block halves the map its shortcut averages before it projects (ResNet-D, arXiv 1812.01187): nothing
    is skipped, and it avoids strided 1x1 convolutions, whose backward pass corrupts memory on CPUs at few channels.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, norm: str = "batch"):
        super().__init__()
        make = chosen_norm(norm)
        self.conv1, self.norm1 = conv(inputs, outputs, stride), make(outputs)
        self.conv2, self.norm2 = conv(outputs, outputs), make(outputs)
        self.shortcut = nn.Identity()
        if stride > 1 or inputs != outputs:
            halve = (
                nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False) if stride > 1 else nn.Identity()
            )
            project = nn.Conv2d(inputs, outputs, 1, bias=False)
            self.shortcut = nn.Sequential(halve, project, make(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(self.norm2(self.conv2(y)).add_(self.shortcut(x)), inplace=True)


class SmallResNet(Encoder):
    """A residual net for 32 to 64 pixels on a CPU: `width` channels in the first stage, doubled in each later one.

    The stem's two strided convolutions make a quarter of the image's side: most of a ResNet's time goes into its
    large maps, and on two cores the same seconds buy more steps than resolution would. `stem_stride` 2 halves
    it only, for small patches and dense targets. `norm`: "batch" or "layer" (each image by itself).
    """

    def __init__(
        self,
        width: int = 32,
        blocks: tuple[int, ...] = (1, 1, 1),
        stem_stride: int = 4,
        norm: str = "batch",
    ):
        super().__init__()
        make = chosen_norm(norm)
        if stem_stride not in (2, 4):
            raise UserError(f"stem_stride {stem_stride} of the small network: use 2 or 4")
        widths = [width * 2**i for i in range(len(blocks))]
        self.dim = widths[-1]
        half = max(width // 2, 4)
        self.stem = nn.Sequential(
            *(conv(3, half, 2), make(half), nn.ReLU(inplace=True)),
            *(conv(half, width, stem_stride // 2), make(width), nn.ReLU(inplace=True)),
        )
        self.stages = nn.ModuleList()
        for i, (outputs, count) in enumerate(zip(widths, blocks, strict=True)):
            inputs = widths[max(i - 1, 0)]
            first = Block(inputs, outputs, 1 if i == 0 else 2, norm)
            others = [Block(outputs, outputs, norm=norm) for _ in range(count - 1)]
            self.stages.append(nn.Sequential(first, *others))

    def layers(self, images: Tensor) -> dict[str, Tensor]:
        x = self.stem(self.normalise(images))
        maps = {"stem": x}
        for i, stage in enumerate(self.stages):
            maps[f"stage{i + 1}"] = x = stage(x)
        return maps


class ResNet(Encoder):
    """torchvision's ResNet without its classifier. Up to 64 pixels its stem is 3x3, stride 1; up to 32: no pool.

    (The stem of SimCLR's and MoCo's CIFAR experiments.)
    """

    def __init__(self, name: str = "resnet18", size: int = 32, norm: str = "batch"):
        super().__init__(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
        net = getattr(torchvision.models, name)(weights=None, norm_layer=chosen_norm(norm))
        if size <= 64:
            net.conv1 = conv(3, 64)
        if size <= 32:
            net.maxpool = nn.Identity()
        self.dim = net.fc.in_features
        self.stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
        self.stages = nn.ModuleList([net.layer1, net.layer2, net.layer3, net.layer4])

    layers = SmallResNet.layers
