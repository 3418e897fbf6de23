"""Mask propagation: carry the first frame's masks along a clip by pointing, as in a tracking benchmark."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.data.images import Data, ImageSet, pick_device
from sslcourse.errors import UserError
from sslcourse.evaluate.features import _evaluating
from sslcourse.evaluate.score import Result, Score, score
from sslcourse.methods import Method
from sslcourse.nets import random_like

Embed = Callable[[Tensor], Tensor]


@torch.no_grad()
def propagate(
    embed: Embed,
    clips: Tensor,
    masks: Tensor,
    *,
    window: int = 3,
    temperature: float = 0.5,
    top: int = 0,
    radius: float = 0.0,
    first: bool = False,
) -> Tensor:
    """The masks of every frame, given those of the first: (B, T, H, W), 0 is background.

    embed: clips (B, T, 3, H, W) float in [0, 1] -> (B, T, d, h, w). masks: instances (B, H, W) of frame 0,
    averaged to soft one-hot maps of h x w. Frame by frame each pixel j takes y_j = sum_i A_ij c_i with A_ij
    the softmax of f_i . f_j / temperature over the pixels i of the last `window` frames, whose soft maps
    are themselves propagated; `first` adds frame 0 to them for good. `top`: only the so many best pixels i
    count (0: all). `radius`: only those at most so many pixels of the small map away (0: all). Soft maps
    are enlarged bilinearly, then the largest wins.
    """
    f = embed(clips).float()  # (B, T, d, h, w)
    B, T, _, h, w = f.shape
    K = int(masks.max()) + 1
    near = None
    if radius:
        y, x = torch.meshgrid(*(torch.arange(n, device=f.device) for n in (h, w)), indexing="ij")
        place = torch.stack([y.flatten(), x.flatten()], 1).float()  # (h * w, 2)
        near = torch.cdist(place, place) <= radius  # (h * w, h * w)
    onehot = F.one_hot(masks.long(), K).movedim(3, 1).float()  # (B, H, W) -> (B, K, H, W)
    maps = [F.adaptive_avg_pool2d(onehot, (h, w)).flatten(2)]  # (B, K, h * w)
    f = f.flatten(3)  # (B, T, d, h, w) -> (B, T, d, h * w)
    for t in range(1, T):
        frames = list(range(max(0, t - window), t))
        if first and 0 not in frames:
            frames = [0, *frames]
        f_i = f[:, frames].transpose(1, 2).flatten(2)  # (B, R, d, h * w) -> (B, d, R * h * w)
        logits = f_i.mT @ f[:, t] / temperature  # (B, R * h * w, h * w)
        if near is not None:
            logits = logits.masked_fill(~near.repeat(len(frames), 1), -torch.inf)
        if 0 < top < logits.shape[1]:
            least = logits.topk(top, dim=1).values[:, -1:]
            logits = logits.masked_fill(logits < least, -torch.inf)
        c_i = torch.cat([maps[i] for i in frames], 2)  # (B, K, R * h * w)
        maps.append(c_i @ logits.softmax(1))
    soft = torch.stack(maps, 1).view(B * T, K, h, w)  # (B, T, K, h * w) -> (B * T, K, h, w)
    found = F.interpolate(soft, size=clips.shape[-2:], mode="bilinear", align_corners=False).argmax(1)
    return found.view(B, T, *clips.shape[-2:])  # (B * T, H, W) -> (B, T, H, W)


def region_similarity(found: Tensor, masks: Tensor) -> Tensor:
    """J of every object in every frame: found, masks (B, T, H, W) -> (B, K, T), NaN where it is not defined.

    J = |found and true| / |found or true|, for the K objects 1..K of frame 0, in the frames in which the
    object is visible at all.
    """
    K = int(masks.max())
    true, ours = (
        (m[:, None] == torch.arange(1, K + 1, device=m.device).view(-1, 1, 1, 1)) for m in (masks, found)
    )
    true, ours = true.flatten(3), ours.flatten(3)  # (B, K, T, H, W) -> (B, K, T, H * W)
    J = (true & ours).sum(3) / (true | ours).sum(3).clamp(min=1)
    visible = true.any(3) & true[:, :, :1].any(3)
    return J.masked_fill(~visible, torch.nan)


def propagation(
    method: nn.Module | Embed,
    data: Data | ImageSet,
    *,
    window: int = 3,
    temperature: float = 0.5,
    top: int = 0,
    radius: float = 0.0,
    first: bool = False,
    split: str = "test",
    seed: int = 0,
    device: str = "auto",
    batch_size: int = 25,
    beside_random: bool = True,
) -> Score:
    """Mean J of the masks that a pointer propagates from the first frame of each clip of `.test`.

    method: a method with `embed` (VideoColor), or any function from clips (B, T, 3, H, W) to (B, T, d, h,
    w). J is the intersection over union of one object in one frame; `value` is the mean over frames 1..T-1
    of the mean over all objects visible in frame 0 and in that frame. `random` is the same network at
    random initialisation. `details`: "J" per frame 1..T-1; "copy", that of frame 0's masks left where they
    are, and "ceiling", that of the true masks averaged to the embedding's grid and enlarged again, which no
    pointer can pass; "random". `split="val"` is for choices.
    """
    device = pick_device(device)
    part = getattr(data, split) if isinstance(data, Data) else data
    if part.images.ndim != 5 or "instance" not in part.masks:
        raise UserError("propagation needs clips with instance masks: use sc.load('toybox-video')")
    settings = dict(window=window, temperature=temperature, top=top, radius=radius, first=first)

    curves: list[list[float]] = []  # of the method, then of its random initialisation

    def measure(net: nn.Module | Embed) -> list[Result]:
        kinds: dict[str, list[Tensor]] = {"J": [], "copy": [], "ceiling": []}
        embed = getattr(net, "embed", net)
        with _evaluating(net, device), torch.no_grad():
            for clips, rows, _ in part.batches(batch_size, device=device):
                masks = part.masks["instance"][rows.to(part.device)].to(device)
                found = propagate(embed, clips, masks[:, 0], **settings)
                still = masks[:, :1].expand_as(masks)
                side = embed(clips[:1, :1]).shape[-1]
                for kind, f in (("J", found), ("copy", still), ("ceiling", through_grid(masks, side))):
                    kinds[kind].append(region_similarity(f, masks)[:, :, 1:].flatten(0, 1))  # (B * K, T - 1)
        details = {kind: torch.cat(J).nanmean(0).tolist() for kind, J in kinds.items()} | settings
        J = details["J"]
        curves.append(J)
        return [Result("J", sum(J) / len(J), 0, len(part), details)]

    fresh = None
    if beside_random and isinstance(method, Method):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            fresh = type(method)(random_like(method.encoder, seed), **method.arguments())
    named = data if isinstance(data, Data) else Data("clips", part, part, part)
    result = score("propagation", measure, method, fresh, named, seed, device)[0]
    result.details |= {"random": curves[1]} if len(curves) > 1 else {}
    return result


def through_grid(masks: Tensor, side: int) -> Tensor:
    """Masks (B, T, H, W) averaged to side x side soft maps and enlarged again: (B, T, H, W)."""
    onehot = F.one_hot(masks.flatten(0, 1).long()).movedim(3, 1).float()  # (B * T, H, W) -> (B * T, K, H, W)
    soft = F.adaptive_avg_pool2d(onehot, side)
    large = F.interpolate(soft, size=masks.shape[-2:], mode="bilinear", align_corners=False)
    return large.argmax(1).view(masks.shape)  # (B * T, H, W) -> (B, T, H, W)
