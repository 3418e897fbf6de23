"""Lesson 08: what keeps self-distillation from collapse. Each thing is taken away, and the features are watched."""

from __future__ import annotations

import math

from torch import nn

from sslcourse import evaluate, load, nets
from sslcourse.data.images import Data
from sslcourse.methods import METHODS, Method
from sslcourse.studies import trained
from sslcourse.training.loop import Run

EPOCHS = 4  # every run here, so that they are comparable with each other only
# method -> what was done to it -> arguments
CASES = {
    "byol": {
        "whole": {},
        "no predictor": {"predictor": False},
        "no stop-gradient": {"stop_gradient": False},
        "target is the network itself": {"momentum": 0.0, "constant_momentum": True},
        "target never moves": {"momentum": 1.0, "constant_momentum": True},
    },
    "simsiam": {"whole": {}, "no stop-gradient": {"stop_gradient": False}},
    "dino": {
        "centred and sharpened": {},
        "sharpened only": {"centring": False},
        "centred only": {"sharpening": False},
        "neither": {"centring": False, "sharpening": False},
    },
    "barlow": {"whole": {}, "lambda 0": {"lam": 0.0}},
}
LOGGED = ("rank_z", "loss", "std", "kl", "invariance", "redundancy")


def study(seed: int):
    """`what` "epoch": health of the encoder on `.val` after each epoch (0: untrained), `rank_z`, the effective rank after
    the projector, where there is one, and what the method logged; "score": after the last. `entropy` and
    `mean_entropy` (DINO) are shares of log K."""
    data = load("toybox")

    def health(method: Method) -> dict:
        found = {"health": evaluate.health(method.kept, data, seed=seed)}
        if hasattr(method, "projector"):
            z = evaluate.extract(nn.Sequential(method.kept, method.projector), data.val)
            found["rank_z"] = evaluate.effective_rank(z)
        return found

    def watched(run: Run) -> dict:
        return health(run.method)

    for method, cases in CASES.items():
        for case, arguments in cases.items():
            run = trained(method, data, seed, epochs=EPOCHS, on_epoch=watched, **arguments)
            told = {"method": method, "case": case}
            untrained = METHODS[method](nets.random_like(run.encoder, seed), **run.method.arguments())
            fresh = health(untrained)
            yield {"what": "epoch", **told, "epoch": 0, **fresh.pop("health"), **fresh}
            yield from ({"what": "epoch", **told, **line} for line in curve(run))
            yield from scores(run, data, seed, told)


def curve(run: Run) -> list[dict]:
    """A row for each epoch of a watched run."""
    rows = []
    for line in run.history:
        row = {"epoch": line["epoch"], **line["health"], **{k: line[k] for k in LOGGED if k in line}}
        if "mean_entropy" in line:
            row |= {k: line[k] / math.log(run.method.outputs) for k in ("entropy", "mean_entropy")}
        rows.append(row)
    return rows


def scores(run: Run, data: Data, seed: int, told: dict):
    for protocol in (evaluate.knn, evaluate.linear):
        score = protocol(run.encoder, data, seed=seed)
        yield {
            "what": "score", **told, "protocol": score.protocol, "value": score.value, "random": score.random,
            "seconds": run.seconds,
        }  # fmt: skip
