"""Real images: every method that takes single images, on 5,000 images of the folder $SSLCOURSE_CIFAR (CIFAR-10)."""

from __future__ import annotations

import os

from sslcourse import load
from sslcourse.data.images import Data
from sslcourse.errors import UserError
from sslcourse.methods import METHODS
from sslcourse.studies.table import VISITS, few, labelled, scores
from sslcourse.training.recipes import LAPTOP


def cifar10(limit: int | None = None) -> Data:
    """The folder $SSLCOURSE_CIFAR, or the first so many images of it."""
    folder = os.environ.get("SSLCOURSE_CIFAR")
    if not folder:
        raise UserError(
            "set SSLCOURSE_CIFAR to a folder of CIFAR-10, PATH/{train,test}/CLASS/*, to record this study"
        )
    data = load(f"folder:{folder}", limit=limit)
    data.name = f"cifar10, {len(data.train):,} images"
    return data


def images(kind: str) -> Data:
    """The images of a lesson's experiment: "toys" are Toybox, "photographs" 20,000 of CIFAR-10."""
    return load("toybox") if kind == "toys" else cifar10(20_000)


def study(seed: int):
    data = cifar10(5_000)
    thousand = few(data)
    thousand.name = "cifar10, 1,000 images"
    runs = {}
    for name, method in METHODS.items():
        if not method.clips:
            few_or_all = thousand if name in VISITS else data
            # as many epochs as of toys: a recipe for photographs counts those of 20,000
            epochs = LAPTOP[name].epochs
            more = {"teacher": runs[method.taught_by]} if method.taught_by else {}
            run, rows = scores(name, name, few_or_all, seed, data, epochs=epochs, **more)
            runs[name] = run
            yield from rows
            yield from labelled(name, run, data, seed)
