"""The protocol: accuracy of a network that learned from a share of the labels and from all the images."""

from __future__ import annotations

from dataclasses import asdict, replace

import torch
from torch import nn

from sslcourse.data.images import Data, pick_device
from sslcourse.errors import UserError
from sslcourse.evaluate.features import extract
from sslcourse.evaluate.lowshot import subset
from sslcourse.evaluate.score import Result, Score, accuracy, labelled, score
from sslcourse.evaluate.semisupervised.baseline import Baseline, Supervised
from sslcourse.evaluate.semisupervised.fixmatch import FixMatch
from sslcourse.evaluate.semisupervised.loop import train
from sslcourse.evaluate.semisupervised.pseudo_label import PseudoLabel
from sslcourse.evaluate.semisupervised.retraining import Retraining, guesses
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
    retrain: bool | Retraining = False,
    seed: int = 0,
    device: str = "auto",
    beside_supervised: bool = True,
    **arguments,
) -> Score:
    """Top-1 of the baseline `name` with a stratified `fraction` of the labels and all training images.

    The labelled images are `finetune`'s. `encoder`: what a copy of starts, by default a fresh small network.
    All baselines share it, the weak view, AdamW and the number of steps; only the loss differs. `arguments`
    go to the baseline's constructor. details["supervised"]: the labelled part alone, in the place of the
    random initialisation; "history": the accuracy on `.val` on the way.

    `retrain`: MOAM's other two steps, with True or a Retraining. The network goes on by the same loss, its
    guesses at all the training images for their labels; and then with the true labels of the fraction alone.
    details["stages"]: [{"stage": "joint", "value", "history"}, the same of "retrained" and of "fine-tuned"];
    the score's value is the last one's.

    Differs from MOAM: its guesses are averaged over five crops beside four turns. Tuning is plain supervision on
    upright images, its rate half a cosine, where the paper's falls tenfold every five epochs.
    """
    if name not in BASELINES:
        raise UserError(f"baseline {name!r} is unknown: choose from {', '.join(BASELINES)}")
    device, classes = pick_device(device), labelled(data, "semisupervised")
    rows = subset(data.train.labels, fraction=fraction, seed=seed)
    settings = {"steps": steps, "batch_size": batch_size, "lr": lr, "weight_decay": weight_decay}
    again = retrain if isinstance(retrain, Retraining) else Retraining() if retrain else None
    if encoder is None:
        encoder = random_like(build("small", data.size), seed)

    def learn(which: str, again: Retraining | None = None, **given) -> list[dict]:
        baseline, common = BASELINES[which][0](**given), {"seed": seed, "device": device}
        stages = []

        def keep(stage: str, net: nn.Sequential, history: list[dict]) -> nn.Sequential:
            right = accuracy(extract(net, data.test, device=device).argmax(1), data.test.labels)
            stages.append({"stage": stage, "value": right, "history": history})
            return net

        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            net = keep("joint", *train(baseline, encoder, data, rows, classes, **settings, **common))
            if again:
                labels = guesses(net, data.train, baseline.turns, device)
                guessed = replace(data, train=replace(data.train, labels=labels))
                every, longer = (
                    torch.arange(len(labels)),
                    {**settings, "steps": max(1, round(again.steps * steps))},
                )
                more = train(baseline, net[0], guessed, every, classes, **longer, **common, classifier=net[1])
                net = keep("retrained", *more)
                tuning = {
                    "steps": max(1, round(again.tuning_steps * steps)), "batch_size": batch_size,
                    "lr": again.tuning_lr * lr, "weight_decay": again.tuning_decay * weight_decay,
                }  # fmt: skip
                more = train(Supervised(), net[0], data, rows, classes, **tuning, **common, classifier=net[1])
                keep("fine-tuned", *more)
        return stages

    def measure(start: nn.Module) -> list[Result]:
        stages = learn(name, again, **arguments)
        history = stages[0]["history"]
        details = {"baseline": name, "fraction": fraction, "history": history, **settings, **arguments}
        if again:
            details |= {"retrain": asdict(again), "stages": stages}
        value = stages[-1]["value"]
        return [Result(f"top-1 @ {100 * fraction:g}%", value, len(rows), len(data.test), details)]

    found = score("semisupervised", measure, encoder, None, data, seed, device)[0]
    if beside_supervised and name != "supervised":
        found.details["supervised"] = learn("supervised")[0]["value"]
    return found
