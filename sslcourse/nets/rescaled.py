"""Data-dependent initialisation: a random network in which every channel of every layer is alive.

Krahenbuhl, Doersch, Donahue, Darrell, "Data-dependent Initializations of Convolutional Neural Networks",
ICLR 2016, arXiv 1511.06856: the row "Random rescaled" of RotNet's table, a control beside random
initialisation.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from sslcourse.errors import UserError
from sslcourse.nets.encoder import Encoder


@torch.no_grad()
def rescaled(encoder: Encoder, images: Tensor, *, rounds: int = 20, damping: float = 0.25) -> Encoder:
    """A copy of `encoder`, initialised by `images` (B, 3, H, W); about a hundred are enough.

    First, layer by layer in the order of execution, the filters are divided by the deviation of their
    outputs on `images`, and what is left of their mean is taken away, so that each output channel has mean
    0 and variance 1. Then the layers are balanced: all get the same ratio of gradient to weight, so that a
    learning rate moves them all at the same pace.

    With batch norm after each convolution (`small`, `resnet18`, `resnet50`; others are refused) this means:
    the mean is taken away by the norm's running mean, and the running variance becomes 1, of channels that
    it would otherwise leave as they come until training has run. That changes the features of a network
    that is only probed. In training mode batch norm standardises anyway, whatever the filters' scale; so
    the balancing leaves the function as it is, and its scales decide how fast each layer learns. It uses no
    labels.
    """
    net = copy.deepcopy(encoder).eval()
    norm_of: dict[nn.Module, nn.Module] = {}  # convolution -> the batch norm behind it, in order of execution
    latest: dict[str, object] = {}

    def after_convolution(layer: nn.Module, _, out: Tensor) -> Tensor:
        std = out.std((0, 2, 3), unbiased=False).clamp(min=1e-6)  # (C,)
        layer.weight.div_(std.view(-1, 1, 1, 1))
        if layer.bias is not None:
            layer.bias.div_(std)
        latest.update(layer=layer, out=out.div_(std.view(-1, 1, 1)))
        return out

    def before_norm(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        if latest.get("out") is inputs[0]:
            norm_of[latest["layer"]] = norm
        norm.running_mean.copy_(inputs[0].mean((0, 2, 3)))
        norm.running_var.copy_(inputs[0].var((0, 2, 3), unbiased=False))

    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    hooks = [m.register_forward_hook(after_convolution) for m in layers]
    hooks += [
        m.register_forward_pre_hook(before_norm) for m in net.modules() if isinstance(m, nn.BatchNorm2d)
    ]
    try:
        net(images)
    finally:
        for hook in hooks:
            hook.remove()
    if not layers or len(norm_of) < len(layers):
        raise UserError(
            f"rescaled() wants batch norm behind every convolution and {type(encoder).__name__} has none: "
            "use small, resnet18 or resnet50"
        )
    for _ in range(rounds):
        ratio = gradient_ratios(net, list(norm_of), images)
        mean = ratio.log().mean().exp()  # geometric
        for layer, norm, r in zip(norm_of, norm_of.values(), (ratio / mean) ** damping, strict=True):
            # W and the norm's mean and deviation grow together: the function stays, the ratio falls by r^2
            layer.weight.mul_(r)
            if layer.bias is not None:
                layer.bias.mul_(r)
            norm.running_mean.mul_(r)
            norm.running_var.mul_(r**2)
    return net.train(encoder.training)


def gradient_ratios(net: Encoder, layers: list[nn.Module], images: Tensor) -> Tensor:
    """norm(grad W) / norm(W) of each layer (L,), for a random loss: sum_i eta_i . f(x_i), eta ~ N(0, I).

    eta is the same in every call, so that repeated calls agree.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.enable_grad():
        features = net(images)
        eta = torch.randn(features.shape, generator=generator).to(features)
        gradients = torch.autograd.grad((eta * features).sum(), [layer.weight for layer in layers])
    return torch.stack([g.norm() / layer.weight.norm() for g, layer in zip(gradients, layers, strict=True)])
