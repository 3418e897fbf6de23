"""Lesson 08: BYOL beside SimCLR from small batches to large, at equal epochs, a rate chosen for each batch."""

from __future__ import annotations

from dataclasses import replace

from sslcourse import evaluate, load
from sslcourse.studies import trained
from sslcourse.studies.moco import square_root_rule

BATCHES, EPOCHS = (16, 64, 128, 512), 3
FACTORS = (0.5, 1.0, 2.0)  # of the recipe's rate by the square root of the batch


def study(seed: int):
    """`what` "rate": linear probe on `.val` of seed 0, by which the rate of each batch is chosen; "batch": scores."""
    data = load("toybox")
    val = replace(data, test=data.val)

    def run(method: str, batch: int, lr: float, seed: int):
        return trained(method, data, seed, epochs=EPOCHS, changes={"batch": batch, "lr": lr})

    for method in ("byol", "simclr"):
        for batch in BATCHES:
            on_val = {}
            for lr in (factor * square_root_rule(method, data, batch) for factor in FACTORS):
                tried = evaluate.linear(run(method, batch, lr, 0).encoder, val, seed=0, beside_random=False)
                on_val[lr] = tried.value
            best = max(on_val, key=on_val.get)
            if seed == 0:
                for lr, value in on_val.items():
                    yield {"what": "rate", "method": method, "batch": batch, "lr": lr, "value": value}
            chosen = run(method, batch, best, seed)
            for protocol in (evaluate.knn, evaluate.linear):
                score = protocol(chosen.encoder, data, seed=seed, beside_random=False)
                yield {
                    "what": "batch", "method": method, "batch": batch, "lr": best, "protocol": score.protocol,
                    "value": score.value, "seconds": chosen.seconds,
                }  # fmt: skip
