"""Lesson 02: what video teaches (egomotion, tracking), and what initialisation alone is worth."""

from __future__ import annotations

import torch

from sslcourse import evaluate, load, nets
from sslcourse.nets.rescaled import rescaled
from sslcourse.studies.table import scores


def study(seed: int):
    clips, data = load("toybox-video"), load("toybox-patches")
    for method in ("egomotion", "tracking"):
        yield from scores(method, method, clips, seed, probe=data)[1]
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
                "seconds": score.seconds,
            }
        for fraction in (0.1,):
            score = evaluate.finetune(encoder, data, fraction=fraction, seed=seed, beside_random=False)
            yield {
                "method": name,
                "data": data.name,
                "protocol": "finetune",
                "value": score.value,
                "seconds": score.seconds,
            }
