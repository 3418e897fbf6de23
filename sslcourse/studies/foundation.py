"""The gates of the Toybox: is it hard in the right way?"""

from __future__ import annotations

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from sslcourse import evaluate, load, nets
from sslcourse.data.images import Data, ImageSet
from sslcourse.studies import trained
from sslcourse.views import four_rotations


def profiles(images: Tensor) -> Tensor:
    """Means over columns and over rows: (B, 3, H, W) -> (B, 3 (H + W))."""
    return torch.cat([images.mean(-1).flatten(1), images.mean(-2).flatten(1)], 1)


def rotation_from_profiles(data: Data, n: int = 4000) -> float:
    """Accuracy of a linear classifier that guesses the turn from `profiles`: chance is 0.25."""

    def pairs(part: ImageSet):
        x, y = four_rotations(part.floats(slice(0, n)))
        return profiles(x).cpu(), y.cpu()

    (x, y), (x_test, y_test) = pairs(data.train), pairs(data.test)
    x, x_test = evaluate.standardise(x, x_test)
    return float(LogisticRegression(C=0.01, max_iter=300).fit(x, y).score(x_test, y_test))


@torch.no_grad()
def pretext_accuracy(method, images: Tensor) -> float:
    """How often a RotNet names the turn of `images` (B, 3, H, H) and its three copies."""
    x, y = four_rotations(images)
    return float(torch.cat([method.logits(part).argmax(1) for part in x.split(512)]).eq(y).float().mean())


def study(seed: int):
    data = load("toybox")
    torch.manual_seed(seed)
    encoders = {"random": (nets.encoder("small"), 0.0)}
    methods = {
        "simclr": ("simclr", {}),
        "simclr without colour": ("simclr", {"strength": 0.0, "grey": 0.0}),
        "rotnet": ("rotnet", {}),
    }
    for name, (method, arguments) in methods.items():
        run = trained(method, data, seed, **arguments)
        encoders[name] = run.encoder, run.seconds
    for name, (encoder, seconds) in encoders.items():
        for protocol in (evaluate.knn, evaluate.linear):
            score = protocol(encoder, data, seed=seed, beside_random=False)
            yield {
                "method": name,
                "data": "toybox",
                "protocol": score.protocol,
                "value": score.value,
                "seconds": seconds,
            }
    for fraction in (0.01, 0.1, 1.0):
        score = evaluate.finetune(nets.encoder("small"), data, fraction=fraction, seed=seed, scratch=True)
        name = f"supervised {100 * fraction:g}%"
        yield {
            "method": name,
            "data": "toybox",
            "protocol": "finetune",
            "value": score.value,
            "seconds": score.seconds,
        }
    for world in ("toybox", "toybox-above", "toybox-sky"):
        value = rotation_from_profiles(load(world, limit=4000))
        yield {
            "method": "row and column means",
            "data": world,
            "protocol": "rotation",
            "value": value,
            "seconds": 0.0,
        }
    for world in ("toybox", "toybox-above", "toybox-sky"):
        other = load(world)
        run = trained("rotnet", other, seed, epochs=None if world == "toybox" else 3)
        value = pretext_accuracy(run.method, other.test.floats())
        yield {
            "method": "rotnet",
            "data": world,
            "protocol": "rotation",
            "value": value,
            "seconds": run.seconds,
        }
