"""Where a transformer looks: how much of the CLS token's attention lies on the object of an image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcourse.data.images import ImageSet, pick_device
from sslcourse.errors import UserError
from sslcourse.evaluate.features import _evaluating
from sslcourse.nets import Encoder

KEPT = 0.6  # of the attention, in the thresholded map


def strongest(attention: Tensor, kept: float = KEPT) -> Tensor:
    """The fewest places that hold a share `kept` of the attention: (..., T) -> (..., T) bool. (Caron et al. 2021, Figure 4)"""
    order = attention.argsort(-1, descending=True)
    sorted_ = attention.gather(-1, order)
    before = sorted_.cumsum(-1) - sorted_  # what stronger places hold
    chosen = before < kept * attention.sum(-1, keepdim=True)
    return torch.zeros_like(chosen).scatter(-1, order, chosen)


def on_objects(attention: Tensor, mask: Tensor, kept: float = KEPT) -> dict[str, Tensor]:
    """`share` (B, heads), of the attention of CLS over patches, that lies on the object; `IoU` (B, heads) of the map.

    attention (B, heads, T), row-major; mask (B, H, W), true on the object. A patch counts by the share of its pixels
    that are the object's. IoU: of the object with the patches that hold `kept` of the attention, over pixels.
    """
    side = round(attention.shape[-1] ** 0.5)
    area = F.adaptive_avg_pool2d(mask.float()[:, None], side).flatten(2)  # (B, 1, h, w) -> (B, 1, T)
    share = (attention * area).sum(2) / attention.sum(2)
    found = strongest(attention, kept)
    both = (found * area).sum(2)
    return {"share": share, "IoU": both / (found.sum(2) + area.sum(2) - both)}


def attention_overlap(
    encoder: Encoder, images: ImageSet, *, kept: float = KEPT, device: str = "auto", batch_size: int = 250
) -> dict[str, list[float] | float]:
    """`on_objects`, the mean over images, per head; `area`: the share of the pixels that are the objects'.

    The object is what `masks["instance"]` has. An encoder that looked everywhere alike would have a share of `area`.
    """
    if "instance" not in images.masks:
        raise UserError("attention_overlap needs images with masks of instances: use toybox")
    device, sums = pick_device(device), {}
    with _evaluating(encoder, device), torch.no_grad():
        for x, rows, _ in images.batches(batch_size, device=device):
            mask = images.masks["instance"][rows.to(images.device)].to(device) > 0
            found = on_objects(encoder.attention(x), mask, kept) | {"area": mask.float().mean((1, 2))}
            for name, value in found.items():
                sums[name] = sums.get(name, 0) + value.sum(0)
    return {name: (value / len(images)).tolist() for name, value in sums.items()}
