"""Real images: every method that takes single images, on the folder $SSLCOURSE_CIFAR (5,000 images of CIFAR-10)."""

from __future__ import annotations

import os

from sslcourse import load
from sslcourse.data.images import Data
from sslcourse.errors import UserError
from sslcourse.methods import METHODS
from sslcourse.studies.table import VISITS, few, labelled, scores


def cifar10() -> Data:
    """The folder $SSLCOURSE_CIFAR."""
    folder = os.environ.get("SSLCOURSE_CIFAR")
    if not folder:
        raise UserError(
            "set SSLCOURSE_CIFAR to a folder of CIFAR-10, PATH/{train,test}/CLASS/*, to record this study"
        )
    return load(f"folder:{folder}")


def study(seed: int):
    data = cifar10()
    data.name = "cifar10, 5,000 images"
    thousand = few(data)
    thousand.name = "cifar10, 1,000 images"
    for name, method in METHODS.items():
        if not method.clips:
            run, rows = scores(name, name, thousand if name in VISITS else data, seed, data)
            yield from rows
            yield from labelled(name, run, data, seed)
