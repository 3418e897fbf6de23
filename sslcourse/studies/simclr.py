"""Lesson 06: what SimCLR depends on. Colour, batch and epochs, where it is probed, few labels; temperature and width."""

from __future__ import annotations

from torch import nn

from sslcourse import evaluate, nets
from sslcourse.studies import trained
from sslcourse.studies.cifar import images

BATCHES, EPOCHS = (32, 128, 512), {"toys": (2, 4, 8), "photographs": (2, 4)}
# The learning rate of each batch: the best on validation images after the fewest epochs, seed 0, of the recipe's by the
# square root of the batch, and half, twice and four times it (on toys also eight times)
RATES = {
    "toys": {32: 4e-3, 128: 4e-3, 512: 8e-3},
    "photographs": {32: 4e-3, 128: 8e-3, 512: 8e-3},
}
FRACTIONS = (0.01, 0.1)
TEMPERATURES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
WIDTHS = (16, 32, 64)


def study(seed: int, kind: str = "toys"):
    data = images(kind)

    def scores(what: str, encoder: nn.Module, **more):
        for protocol in (evaluate.knn, evaluate.linear):
            score = protocol(encoder, data, seed=seed, beside_random=False)
            yield {"what": what, **more, "protocol": score.protocol, "value": score.value}

    run = trained("simclr", data, seed)
    yield from scores("h", run.encoder, seconds=run.seconds)
    yield from scores("z", nn.Sequential(run.encoder, run.method.projector))
    yield from scores("random", nets.random_like(run.encoder, seed))
    yield from scores("without colour", trained("simclr", data, seed, strength=0.0, grey=0.0).encoder)
    for fraction in FRACTIONS:
        for what, scratch in (("fine-tuned", False), ("from scratch", True)):
            score = evaluate.finetune(
                run.encoder, data, fraction=fraction, seed=seed, scratch=scratch, beside_random=False
            )
            yield {"what": what, "fraction": fraction, "protocol": score.protocol, "value": score.value}
    for batch in BATCHES:
        for epochs in EPOCHS[kind]:
            changes = {"batch": batch, "lr": RATES[kind][batch]}
            run = trained("simclr", data, seed, epochs=epochs, changes=changes)
            yield from scores("batch", run.encoder, batch=batch, epochs=epochs, seconds=run.seconds)
    if kind != "toys":
        return
    for temperature in TEMPERATURES:
        run = trained("simclr", data, seed, epochs=4, temperature=temperature)
        yield from scores("temperature", run.encoder, temperature=temperature)
    for width in WIDTHS:
        run = trained("simclr", data, seed, epochs=4, encoder={"width": width})
        yield from scores("width", run.encoder, width=width, seconds=run.seconds)
        yield from scores("width, random", nets.random_like(run.encoder, seed), width=width)
