"""Fine-tuning: the whole network learns the labels, from its features or, beside it, from scratch."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from sslcourse.data.images import Data, pick_device
from sslcourse.errors import UserError
from sslcourse.evaluate.features import baseline, extract
from sslcourse.evaluate.lowshot import subset
from sslcourse.evaluate.score import Result, Score, accuracy, labelled, score
from sslcourse.nets import random_like
from sslcourse.views import weak_view


def finetune(
    encoder: nn.Module,
    data: Data,
    *,
    fraction: float = 1.0,
    epochs: int | None = None,
    lr: float | Sequence[float] = 1e-3,
    weight_decay: float = 0.05,
    batch_size: int = 128,
    seed: int = 0,
    device: str = "auto",
    scratch: bool = False,
    on_epoch: Callable[[dict], None] | None = None,
    beside_random: bool = True,
) -> Score:
    """Top-1 after training a copy of the encoder and a linear head on a stratified `fraction` of the labels.

    AdamW, cosine without warm-up, images shifted and flipped; by default 10 epochs of all labels, 32 of 10%,
    60 of 1%; few images make smaller batches. The last epoch counts. One `lr` is used as it is; of several,
    the one with the best accuracy on `.val`. `random` is the same schedule from scratch, and `scratch=True`
    is that alone. `details["curve"]`: accuracy on `.val` after each epoch; `on_epoch` is told each one's
    {"epoch", "accuracy", "loss", "lr"}.
    """
    device, classes = pick_device(device), labelled(data, "finetune")
    if not isinstance(encoder, nn.Module):
        raise UserError("finetune needs an encoder that can learn: pass an nn.Module")
    rows = subset(data.train.labels, fraction=fraction, seed=seed)
    epochs = min(60, round(10 * fraction**-0.5)) if epochs is None else epochs
    rates = list(lr) if isinstance(lr, Sequence) else [lr]
    batch_size = min(batch_size, max(16, len(rows) // 10))
    steps = epochs * max(1, len(rows) // batch_size)
    view = weak_view(data.size)

    def train(start: nn.Module, rate: float) -> tuple[nn.Module, list[float]]:
        torch.manual_seed(seed)
        shuffle, randomness = torch.Generator().manual_seed(seed), torch.Generator(device).manual_seed(seed)
        dim = extract(start, data.val[:1], device=device).shape[1]
        net = nn.Sequential(copy.deepcopy(start), nn.Linear(dim, classes)).to(device).requires_grad_(True)
        weights = [p for p in net.parameters() if p.dim() > 1]
        others = [p for p in net.parameters() if p.dim() <= 1]  # biases and norms do not decay
        groups = [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
        optimiser = torch.optim.AdamW(groups, lr=rate)
        cosine = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda i: 0.5 * (1 + math.cos(math.pi * i / steps))
        )
        curve = []
        for epoch in range(epochs):
            for module in net.modules():
                module.training = True  # not train(), which frozen networks ignore
            order, losses = rows[torch.randperm(len(rows), generator=shuffle)], []
            whole = len(rows) >= batch_size
            for images, _, labels in data.train.batches(batch_size, order, device, drop_last=whole):
                loss = F.cross_entropy(net(view(images, randomness)), labels)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                cosine.step()
                losses.append(loss.detach())
            curve.append(accuracy(extract(net, data.val, device=device).argmax(1), data.val.labels))
            if on_epoch is not None:
                loss = torch.stack(losses).mean().item()
                on_epoch({"epoch": epoch, "accuracy": curve[-1], "loss": loss, "lr": rate})
        return net, curve

    def measure(start: nn.Module) -> list[Result]:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            runs = [(*train(start, rate), rate) for rate in rates]
        net, curve, rate = max(runs, key=lambda run: run[1][-1])
        value = accuracy(extract(net, data.test, device=device).argmax(1), data.test.labels)
        metric = "top-1" if fraction == 1 else f"top-1 @ {100 * fraction:g}%"
        details = {"curve": curve, "lr": rate, "epochs": epochs, "fraction": fraction}
        return [Result(metric, value, len(rows), len(data.test), details)]

    start = random_like(encoder, seed) if scratch else encoder
    beside = baseline(encoder, seed, beside_random and not scratch)
    return score("finetune", measure, start, beside, data, seed, device)[0]
