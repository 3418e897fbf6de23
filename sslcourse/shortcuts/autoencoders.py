"""Two ways to fill what is missing, as a factorial: architecture x mask x whether the encoder sees the hidden part."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.errors import UserError
from sslcourse.methods import Method, Paper
from sslcourse.nets import Encoder, ViT
from sslcourse.nets.vit import TransformerBlock, sincos_positions


class Inpainter(Method):
    """Paint the hidden part of an image; L = mean squared error of the hidden pixels.

    mask: "centre", one hole of a quarter of the image, or "random", `ratio` of the `patch` x `patch` squares.
    A convolutional encoder sees the image with the hidden pixels grey, as Context Encoder's does. A ViT sees
    learned mask tokens in their place, or, with `dropped`, nothing: only the visible patches enter, as in MAE
    (He et al. 2022, 2111.06377). The decoder is the same for all: `decoder` transformer blocks over one token a patch.
    `accuracy` is the share of the hidden pixels' variance that is explained. `kept`: the encoder (ViT: mean of patches).
    """

    name, chapter = "inpainter", "shortcut"
    paper = Paper(
        "Masked Autoencoders Are Scalable Vision Learners",
        "He, Chen, Xie, Li, Dollar, Girshick", "CVPR", 2022, "2111.06377",
    )  # fmt: skip

    def __init__(
        self, encoder: Encoder, *, mask: str = "random", ratio: float = 0.75, dropped: bool = False, patch: int = 4,
        decoder: int = 1, width: int = 64,
    ):  # fmt: skip
        super().__init__(encoder)
        if mask not in ("centre", "random"):
            raise UserError(f'mask {mask!r} is unknown: use "centre" or "random"')
        self.is_vit = isinstance(encoder, ViT)
        if dropped and not self.is_vit:
            raise UserError("only a ViT can leave out patches: dropped=True wants encoder vit")
        self.mask, self.ratio, self.dropped = mask, ratio, dropped
        self.patch, self.decoder, self.width = patch, decoder, width
        self.bridge = nn.Linear(encoder.dim, width)
        self.hidden_token = nn.Parameter(torch.zeros(1, 1, width))  # the decoder's
        nn.init.normal_(self.hidden_token, std=0.02)
        if self.is_vit and not dropped:
            self.mask_token = nn.Parameter(torch.zeros(1, 1, encoder.dim))  # the encoder's
            nn.init.normal_(self.mask_token, std=0.02)
        self.blocks = nn.ModuleList(TransformerBlock(width, 4) for _ in range(decoder))
        self.read = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 3 * patch**2))

    def hidden(self, images: Tensor) -> Tensor:
        """(B, T) bool: the patches to paint; the same number in every image."""
        side = images.shape[-1] // self.patch
        if self.mask == "centre":
            hole = torch.zeros(side, side, dtype=torch.bool, device=images.device)
            hole[side // 4 : side - side // 4, side // 4 : side - side // 4] = True
            return hole.flatten().expand(len(images), -1)
        order = torch.rand(len(images), side**2, device=images.device).argsort(1).argsort(1)
        return order < round(self.ratio * side**2)

    def patches(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, T, 3 p p), row-major."""
        return F.unfold(images, self.patch, stride=self.patch).transpose(1, 2)

    def encode(self, images: Tensor, hidden: Tensor) -> Tensor:
        """One token of `width` per patch, from the visible ones alone: (B, T, width)."""
        b, t = hidden.shape
        if not self.is_vit:
            side = int(t**0.5)
            hole = hidden.view(b, 1, side, side).float()  # (B, T) -> (B, 1, h, w)
            hole = F.interpolate(hole, images.shape[-1], mode="nearest").bool()
            coarse = self.bridge(self.encoder.final_map(torch.where(hole, 0.5, images)).permute(0, 2, 3, 1))
            coarse = F.interpolate(
                coarse.permute(0, 3, 1, 2), side, mode="bilinear"
            )  # (B, h, w, D) -> (B, D, side, side)
            return coarse.flatten(2).transpose(1, 2)  # (B, D, side, side) -> (B, T, D)
        x = self.encoder.patches(images)
        if not self.dropped:
            blank = self.mask_token + sincos_positions(int(t**0.5), int(t**0.5), self.encoder.dim).to(x)
            x = self.encoder.encode(self.encoder.with_cls(torch.where(hidden[..., None], blank, x)))
            return self.bridge(x[:, 1:])
        seen = (~hidden).nonzero()[:, 1].view(b, -1, 1)  # (B, V, 1): rows of the visible patches
        x = x.gather(1, seen.expand(-1, -1, x.shape[2]))  # (B, T, D) -> (B, V, D)
        x = self.bridge(self.encoder.encode(self.encoder.with_cls(x))[:, 1:])
        whole = self.hidden_token.expand(b, t, -1).to(x.dtype)
        return whole.scatter(1, seen.expand(-1, -1, self.width), x)  # (B, V, width) -> (B, T, width)

    def painted(self, images: Tensor, hidden: Tensor) -> Tensor:
        """The decoder's pixels: (B, T, 3 p p)."""
        x = self.encode(images, hidden)
        x = torch.where(hidden[..., None], self.hidden_token.to(x.dtype), x) if self.is_vit else x
        side = int(hidden.shape[1] ** 0.5)
        x = x + sincos_positions(side, side, self.width).to(x)
        for block in self.blocks:
            x = block(x)
        return self.read(x)

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        hidden = self.hidden(images)
        true = self.patches(images)[hidden]  # (B, T, 3 p p) -> (B * hidden, 3 p p)
        error = (self.painted(images, hidden)[hidden].float() - true).square().mean()
        return {"loss": error, "accuracy": 1 - error.detach() / true.var()}
