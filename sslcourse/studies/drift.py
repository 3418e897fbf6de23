"""How far the keys in MoCo's queue have fallen behind the encoder that made them."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional as F

from sslcourse.data.images import ImageSet
from sslcourse.methods.contrastive.moco import MoCo


def predicted_age(length: int, batch: int, steps: int) -> float:
    """Mean number of steps since the keys of a queue were made, after `steps` steps of `batch` keys.

    The newest are one step old; of a full queue the mean is (length / batch + 1) / 2.
    """
    held = torch.arange(min(length, steps * batch))
    return (held // batch + 1).double().mean().item() if len(held) else 0.0


@torch.no_grad()
def drift(method: MoCo, images: ImageSet, groups: int = 8, batch: int = 128, seed: int = 0) -> list[dict]:
    """Cosine between the queue's keys and those that today's key encoder makes of other views of the same images.

    images: those it was trained on. One row for each of `groups` equal shares of the queue, the youngest first: their mean
    `age` in steps, `cosine`, `other`, the cosine with keys of other images, and `fresh`, the cosine of two views of the same
    images by today's encoder, which is what no drift would give. A row of age 0 comes first: that of all images. Batch norm sees `batch` images, as in training. The learning
    rate must not have come to rest: at the end of a schedule nothing drifts. Call it from `on_epoch`.
    """
    device = method.queue.keys.device
    today = nn.Sequential(method.key_encoder, method.key_projector)
    today = copy.deepcopy(today).train()  # a copy: its running statistics move
    held = (method.image >= 0).nonzero()[:, 0]
    age = method.step - method.made[held]
    age, order = age.sort()
    held = held[order]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        mix = torch.randperm(len(held), device=device)  # every batch holds keys of all ages
        place = mix.argsort()
        one, two = (
            torch.cat([
                F.normalize(today(method.view(x)), dim=1)
                for x, _, _ in images.batches(batch, order=method.image[held[mix]].cpu(), device=device)
            ])[place]
            for _ in range(2)
        )  # fmt: skip
    stored = method.queue.keys[held]
    rows = [_row(torch.zeros(1), one, two, two)]
    for part in torch.arange(len(held), device=device).chunk(groups):
        rows.append(_row(age[part], one[part], stored[part], two[part]))
    return rows


def _row(age, now, then, again) -> dict:
    cosine, other, fresh = ((now * k).sum(1).mean().item() for k in (then, then.roll(1, 0), again))
    return {"age": age.double().mean().item(), "cosine": cosine, "other": other, "fresh": fresh}
