"""Real images on a GPU: SimCLR with ResNet-18 on all of CIFAR-10, scored as it learns, beside lightly's loader."""

from __future__ import annotations

import copy
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import accumulate

import torch
from torch import Tensor

from sslcourse import evaluate, training
from sslcourse.data.images import Data, ImageSet, pick_device
from sslcourse.methods.contrastive.simclr import SimCLR, nt_xent
from sslcourse.studies import trained
from sslcourse.studies.benchmark import lightly_loaders, measure, step
from sslcourse.studies.cifar import cifar10

EVERY = 10  # epochs between two scores
REACHED = 0.848  # the k-NN that lightly reports, after 87 minutes on an A6000
NEIGHBOURS = {"k": 200, "temperature": 0.1}  # and its settings of k-NN
Pairs = Iterator[tuple[Tensor, Tensor]]  # the two views of batches


def study(seed: int):
    split = cifar10()
    data = whole(split)

    def scored(run: training.Run) -> dict:
        last = run.history[-1]["epoch"] == run.config["recipe"]["epochs"]
        if run.history[-1]["epoch"] % EVERY and not last:
            return {}
        encoder = copy.deepcopy(run.encoder)  # a copy is not compiled: evaluation would compile once more
        return {"knn": evaluate.knn(encoder, data, **NEIGHBOURS, beside_random=False).value}

    changes = {"compile": True, "nesterov": True}  # Nesterov's, as the record has it; lightly's is plain
    run = trained("simclr", data, seed, profile="gpu", precision="bf16", on_epoch=scored, changes=changes)
    told = {"method": "SimCLR, ResNet-18", "data": data.name}
    minutes = accumulate(line["seconds"] / 60 for line in run.history)
    curve = [
        {"epoch": line["epoch"], "minutes": m, "knn": line["knn"], "loss": line["loss"]}
        for m, line in zip(minutes, run.history, strict=True)
        if "knn" in line
    ]
    yield from ({"kind": "curve", **point} for point in curve)
    reached = next((point["minutes"] for point in curve if point["knn"] >= REACHED), None)
    yield {"kind": "reached", "knn": REACHED, "minutes": reached, "of": run.seconds / 60}
    encoder = copy.deepcopy(run.encoder)
    near = evaluate.knn(encoder, data, seed=seed, **NEIGHBOURS)
    probe = evaluate.linear(encoder, split, seed=seed)  # chosen on val, which must not be among what it fits
    for score in (near, probe):
        found = {"protocol": score.protocol, "value": score.value, "random": score.random}
        yield {"kind": "score", **told, **found, "seconds": score.seconds}
    for row in beside_lightly(run.method, data.train, run.config["recipe"]["batch"]):
        yield {"kind": "benchmark", **row}


def whole(data: Data) -> Data:
    """All 50,000 training images, as the literature trains: `val` is a part of `train` that chooses nothing here."""
    images = torch.cat([data.train.images, data.val.images])
    labels = torch.cat([data.train.labels, data.val.labels])
    return replace(data, name="cifar10", train=ImageSet(images, labels, data.classes))


def beside_lightly(
    method: SimCLR, images: ImageSet, batch: int, repeats: int = 2, workers: int | None = None
) -> list[dict]:
    """Rows of the benchmark: the two views of an epoch alone, and an epoch of training on them, ours and lightly's.

    The epochs differ in where the views come from and in nothing else. Lightly has `workers` (default: one per
    core), pinned memory, and images that are decoded before.
    """
    device, workers = pick_device(), os.cpu_count() if workers is None else workers
    (loader,) = lightly_loaders(images, workers=(workers,), batch_size=batch, drop_last=True)
    # a rate of 0, so that the trained network stays what it is
    optimizer = torch.optim.SGD(method.parameters(), lr=0.0, momentum=0.9)
    method.train()

    def ours() -> Pairs:
        for some, _, _ in images.batches(batch, order=torch.randperm(len(images)), drop_last=True):
            yield method.view(some), method.view(some)

    def theirs() -> Pairs:
        for (first, second), *_ in loader:
            yield first.to(device, non_blocking=True), second.to(device, non_blocking=True)

    def learn(pairs: Pairs) -> None:
        for first, second in pairs:
            with torch.autocast(device.type, torch.bfloat16):
                z1, z2 = method.projector(method.encoder(torch.cat([first, second]))).chunk(2)
                loss = nt_xent(z1, z2, method.temperature)[0]
            step(loss, optimizer)

    count = len(images) // batch * batch
    rows = []
    for name, consume in (("simclr-views", partial(deque, maxlen=0)), ("simclr-epoch", learn)):
        what = f"an epoch of {count} images, batch {batch}; peer: lightly's loader and transform, {workers} workers"
        row = measure(
            repeats, count, device, what, lambda c=consume: c(ours()), lambda c=consume: c(theirs())
        )
        rows.append({"name": name, **row})
    return rows
