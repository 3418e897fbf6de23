"""Lesson 02: what video teaches (egomotion, tracking), and what initialisation alone is worth."""

from __future__ import annotations

import torch

from sslcourse import evaluate, load, nets
from sslcourse.nets.rescaled import rescaled
from sslcourse.studies.table import scores

FRACTION = 0.1  # of the labels, for fine-tuning


def study(seed: int):
    clips, data = load("toybox-video"), load("toybox-patches")
    torch.manual_seed(seed)
    plain = nets.encoder("small", data.size)
    encoders = {"random": plain, "random rescaled": rescaled(plain, data.train.floats(slice(0, 128)).cpu())}
    for name, encoder in encoders.items():
        for protocol in (evaluate.knn, evaluate.linear):
            score = protocol(encoder, data, seed=seed, beside_random=False)
            yield {
                "method": name,
                "data": data.name,
                "protocol": score.protocol,
                "value": score.value,
                "seconds": 0.0,
            }
    for method in ("egomotion", "tracking"):
        run, rows = scores(method, method, clips, seed, probe=data)
        yield from rows
        encoders[method] = run.encoder
    for name, encoder in encoders.items():
        score = evaluate.finetune(encoder, data, fraction=FRACTION, seed=seed, beside_random=False)
        yield {
            "method": name, "data": data.name, "protocol": "finetune", "fraction": FRACTION, "value": score.value,
            "seconds": score.seconds,
        }  # fmt: skip
