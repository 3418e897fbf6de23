"""Weighted k nearest neighbours (Wu et al., 2018, 1805.01978), and the neighbours themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcourse.data.images import Data, ImageSet, pick_device
from sslcourse.errors import UserError
from sslcourse.evaluate.features import baseline, extract
from sslcourse.evaluate.score import Result, Score, accuracy, labelled, score

CHUNK = 2**23  # similarities held at once: 32 MB


def nearest(queries: Tensor, bank: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Cosine similarities (M, k) and rows (M, k) of the k bank entries nearest to each query, best first.

    queries (M, D), bank (N, D); k is cut to N.
    """
    if k < 1:
        raise UserError(f"k is {k}: use 1 or more neighbours")
    queries, bank = F.normalize(queries, dim=1), F.normalize(bank, dim=1)
    k = min(k, len(bank))
    chunks = [largest(part @ bank.T, k) for part in queries.split(max(1, CHUNK // len(bank)))]
    return torch.cat([values for values, _ in chunks]), torch.cat([rows for _, rows in chunks])


def largest(values: Tensor, k: int, group: int = 8) -> tuple[Tensor, Tensor]:
    """`values.topk(k)` of each row (M, N): values and columns (M, k), largest first.

    The k largest lie in the k groups with the largest maxima, and maxima are cheap: faster for k below N / 16.
    """
    m, n = values.shape
    size = n // group
    if k >= size // 2:
        return values.topk(k, dim=1)
    steps = torch.arange(n, device=values.device)
    maxima = values[:, : size * group].view(m, group, size).amax(1)  # (M, N) -> (M, size)
    found = maxima.topk(k, dim=1, sorted=False).indices  # (M, k): columns modulo size
    columns = (found[:, None] + size * steps[:group, None]).flatten(1)  # (M, group, k) -> (M, group * k)
    columns = torch.cat([columns, steps[size * group :].expand(m, -1)], 1)  # and those that fill no group
    best = values.gather(1, columns).topk(k, dim=1)
    return best.values, columns.gather(1, best.indices)


def knn_scores(
    queries: Tensor, bank: Tensor, labels: Tensor, classes: int, *, k: int = 20, temperature: float = 0.07
) -> Tensor:
    """Votes (M, classes): each of the k nearest votes for its class with weight exp(cosine / temperature).

    queries (M, D), bank (N, D), labels (N,). Each row is scaled by its largest weight, so that small
    temperatures do not overflow; an infinite temperature counts heads.
    """
    if not temperature > 0:
        raise UserError(f"temperature is {temperature}: use a number above 0")
    similarity, rows = nearest(queries, bank, k)
    weights = ((similarity - similarity[:, :1]) / temperature).exp()
    return weights.new_zeros(len(queries), classes).scatter_add_(1, labels[rows], weights)


def knn_predict(
    queries: Tensor, bank: Tensor, labels: Tensor, classes: int, *, k: int = 20, temperature: float = 0.07
) -> Tensor:
    """The class (M,) with most votes: see `knn_scores`."""
    return knn_scores(queries, bank, labels, classes, k=k, temperature=temperature).argmax(1)


def knn(
    encoder: Callable,
    data: Data,
    *,
    k: int = 20,
    temperature: float = 0.07,
    seed: int = 0,
    device: str = "auto",
    batch_size: int = 512,
    beside_random: bool = True,
) -> Score:
    """Top-1 of weighted k-NN on the test images. Nothing is fitted: k 20 and temperature .07 are DINO's."""
    device, classes = pick_device(device), labelled(data, "knn")

    def measure(net: Callable) -> list[Result]:
        bank, queries = (extract(net, part, batch_size, device) for part in (data.train, data.test))
        labels = data.train.labels.to(device)
        predicted = knn_predict(queries, bank, labels, classes, k=k, temperature=temperature)
        details = {"k": min(k, len(bank)), "temperature": temperature}
        return [Result("top-1", accuracy(predicted, data.test.labels), len(bank), len(queries), details)]

    return score("knn", measure, encoder, baseline(encoder, seed, beside_random), data, seed, device)[0]


def neighbours(
    encoder: Callable,
    data: Data | ImageSet,
    queries: ImageSet | Tensor | Sequence[int],
    k: int = 5,
    *,
    device: str = "auto",
) -> tuple[Tensor, Tensor]:
    """The k nearest train images of each query: rows (Q, k) and cosine similarities (Q, k), best first.

    data: a Data (its train part is searched) or an ImageSet. queries: an ImageSet; images (Q, 3, H, W), uint8
    or float in [0, 1]; or rows of the test part (of an ImageSet: its own, and each image first finds itself).
    """
    bank = data.train if isinstance(data, Data) else data
    if isinstance(queries, Tensor) and queries.dim() == 4:
        pixels = queries if queries.dtype == torch.uint8 else (queries * 255).round().to(torch.uint8)
        queries = ImageSet(pixels)
    elif isinstance(queries, Tensor | Sequence):
        queries = (data.test if isinstance(data, Data) else data)[queries]
    similarity, rows = nearest(*(extract(encoder, part, device=device) for part in (queries, bank)), k)
    return rows.cpu(), similarity.cpu()
