"""Encoders, heads, and what lets many processes act as one.

`encoder(name, size, **arguments)` builds any of them: "small", "resnet18", "resnet50", "vit", "timm:NAME";
"channels", "beside" and "patchwise" wrap others.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from sslcourse.errors import UserError
from sslcourse.nets.channels import Beside, Channels
from sslcourse.nets.encoder import Encoder, activation_maps
from sslcourse.nets.frozen import frozen
from sslcourse.nets.heads import DINOHead, bare_head, projection_head
from sslcourse.nets.patchwise import Patchwise
from sslcourse.nets.resnet import ResNet, SmallResNet
from sslcourse.nets.vit import ViT

__all__ = [
    "Beside",
    "Channels",
    "DINOHead",
    "Encoder",
    "Patchwise",
    "ResNet",
    "SmallResNet",
    "ViT",
    "activation_maps",
    "bare_head",
    "encoder",
    "frozen",
    "projection_head",
    "random_like",
    "untrained",
]


def encoder(name: str = "small", size: int = 32, **arguments) -> Encoder:
    """A fresh encoder for images of `size` pixels. `arguments` go to its class (width, depth, pool, ...)."""
    if name == "small":
        net: Encoder = SmallResNet(**arguments)
    elif name in ("resnet18", "resnet50"):
        net = ResNet(name, size, **arguments)
    elif name == "vit":
        net = ViT(size, **{"patch": 4 if size <= 32 else 8, **arguments})
    elif name == "channels" and arguments:  # bare names of wrappers are no encoders
        fitted = arguments.get("fitted", False)
        net = Channels(encoder(**arguments["encoder"]), arguments["channels"], fitted)
    elif name == "beside" and arguments:
        net = Beside([encoder(**spec) for spec in arguments["encoders"]])
    elif name == "patchwise" and arguments:
        net = Patchwise(encoder(**arguments["encoder"]), arguments["patch"], arguments["stride"])
    elif name.startswith("timm:"):
        from sslcourse.nets.timm_net import Timm

        net = Timm(name.removeprefix("timm:"), size, **arguments)
    else:
        raise UserError(f"no encoder {name!r}; choose small, resnet18, resnet50, vit or timm:NAME")
    net.spec = {"name": name, "size": size, **arguments}
    return net


def random_like(module: nn.Module, seed: int = 0) -> nn.Module:
    """The same architecture, initialised afresh from `seed`: the baseline of every score.

    An encoder without a `spec` is copied and every layer that can reset itself does.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if getattr(module, "spec", None):
            return encoder(**untrained(module.spec))
        fresh = copy.deepcopy(module)
        for child in fresh.modules():
            if hasattr(child, "reset_parameters"):
                child.reset_parameters()
        return fresh


def untrained(spec):
    """A spec, and those inside it, with every `pretrained` False."""
    if isinstance(spec, dict):
        return {name: name != "pretrained" and untrained(value) for name, value in spec.items()}
    return [untrained(each) for each in spec] if isinstance(spec, list) else spec
