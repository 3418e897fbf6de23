"""Lesson 04: what colour teaches; how saturated, how precise; and whether tracking emerges from it."""

from __future__ import annotations

import torch

from sslcourse import evaluate, load
from sslcourse.data.images import pick_device
from sslcourse.studies.table import scores
from sslcourse.views import rgb_to_lab


def chroma(images: torch.Tensor) -> float:
    """Mean distance from grey, in units of Lab: images (B, 3, H, W) in [0, 1]."""
    return float(rgb_to_lab(images)[:, 1:].square().sum(1).sqrt().mean())


def study(seed: int):
    data = load("toybox-natural")
    images = data.test.floats(slice(0, 500)).to(pick_device())
    yield {"method": "true colours", "data": data.name, "protocol": "chroma", "value": chroma(images)}
    for name, arguments in (("colorization", {}), ("colorization, not rebalanced", {"rebalance": False})):
        run, rows = scores(name, "colorization", data, seed, **arguments)
        yield from rows
        for T in (0.02, 0.38, 1.0):  # nearly the mode, annealed, the mean
            value = chroma(run.method.colourise(images, T=T))
            yield {"method": name, "data": data.name, "protocol": "chroma", "temperature": T, "value": value}
    run, rows = scores("split_brain, split", "split_brain", data, seed)
    yield from rows
    for name, half in zip(
        ("L->ab", "ab->L"), run.encoder.parts, strict=True
    ):  # they share no weight: each is one half alone
        for protocol in (evaluate.knn, evaluate.linear):
            score = protocol(half, data, seed=seed)
            yield {"method": f"split_brain, {name}", "data": data.name, "protocol": score.protocol, "value": score.value,
                   "random": score.random, "seconds": run.seconds}  # fmt: skip
    yield from scores("split_brain, auto", "split_brain", data, seed, task="auto")[1]
    yield from scores("color_proxy", "color_proxy", data, seed)[1]
    clips, patches = load("toybox-video"), load("toybox-patches")
    run, rows = scores("video_color", "video_color", clips, seed, probe=patches)
    yield from rows
    found = evaluate.propagation(run.method, clips, seed=seed)
    yield {
        "method": "video_color",
        "data": clips.name,
        "protocol": "propagation",
        "value": found.value,
        "random": found.random,
        "curves": {key: found.details[key] for key in ("J", "copy", "ceiling", "random")},
        "seconds": found.seconds,
    }
