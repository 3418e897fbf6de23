"""Lesson 06: what SimCLR depends on. Batch and epochs, temperature, width, and where it is probed."""

from __future__ import annotations

from torch import nn

from sslcourse import evaluate, load, nets
from sslcourse.studies import trained

BATCHES, EPOCHS = (32, 128, 512), (2, 4, 8)
TEMPERATURES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
WIDTHS = (16, 32, 64)


def study(seed: int):
    data = load("toybox")

    def scores(what: str, encoder: nn.Module, **more):
        for protocol in (evaluate.knn, evaluate.linear):
            score = protocol(encoder, data, seed=seed, beside_random=False)
            yield {"what": what, **more, "protocol": score.protocol, "value": score.value}

    for batch in BATCHES:
        lr = 2e-3 * (batch / 128) ** 0.5  # AdamW: the square root of the batch, from the recipe's
        for epochs in EPOCHS:
            run = trained("simclr", data, seed, epochs=epochs, changes={"batch": batch, "lr": lr})
            yield from scores("batch", run.encoder, batch=batch, epochs=epochs, seconds=run.seconds)
    for temperature in TEMPERATURES:
        run = trained("simclr", data, seed, epochs=4, temperature=temperature)
        yield from scores("temperature", run.encoder, temperature=temperature)
    run = trained("simclr", data, seed)
    yield from scores("h", run.encoder)
    yield from scores("z", nn.Sequential(run.encoder, run.method.projector))
    for width in WIDTHS:
        run = trained("simclr", data, seed, epochs=4, encoder={"width": width})
        yield from scores("width", run.encoder, width=width, seconds=run.seconds)
        yield from scores("width, random", nets.random_like(run.encoder, seed), width=width)
