"""Lesson 01: a long-tailed world, and a world that changes after training."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from sslcourse import evaluate, load, nets
from sslcourse.data.images import Data, ImageSet
from sslcourse.data.toybox import WORLDS, render_world
from sslcourse.studies import trained


def long_tail(labels: Tensor, most: int = 400, ratio: float = 100.0) -> Tensor:
    """Rows of a long-tailed subset: class c keeps most * ratio^(-c / (C - 1)) of its images."""
    classes = int(labels.max()) + 1
    keep = [(labels == c).nonzero()[: round(most * ratio ** (-c / (classes - 1))), 0] for c in range(classes)]
    return torch.cat(keep)


def other_ground(split: str, count: int) -> ImageSet:
    """The same ten toys, met on other ground: a low camera, a low and harsh sun, patterned floors."""
    world = replace(
        WORLDS["toybox"],
        elevation=(8.0, 22.0),
        sun=(5.0, 15.0),
        strength=(0.75, 0.95),
        contrast=(0.3, 0.6),
        dapple=(0.5, 1.0),
    )
    return render_world(world, split, count)


def changed(data: Data) -> Data:
    """Trained here, tested on other ground."""
    test = other_ground("test", len(data.test)).to(data.test.device)
    return replace(data, name=f"{data.name}-changed", test=test)


def study(seed: int):
    data = load("toybox")
    runs = {method: trained(method, data, seed) for method in ("simclr", "rotnet")}
    encoders = {method: run.encoder for method, run in runs.items()}
    encoders["random"] = nets.random_like(encoders["simclr"], seed)
    # the unlabelled images have the tail too, or are as few without one; as many steps as with all of them
    tailed = data.train[long_tail(data.train.labels, most=1000)]
    pools = {"long-tailed pool": tailed, "small pool": data.train[: len(tailed)]}  # balanced, by their order
    times = round(len(data.train) / len(tailed))
    pooled = {
        f"{method}, {pool}": trained(
            method,
            replace(data, name=f"toybox, {pool}", train=train),
            seed,
            epochs=times * run.config["recipe"]["epochs"],
        ).encoder
        for method, run in runs.items()
        for pool, train in pools.items()
    }
    tail = replace(data, train=data.train[long_tail(data.train.labels)])
    tenth = replace(data, train=data.train[evaluate.subset(data.train.labels, fraction=0.1, seed=seed)])
    after = changed(tenth)
    # images of the new world with their labels, to ask whether the class is still in the features
    val = other_ground("val", len(data.val)).to(data.val.device)
    there = replace(after, train=after.test[:1000], val=val, test=after.test[1000:])
    fewer = replace(there, train=there.train[:100])
    worlds = {
        "balanced": (tenth, encoders),
        "long tail": (tail, encoders | pooled),
        "changed after training": (after, encoders),
        "changed, labelled anew": (there, encoders),
        "changed, 100 labels anew": (fewer, encoders),
    }
    for name, (world, frozen) in worlds.items():
        scores = {
            f"frozen {method}": evaluate.linear(encoder, world, seed=seed, beside_random=False)
            for method, encoder in frozen.items()
        }
        tuning = dict(epochs=32 if len(world.train) > 100 else 60, seed=seed, beside_random=False)
        scores["scratch"] = evaluate.finetune(encoders["rotnet"], world, scratch=True, **tuning)
        scores["fine-tuned rotnet"] = evaluate.finetune(encoders["rotnet"], world, **tuning)
        for method, score in scores.items():
            yield {
                "method": method, "data": name, "protocol": score.protocol, "value": score.value,
                "n_train": score.n_train, "seconds": score.seconds,
            }  # fmt: skip
