"""Lesson 03: what puzzles of patches teach, as their papers set them and set carelessly."""

from __future__ import annotations

from sslcourse import load
from sslcourse.studies.table import scores

CARELESS = {
    "context": {"gap": 0, "jitter": 0, "normalise": False, "degrade": 0.0},
    "jigsaw": {"cell": 21, "tile": 21, "normalise": False, "channels": 0, "grey": 0.0},
}


def study(seed: int):
    patches, small = load("toybox-patches"), load("toybox")
    for method in ("context", "jigsaw", "counting", "context_encoder"):
        data = small if method == "context_encoder" else patches
        yield from scores(method, method, data, seed)[1]
    for method, arguments in CARELESS.items():
        yield from scores(f"{method}, careless", method, patches, seed, **arguments)[1]
