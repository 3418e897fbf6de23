"""Lesson 05: noise-contrastive estimation whose constant is kept up to date."""

from __future__ import annotations

from sslcourse import evaluate, load
from sslcourse.studies import table, trained


def study(seed: int):
    data = load("toybox")
    for negatives in (256, 64):  # `instances` has those whose Z stays that of the first batch
        run = trained("npid", table.few(data), seed, negatives=negatives, refresh_Z=True)
        for protocol in (evaluate.knn, evaluate.linear):
            score = protocol(run.encoder, data, seed=seed, beside_random=False)
            yield {
                "negatives": negatives, "protocol": score.protocol, "value": score.value,
                "Z": float(run.method.Z), "loss": run.history[-1]["loss"],
            }  # fmt: skip
