"""The dense probe: how well a linear classifier of frozen local features says what each pixel belongs to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcourse.data.images import Data, ImageSet, pick_device
from sslcourse.errors import UserError
from sslcourse.evaluate.features import _evaluating, baseline
from sslcourse.evaluate.linear import L2
from sslcourse.evaluate.logistic import fit_logistic, standardise
from sslcourse.evaluate.score import Result, Score, score
from sslcourse.nets.dense import as_map, hypercolumns


def segment(
    encoder: Callable,
    data: Data,
    *,
    layer: str | None = None,
    points: int = 16,
    l2: Sequence[float] = L2,
    seed: int = 0,
    device: str = "auto",
    batch_size: int = 250,
    beside_random: bool = True,
) -> Score:
    """Mean IoU of background and classes, each over all pixels of `.test` together.

    Multinomial logistic regression on the encoder's last map (`layer`: on that entry of `encoder.layers`), standardised.
    It learns at `points` random pixels of each train image, to which the map is interpolated bilinearly; at test time
    the logits are, to all pixels, which is the same. The strength of regularisation is the best of `l2` on `.val`. A
    class that is neither there nor found does not count. `details`: "IoU", of each class by name.
    """
    masked(data)
    device, names = pick_device(device), ("background", *data.classes)
    strengths = torch.tensor(sorted(l2, reverse=True))

    def maps(net: Callable, images: Tensor) -> Tensor:  # (B, 3, H, W) -> (B, C, h, w)
        if layer is None:
            return net.final_map(images).float()
        layers = net.layers(images)
        if layer not in layers:
            raise UserError(f"the encoder has no layer {layer!r}: use one of {', '.join(layers)}")
        return as_map(layers[layer]).float()

    def at_points(net: Callable) -> tuple[Tensor, Tensor]:
        """Features (N * points, C) and classes (N * points,) of random pixels of the train images."""
        generator, features, truth = torch.Generator().manual_seed(seed), [], []
        for images, rows, _ in data.train.batches(batch_size, device=device):
            size = images.shape[-1]
            x, y = torch.randint(size, (2, len(images), points), generator=generator).to(device)
            places = (torch.stack([x, y], 2) + 0.5) / size * 2 - 1  # (B, P, 2), from edge to edge
            features.append(
                hypercolumns({"": maps(net, images)}, places).flatten(0, 1)
            )  # (B, P, C) -> (B * P, C)
            mask = masks(data.train, rows, device)
            truth.append(mask[torch.arange(len(mask), device=device)[:, None], y, x].flatten())
        return torch.cat(features), torch.cat(truth)

    def ious(net: Callable, part: ImageSet, weights: Tensor, bias: Tensor) -> Tensor:
        """weights (L, C, K), bias (L, K) -> (L, K)."""
        counts = torch.zeros(len(bias), len(names), len(names), device=device)
        for images, rows, _ in part.batches(batch_size, device=device):
            x, truth = maps(net, images), masks(part, rows, device)
            for w, b, count in zip(weights, bias, counts, strict=True):
                logits = torch.einsum("bchw,ck->bkhw", x, w) + b[:, None, None]
                found = F.interpolate(logits, size=truth.shape[1:], mode="bilinear").argmax(1)
                count += confusion(truth, found, len(names))
        return iou(counts)

    def measure(net: Callable) -> list[Result]:
        with _evaluating(net, device), torch.no_grad():
            features, truth = at_points(net)
            ends = torch.stack([torch.zeros_like(features[0]), torch.ones_like(features[0])])
            standard, (zero, one) = standardise(features, ends)
            weights, bias = fit_logistic(standard, truth, len(names), strengths)
            bias = bias + zero @ weights  # for features as they are: x becomes zero + (one - zero) x
            weights = weights * (one - zero)[:, None]
            on_val = ious(net, data.val, weights, bias).nanmean(1).tolist()
            best = on_val.index(max(on_val))  # the first of equals: the strongest
            on_test = ious(net, data.test, weights[best : best + 1], bias[best : best + 1])[0]
        each = dict(zip(names, on_test.tolist(), strict=True))
        details = {"l2": strengths[best].item(), "IoU": each} | ({} if layer is None else {"layer": layer})
        return [Result("mIoU", on_test.nanmean().item(), len(data.train), len(data.test), details)]

    return score("segment", measure, encoder, baseline(encoder, seed, beside_random), data, seed, device)[0]


def masked(data: Data) -> None:
    """One line if `data` has no masks of classes."""
    if any("class" not in getattr(data, split).masks for split in ("train", "val", "test")):
        raise UserError(
            f"segment on {data.name!r}: it has no masks of classes; use toybox-scenes, or another toybox"
        )


def masks(part: ImageSet, rows: Tensor, device: torch.device) -> Tensor:
    """The classes of all pixels, 0 the background: (B, H, W) int64."""
    return part.masks["class"][rows.to(part.device)].to(device).long()


def confusion(truth: Tensor, found: Tensor, classes: int) -> Tensor:
    """How many pixels of class i were taken for class j: integers of any shape -> (classes, classes)."""
    pairs = (truth * classes + found).flatten()
    return pairs.bincount(minlength=classes**2).view(classes, classes)  # (K * K,) -> (K, K)


def iou(counts: Tensor) -> Tensor:
    """Intersection over union of each class from confusions (..., K, K): (..., K), NaN where the union is empty."""
    both = counts.diagonal(dim1=-2, dim2=-1)
    return both / (counts.sum(-1) + counts.sum(-2) - both)
