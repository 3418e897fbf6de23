"""Lesson 06: SimCLR's Figure 5. One view is the image as it is, the other is distorted once or twice.

Every run is kept, so that a stopped record goes on with the next cell.
"""

from __future__ import annotations

from sslcourse import evaluate, nets
from sslcourse.studies import trained
from sslcourse.studies.cifar import images
from sslcourse.views import DISTORTIONS

EPOCHS = 3


def study(seed: int, kind: str = "toys"):
    data = images(kind)
    fresh = nets.random_like(nets.encoder("small"), seed)
    base = evaluate.linear(fresh, data, seed=seed, beside_random=False).value
    for first in DISTORTIONS:
        for second in DISTORTIONS:
            names = [first] if first == second else [first, second]
            run = trained("simclr", data, seed, epochs=EPOCHS, one_branch=names)
            value = evaluate.linear(run.encoder, data, seed=seed, beside_random=False).value
            yield {
                "first": first,
                "second": second,
                "value": value,
                "random": base,
                "loss": run.history[-1]["loss"],
            }
