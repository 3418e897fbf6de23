"""Nothing that is not in the image enters a method: of images of one colour, it sees images of one colour."""

import pytest
import torch

from sslcourse import nets
from sslcourse.data.images import Data, ImageSet
from sslcourse.methods import METHODS, Colorization, ColorProxy, SplitBrain
from sslcourse.methods.pretext.color_proxy import hue_chroma
from sslcourse.nets import Encoder
from tests.small import SMALL

# What these see beyond the image's edge, or in place of it, is no part of their target: a class, a turn, an instance
PADDED = {"supervised", "rotnet", "infomin"}


def red(n: int = 200, size: int = 16, frames: int = 0) -> ImageSet:
    """Images, or clips, of one colour that neither its hue nor its lightness makes special."""
    shape = (n, frames, 3, size, size) if frames else (n, 3, size, size)
    images = torch.tensor([200, 30, 60], dtype=torch.uint8).view(3, 1, 1).expand(shape).contiguous()
    steady = {
        f"camera_{name}": torch.ones(n, max(frames, 1)) for name in ("azimuth", "elevation", "distance")
    }
    return ImageSet(images, torch.zeros(n, dtype=torch.long), ("red",), factors=steady if frames else {})


@pytest.mark.parametrize("name", METHODS)
def test_images_of_one_colour_are_seen_as_images_of_one_colour(name, monkeypatch):
    frames = 4 if METHODS[name].clips else 0
    train = red(40, frames=frames)
    data = Data("red", train, train[:8], train[:8])
    given = {**METHODS[name].arguments_from(data), **SMALL.get(name, {})}
    method = METHODS[name](nets.encoder("small", 16, width=8), **given)
    method.prepare(data)
    seen, normalise = [], Encoder.normalise
    monkeypatch.setattr(
        Encoder, "normalise", lambda self, images: seen.append(images) or normalise(self, images)
    )
    images, index, labels = next(train.batches(40))
    method(images, index=index, labels=labels if method.uses_labels else None)
    assert seen
    spread = max(float((x.amax((2, 3)) - x.amin((2, 3))).max()) for x in seen)
    assert spread < 1e-4 or name in PADDED


def test_of_red_images_every_target_is_red():
    images = red().floats(slice(None))
    encoder = nets.encoder("small", 16, width=8)
    method = Colorization(encoder, size=16)
    wanted = method.gamut.nearest(method.colours(images[:1])).unique()
    assert len(wanted) == 1 and torch.equal(
        method.gamut.nearest(method.colours(method.view(images))).unique(), wanted
    )
    halves = SplitBrain(encoder, size=16)
    assert all(len(bins.unique()) == 1 for bins in halves.targets(halves.view(images)).values())
    hue, chroma = hue_chroma(ColorProxy(encoder, size=16).view(images))
    assert float(hue.max() - hue.min()) < 1e-5 and float(chroma.max() - chroma.min()) < 1e-5
