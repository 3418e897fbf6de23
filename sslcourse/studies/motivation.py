"""Lesson 01: a long-tailed world, and a world that changes after training."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from sslcourse import evaluate, load
from sslcourse.data.images import Data
from sslcourse.studies import trained
from sslcourse.views import simclr_view


def long_tail(labels: Tensor, most: int = 400, ratio: float = 100.0) -> Tensor:
    """Rows of a long-tailed subset: class c keeps most * ratio^(-c / (C - 1)) of its images."""
    classes = int(labels.max()) + 1
    keep = [(labels == c).nonzero()[: round(most * ratio ** (-c / (classes - 1))), 0] for c in range(classes)]
    return torch.cat(keep)


def discoloured(data: Data, seed: int = 0) -> Data:
    """The same test toys under other light: every test image's colours strongly jittered."""
    jitter = simclr_view(None, strength=1.5, min_scale=1.0, flip=False)
    generator = torch.Generator(data.test.device).manual_seed(seed)
    changed = jitter(data.test.floats(), generator).mul(255).round().to(torch.uint8)
    return replace(data, name=f"{data.name}-discoloured", test=replace(data.test, images=changed))


def study(seed: int):
    data = load("toybox")
    run = trained("simclr", data, seed)
    tail = replace(data, train=data.train[long_tail(data.train.labels)])
    tenth = replace(data, train=data.train[evaluate.subset(data.train.labels, fraction=0.1, seed=seed)])
    worlds = {"balanced": tenth, "long tail": tail, "changed after training": discoloured(tenth, seed)}
    for name, world in worlds.items():
        frozen = evaluate.linear(run.encoder, world, seed=seed, beside_random=False)
        scratch = evaluate.finetune(
            run.encoder, world, epochs=32, seed=seed, scratch=True, beside_random=False
        )
        for method, score in (("frozen", frozen), ("scratch", scratch)):
            yield {
                "method": method,
                "data": name,
                "protocol": score.protocol,
                "value": score.value,
                "n_train": score.n_train,
                "seconds": score.seconds,
            }
