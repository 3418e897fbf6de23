"""Any timm model as an Encoder."""

from __future__ import annotations

import timm
import torch
from timm.models.vision_transformer import Attention
from torch import Tensor, nn

from sslcourse.errors import UserError
from sslcourse.nets.encoder import Encoder


class Timm(Encoder):
    """`timm.create_model(name)` without its classifier; `pretrained=True` fetches its weights through timm.

    Where timm's own feature is of another width than the last map (MobileNetV3, VGG), the feature is that map's mean.
    """

    only: int | None = None  # pixels: the one size it takes, if only one, as most transformers

    def __init__(self, name: str, size: int = 224, pretrained: bool = False, **arguments):
        if not timm.is_model(name.split(".")[0]):
            close = ", ".join(timm.list_models(f"*{name[:6]}*")[:5]) or "see timm.list_models()"
            raise UserError(f"timm has no model {name!r}; close to it: {close}")
        try:
            net = create(name, size, pretrained=pretrained, num_classes=0, **arguments)
            super().__init__(mean=net.default_cfg["mean"], std=net.default_cfg["std"])
            self.net, self.dim = net, net.num_features
            self.eval()
            with torch.no_grad():
                blank = torch.zeros(2, 3, size, size)
                self.whole = net(blank).shape == (2, self.dim)  # timm's feature is as wide as its map
                if self.tokens(blank).shape[2] != self.dim:
                    raise ValueError("its last map is neither (B, D, h, w) nor (B, T, D)")
            self.train()
            if getattr(getattr(net, "patch_embed", None), "strict_img_size", False):
                self.only = size
        except (AssertionError, AttributeError, IndexError, RuntimeError, ValueError) as error:
            raise UserError(
                f"timm:{name} does not take images of {size} px ({error}): give --size, such as 224, or another encoder"
            ) from error

    def normalise(self, images: Tensor) -> Tensor:
        if self.only is not None and images.shape[2:] != (self.only, self.only):
            raise UserError(
                f"this encoder takes images of {self.only} px and got {images.shape[3]}: give --size {self.only}, or for views of"
                " several sizes a transformer of timm with dynamic_img_size=True"
            )
        return super().normalise(images)

    def final_map(self, images: Tensor) -> Tensor:
        return self.net.forward_features(self.normalise(images))

    def layers(self, images: Tensor) -> dict[str, Tensor]:
        """What `forward_intermediates` returns, as (B, C, h, w) each."""
        found = self.net.forward_intermediates(self.normalise(images), intermediates_only=True)
        return {f"layer{i + 1}": x for i, x in enumerate(found)}

    def tokens(self, images: Tensor) -> Tensor:
        x = self.final_map(images)
        if x.ndim == 4:
            channels_last = x.shape[-1] == self.dim and x.shape[1] != self.dim
            x = x if channels_last else x.permute(0, 2, 3, 1)  # (B, D, h, w) -> (B, h, w, D)
            return x.flatten(1, 2)  # (B, h, w, D) -> (B, h * w, D)
        return x[:, getattr(self.net, "num_prefix_tokens", 0) :]  # (B, prefix + T, D) -> (B, T, D)

    def attention(self, images: Tensor) -> Tensor:
        layer, seen = getattr(list(getattr(self.net, "blocks", [None]))[-1], "attn", None), []
        if not isinstance(layer, Attention) or not getattr(self.net, "has_class_token", False):
            return super().attention(images)
        hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            self.final_map(images)
        finally:
            hook.remove()
        B, T, _ = seen[0].shape
        q, k, _ = layer.qkv(seen[0]).view(B, T, 3, layer.num_heads, -1).permute(2, 0, 3, 1, 4)
        # (B, T, 3D) -> three of (B, heads, T, D / heads)
        q, k = layer.q_norm(q), layer.k_norm(k)
        weights = (q[:, :, :1] * layer.scale @ k.transpose(-2, -1)).softmax(-1)  # (B, heads, 1, T)
        return weights[:, :, 0, self.net.num_prefix_tokens :]

    def forward(self, images: Tensor) -> Tensor:
        return self.net(self.normalise(images)) if self.whole else self.tokens(images).mean(1)


def create(name: str, size: int, **arguments) -> nn.Module:
    """Transformers must be told the size; convolutional networks do not know the word."""
    try:
        return timm.create_model(name, **{"img_size": size, **arguments})
    except TypeError as error:
        if "img_size" not in str(error):
            raise
        return timm.create_model(name, **arguments)
