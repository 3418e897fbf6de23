"""Lesson 02: what video teaches (egomotion, tracking), and what initialisation alone is worth."""

from __future__ import annotations

import torch

from sslcourse import evaluate, load, nets
from sslcourse.nets.rescaled import rescaled
from sslcourse.studies.table import scores

FRACTION = 0.1  # of the labels, for fine-tuning
RATES = (3e-4, 1e-3, 3e-3, 1e-2)  # the best on val is taken


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
        # rescaled filters are larger, and AdamW's steps are not: so all are compared at their own best rate, too
        for what, lr in (("finetune", 1e-3), ("finetune, best rate", RATES)):
            score = evaluate.finetune(encoder, data, fraction=FRACTION, lr=lr, seed=seed, beside_random=False)
            yield {
                "method": name, "data": data.name, "protocol": what, "fraction": FRACTION, "value": score.value,
                "lr": score.details["lr"], "seconds": score.seconds,
            }  # fmt: skip
    for name in ("random", "random rescaled"):
        weights = torch.cat([p.flatten() for p in encoders[name].parameters() if p.ndim == 4])
        yield {"method": name, "data": data.name, "protocol": "filters", "value": weights.norm().item()}
