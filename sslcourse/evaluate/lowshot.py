"""Low-shot: what frozen features are worth with a handful of labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sslcourse.data.images import Data, pick_device
from sslcourse.errors import UserError
from sslcourse.evaluate.features import baseline, extract
from sslcourse.evaluate.linear import predict
from sslcourse.evaluate.logistic import fit_logistic, standardise
from sslcourse.evaluate.score import Result, Score, accuracy, labelled, score


def ranks(labels: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """labels (N,) -> each image's place (N,) in a random order of its class, and that class's size (N,)."""
    labels = labels.cpu()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    order = order[labels[order].argsort(stable=True)]  # by class, random within
    counts = labels.bincount()
    first = counts.cumsum(0) - counts
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(labels)) - first[labels[order]]
    return rank, counts[labels]


def subset(
    labels: Tensor, *, shots: int | None = None, fraction: float | None = None, seed: int = 0
) -> Tensor:
    """Rows (M,) of `shots` images per class, or of a `fraction` of each class (one image at least).

    Stratified, and nested: with one seed, the rows of fewer labels are among those of more.
    """
    if (shots is None) == (fraction is None):
        raise UserError("subset takes shots or fraction: give one of the two")
    if (shots is not None and shots < 1) or (fraction is not None and not 0 < fraction <= 1):
        raise UserError(f"shots {shots}, fraction {fraction}: use shots from 1, or a fraction in (0, 1]")
    rank, size = ranks(labels, seed)
    enough = shots if shots is not None else (fraction * size).round().clamp_min(1)
    return (rank < enough).nonzero().squeeze(1)


def lowshot(
    encoder: Callable,
    data: Data,
    *,
    shots: Sequence[int] = (1, 2, 5),
    fractions: Sequence[float] = (0.01, 0.1),
    draws: int = 5,
    strength: float = 0.1,
    seed: int = 0,
    device: str = "auto",
    batch_size: int = 512,
    beside_random: bool = True,
) -> list[Score]:
    """Top-1 of L2 logistic regression from few labels: one Score per number of shots and per fraction.

    Where a class has fewer images than shots, all of them are used, and the metric says "up to".
    Each is the mean over `draws` subsets (`details`: every value, and their standard deviation). Nothing is
    chosen: the penalty is strength / n / 2 |W|^2 with MOCA's .1, on features standardised by all train images
    (that needs no labels) and divided by sqrt(D), so that their norm is about 1 as there.
    """
    device, classes = pick_device(device), labelled(data, "lowshot")
    smallest = min(n for n in data.train.labels.bincount().tolist() if n)
    settings = [({"shots": s}, f"top-1 @ {'up to ' * (s > smallest)}{s} per class") for s in shots]
    settings += [({"fraction": f}, f"top-1 @ {100 * f:g}%") for f in fractions]
    labels, right = data.train.labels.to(device), data.test.labels

    def measure(net: Callable) -> list[Result]:
        parts = (extract(net, part, batch_size, device) for part in (data.train, data.test))
        train, test = standardise(*parts)
        train, test = (features / train.shape[1] ** 0.5 for features in (train, test))
        results = []
        for setting, metric in settings:
            values = []
            for draw in range(draws):
                rows = subset(labels, **setting, seed=seed * draws + draw).to(device)
                l2 = torch.tensor([strength / len(rows)])
                weights, bias = fit_logistic(train[rows], labels[rows], classes, l2)
                values.append(accuracy(predict(test, weights, bias)[0], right))
            spread = torch.tensor(values)
            details = {**setting, "values": values, "std": spread.std().item() if draws > 1 else 0.0}
            results.append(Result(metric, spread.mean().item(), len(rows), len(test), details))
        return results

    return score("lowshot", measure, encoder, baseline(encoder, seed, beside_random), data, seed, device)
