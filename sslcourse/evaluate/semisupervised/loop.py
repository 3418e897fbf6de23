"""The training that all semi-supervised baselines share, so that only their losses differ."""

from __future__ import annotations

import copy
import itertools

import torch
from torch import Tensor, nn

from sslcourse.data.images import Data
from sslcourse.evaluate.features import extract
from sslcourse.evaluate.score import accuracy
from sslcourse.evaluate.semisupervised.baseline import Baseline
from sslcourse.methods.parts.momentum import follow, momentum_copy


def train(
    baseline: Baseline,
    encoder: nn.Module,
    data: Data,
    rows: Tensor,
    classes: int,
    *,
    steps: int,
    batch_size: int,
    lr: float,
    weight_decay: float,
    seed: int,
    device: torch.device,
    checks: int = 5,
    classifier: nn.Linear | None = None,
) -> tuple[nn.Sequential, list[dict]]:
    """A copy of `encoder` and a new classifier, or a copy of the given one, trained by `baseline` with the labels of `rows` (M,) only.

    Each step sees `batch_size` labelled images and `mu` times as many of all the training images. AdamW.
    Returns the net, or its moving average, and `checks` times on the way {"progress", "accuracy" on .val,
    **logged}.
    """
    torch.manual_seed(seed)
    if classifier is None:
        classifier = nn.Linear(extract(encoder, data.val[:1], device=device).shape[1], classes)
    net = nn.Sequential(copy.deepcopy(encoder), copy.deepcopy(classifier))
    baseline.begin(net)
    net = net.to(device, memory_format=torch.channels_last).requires_grad_(True)
    baseline.to(device)
    slow = momentum_copy(net) if baseline.ema else net
    learned = [*net.parameters(), *baseline.parameters()]
    groups = [{"params": [p for p in learned if p.dim() > 1], "weight_decay": weight_decay}]
    groups += [{"params": [p for p in learned if p.dim() <= 1], "weight_decay": 0.0}]  # biases and norms
    optimiser = torch.optim.AdamW(groups, lr=lr)
    shuffle = torch.Generator().manual_seed(seed)
    labelled = data.train.batches(batch_size, endless(rows, steps * batch_size, shuffle), device)
    unlabelled = itertools.repeat((None, None, None))
    if baseline.mu:
        size, everything = baseline.mu * batch_size, torch.arange(len(data.train))
        unlabelled = data.train.batches(size, endless(everything, steps * size, shuffle), device)
    history, logged = [], []
    for k, ((x, _, y), (u, _, _)) in enumerate(zip(labelled, unlabelled, strict=False)):
        for module in net.modules():
            module.training = True  # not train(), which frozen networks ignore
        for group in optimiser.param_groups:
            group["lr"] = lr * baseline.rate(k / steps)
        logs = baseline.loss(net, x, y, u, k / steps)
        optimiser.zero_grad()
        logs["loss"].backward()
        optimiser.step()
        if baseline.ema:  # a young average is short: a thousand steps are more than there may be
            follow(slow, net, min(baseline.ema, (1 + k) / (10 + k)))
        logged.append({name: value.detach() for name, value in logs.items()})
        if (k + 1) * checks // steps > k * checks // steps:
            for theirs, ours in zip(slow.buffers(), net.buffers(), strict=True):
                theirs.copy_(ours)  # batch norm's statistics
            right = accuracy(extract(slow, data.val, device=device).argmax(1), data.val.labels)
            means = {name: torch.stack([row[name] for row in logged]).mean().item() for name in logged[0]}
            history.append({"progress": (k + 1) / steps, "accuracy": right, **means})
            logged = []
    return slow, history


def endless(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` of the rows (M,): all of them in a random order, again and again."""
    rounds = -(-count // len(rows))
    return torch.cat([rows[torch.randperm(len(rows), generator=generator)] for _ in range(rounds)])[:count]
