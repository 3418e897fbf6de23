"""The protocol: accuracy of a network that learned from a share of the labels and from all the images."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from sslcourse.data.images import Data, pick_device
from sslcourse.errors import UserError
from sslcourse.evaluate.features import extract
from sslcourse.evaluate.lowshot import subset
from sslcourse.evaluate.score import Result, Score, accuracy, labelled, score
from sslcourse.evaluate.semisupervised.baseline import Baseline, Supervised
from sslcourse.evaluate.semisupervised.fixmatch import FixMatch
from sslcourse.evaluate.semisupervised.loop import train
from sslcourse.evaluate.semisupervised.pseudo_label import PseudoLabel
from sslcourse.evaluate.semisupervised.s4l import S4L
from sslcourse.evaluate.semisupervised.uda import UDA
from sslcourse.evaluate.semisupervised.vat import VAT
from sslcourse.methods.method import Paper
from sslcourse.nets import encoder as build
from sslcourse.nets import random_like

# name -> (class, paper); as in the talk's table
BASELINES: dict[str, tuple[type[Baseline], Paper]] = {
    baseline.name: (baseline, baseline.paper)
    for baseline in (Supervised, PseudoLabel, VAT, UDA, FixMatch, S4L)
}


def semisupervised(
    name: str,
    data: Data,
    *,
    fraction: float = 0.1,
    encoder: nn.Module | None = None,
    steps: int = 400,
    batch_size: int = 32,
    lr: float = 6e-3,
    weight_decay: float = 0.05,
    retrain: bool = False,
    seed: int = 0,
    device: str = "auto",
    beside_supervised: bool = True,
    **arguments,
) -> Score:
    """Top-1 of the baseline `name` with a stratified `fraction` of the labels and all training images.

    The labelled images are `finetune`'s. `encoder`: what a copy of starts, by default a fresh small network.
    All baselines share it, the weak view, AdamW and the number of steps; only the loss differs. `arguments`
    go to the baseline's constructor. `retrain`: a second network, from the same start, by the same loss,
    takes the first one's guesses on all the images for their labels. details["supervised"]: the labelled
    part alone, in the place of the random initialisation; "history": its accuracy on `.val` on the way.
    """
    if name not in BASELINES:
        raise UserError(f"baseline {name!r} is unknown: choose from {', '.join(BASELINES)}")
    device, classes = pick_device(device), labelled(data, "semisupervised")
    rows = subset(data.train.labels, fraction=fraction, seed=seed)
    settings = {"steps": steps, "batch_size": batch_size, "lr": lr, "weight_decay": weight_decay}
    if encoder is None:
        encoder = random_like(build("small", data.size), seed)

    def learn(which: str, again: bool = False, **given) -> tuple[float, list[dict]]:
        def run(task: Data, known: Tensor) -> tuple[nn.Sequential, list[dict]]:
            baseline = BASELINES[which][0](**given)
            return train(baseline, encoder, task, known, classes, **settings, seed=seed, device=device)

        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            net, history = run(data, rows)
            if again:
                labels = extract(net, data.train, device=device).argmax(1).to(data.train.labels.device)
                labels[rows] = data.train.labels[rows]
                guessed = replace(data, train=replace(data.train, labels=labels))
                net, history = run(guessed, torch.arange(len(labels)))
        return accuracy(extract(net, data.test, device=device).argmax(1), data.test.labels), history

    def measure(start: nn.Module) -> list[Result]:
        value, history = learn(name, retrain, **arguments)
        details = {"baseline": name, "fraction": fraction, "history": history, **settings, **arguments}
        return [Result(f"top-1 @ {100 * fraction:g}%", value, len(rows), len(data.test), details)]

    found = score("semisupervised", measure, encoder, None, data, seed, device)[0]
    if beside_supervised and name != "supervised":
        found.details["supervised"] = learn("supervised")[0]
    return found
