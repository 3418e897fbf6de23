"""The linear probe: how much of the labels a linear classifier reads from frozen features."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sslcourse.data.images import Data, pick_device
from sslcourse.evaluate.features import Layer, baseline, splits
from sslcourse.evaluate.logistic import fit_logistic, standardise
from sslcourse.evaluate.score import Result, Score, accuracy, labelled, score

L2 = tuple(10 ** (-4 + 4 * i / 6) for i in range(7))  # 1e-4 to 1


def predict(features: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    """features (N, D), weights (L, D, C), bias (L, C) -> classes (L, N)."""
    return (features @ weights + bias[:, None]).argmax(2)


def linear(
    encoder: Callable,
    data: Data,
    *,
    l2: Sequence[float] = L2,
    layer: str | None = None,
    seed: int = 0,
    device: str = "auto",
    batch_size: int = 512,
    beside_random: bool = True,
) -> Score:
    """Top-1 of multinomial logistic regression on frozen features, standardised by the train images.

    The strength of regularisation is the one of `l2` with the best accuracy on `.val` (of equals the
    strongest); the weights fitted on `.train` alone then meet `.test` once, without a refit. `layer` probes
    that entry of `encoder.layers`, averaged over places, instead of the encoder's output.
    """
    device, classes = pick_device(device), labelled(data, "linear")
    strengths = sorted(l2, reverse=True)

    def measure(net: Callable) -> list[Result]:
        net = net if layer is None else Layer(net, layer)
        train, val, test = standardise(*splits(net, data, device, batch_size))
        weights, bias = fit_logistic(train, data.train.labels.to(device), classes, torch.tensor(strengths))
        on_val = (predict(val, weights, bias) == data.val.labels.to(device)).float().mean(1).tolist()
        best = on_val.index(max(on_val))  # the first of equals: the strongest
        predicted = predict(test, weights[best : best + 1], bias[best : best + 1])[0]
        details = {"l2": strengths[best], "val": dict(zip(strengths, on_val, strict=True))}
        details |= {} if layer is None else {"layer": layer}
        metric = "top-1" if layer is None else f"top-1 of {layer}"
        return [Result(metric, accuracy(predicted, data.test.labels), len(train), len(test), details)]

    return score("linear", measure, encoder, baseline(encoder, seed, beside_random), data, seed, device)[0]
