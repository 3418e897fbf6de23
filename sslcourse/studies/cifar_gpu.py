"""Real images on a GPU: SimCLR with ResNet-18 on all of CIFAR-10, scored as it learns, beside lightly's loader."""

from __future__ import annotations

import copy
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from sslcourse import evaluate, train
from sslcourse.benchmark import lightly_loaders, step
from sslcourse.data.images import Data, ImageSet, pick_device
from sslcourse.methods.contrastive.simclr import SimCLR, nt_xent
from sslcourse.studies import trained
from sslcourse.studies.cifar import cifar10

EVERY = 10  # epochs between two scores
REACHED = 0.848  # k-NN of lightly's own benchmark after 200 epochs of batch 512: 87 minutes on an A6000
NEIGHBOURS = {"k": 200, "temperature": 0.1}  # and its settings of k-NN


def study(seed: int):
    split = cifar10()
    data = whole(split)

    def scored(run: train.Run) -> dict:
        last = run.history[-1]["epoch"] == run.config["recipe"]["epochs"]
        if run.history[-1]["epoch"] % EVERY and not last:
            return {}
        encoder = copy.deepcopy(run.encoder)  # a copy is not compiled: evaluation would compile once more
        return {"knn": evaluate.knn(encoder, data, **NEIGHBOURS, beside_random=False).value}

    run = trained(
        "simclr", data, seed, profile="gpu", precision="bf16", on_epoch=scored, changes={"compile": True}
    )
    told = {"method": "SimCLR, ResNet-18", "data": data.name}
    minutes, reached = 0.0, None
    for line in run.history:
        minutes += line["seconds"] / 60
        if "knn" in line:
            yield {"kind": "curve", "epoch": line["epoch"], "minutes": minutes, **pick(line, "knn", "loss")}
            reached = minutes if reached is None and line["knn"] >= REACHED else reached
    yield {"kind": "reached", "knn": REACHED, "minutes": reached, "of": minutes}
    encoder = copy.deepcopy(run.encoder)
    near = evaluate.knn(encoder, data, seed=seed, **NEIGHBOURS)
    probe = evaluate.linear(encoder, split, seed=seed)  # chosen on val, which must not be among what it fits
    for score in (near, probe):
        found = {"protocol": score.protocol, "value": score.value, "random": score.random}
        yield {"kind": "score", **told, **found, "seconds": score.seconds}
    for source, seconds in beside_lightly(run.method, data.train, run.config["recipe"]["batch"]).items():
        yield {"kind": "epoch", "source": source, "seconds": statistics.median(seconds), "all": seconds}


def whole(data: Data) -> Data:
    """All 50,000 training images, as the literature trains: `val` is a part of `train` that chooses nothing here."""
    images = torch.cat([data.train.images, data.val.images])
    labels = torch.cat([data.train.labels, data.val.labels])
    return replace(data, name="cifar10", train=ImageSet(images, labels, data.classes))


def pick(line: dict, *names: str) -> dict:
    return {name: line[name] for name in names}


def beside_lightly(
    method: SimCLR, images: ImageSet, batch: int, repeats: int = 2, workers: int | None = None
) -> dict[str, list[float]]:
    """Seconds of epochs that differ in where the two views come from, in turn, after one of each to warm up.

    "views alone" makes them and trains nothing. Lightly has a worker per core, pinned memory, images decoded before.
    """
    device, workers = pick_device(), os.cpu_count() if workers is None else workers
    (loader,) = lightly_loaders(images, batch=batch, workers=(workers,))
    optimizer = torch.optim.SGD(method.parameters(), lr=0.0, momentum=0.9)
    method.train()
    sources = {
        "ours": lambda: ours(method, images, batch),
        f"lightly, {workers} workers": lambda: theirs(loader, device),
    }
    seconds: dict[str, list[float]] = {}
    for repeat in range(repeats + 1):
        for name, source in sources.items():
            for what, consume in (
                (name, lambda pairs: learn(method, optimizer, pairs)),
                (f"{name}, views alone", drain),
            ):
                start = time.perf_counter()
                consume(source())
                if device.type == "cuda":
                    torch.cuda.synchronize()
                if repeat:
                    seconds.setdefault(what, []).append(time.perf_counter() - start)
    return seconds


def ours(method: SimCLR, images: ImageSet, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    for some, _, _ in images.batches(batch, order=torch.randperm(len(images)), drop_last=True):
        yield method.view(some), method.view(some)


def theirs(loader, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    for (first, second), *_ in loader:
        yield first.to(device, non_blocking=True), second.to(device, non_blocking=True)


def learn(method: SimCLR, optimizer: torch.optim.Optimizer, pairs: Iterator[tuple[Tensor, Tensor]]) -> None:
    """An epoch of SimCLR on views that are there; at a rate of 0, so that the trained network stays what it is."""
    for first, second in pairs:
        with torch.autocast(first.device.type, torch.bfloat16):
            z1, z2 = method.projector(method.encoder(torch.cat([first, second]))).chunk(2)
            loss = nt_xent(z1, z2, method.temperature)[0]
        step(loss, optimizer)


def drain(pairs: Iterator) -> None:
    for _ in pairs:
        pass
