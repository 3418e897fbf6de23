"""Lesson 03: what puzzles of patches teach, as their papers set them and set carelessly."""

from __future__ import annotations

from sslcourse import evaluate, load
from sslcourse.shortcuts.experiment import treated
from sslcourse.studies.table import scores
from sslcourse.views import standardise

CARELESS = {
    "context": {"gap": 0, "jitter": 0, "normalise": False, "degrade": 0.0},
    "jigsaw": {"cell": 21, "tile": 21, "normalise": False, "channels": 0, "grey": 0.0},
}


def study(seed: int):
    patches, small = load("toybox-patches"), load("toybox")
    encoders = {}
    for method in ("context", "jigsaw", "counting", "context_encoder"):
        data = small if method == "context_encoder" else patches
        run, rows = scores(method, method, data, seed)
        encoders[method] = run.encoder
        yield from rows
    for method, arguments in CARELESS.items():
        run, rows = scores(f"{method}, careless", method, patches, seed, **arguments)
        encoders[f"{method}, careless"] = run.encoder
        yield from rows
    data = treated(patches, standardise, seed)
    for name in ("context", "jigsaw", *(f"{method}, careless" for method in CARELESS)):
        score = evaluate.linear(encoders[name], data, seed=seed, beside_random=False)
        yield {
            "method": name,
            "data": data.name,
            "protocol": "linear, standardised images",
            "value": score.value,
        }
