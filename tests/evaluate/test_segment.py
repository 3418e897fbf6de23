from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import jaccard_score
from torch import nn

from sslcourse.data.images import Data, ImageSet
from sslcourse.errors import UserError
from sslcourse.evaluate import run_protocols, segment
from sslcourse.evaluate.segment import confusion, iou


class Pixels(nn.Module):
    """The image itself as a map, averaged to places of `side` pixels; `flat` keeps nothing of it."""

    def __init__(self, side=1, flat=False):
        super().__init__()
        self.pool, self.flat = nn.AvgPool2d(side), flat

    def final_map(self, images):
        return self.pool(images) * (not self.flat)

    def layers(self, images):
        return {"all": self.pool(images), "tokens": self.pool(images).flatten(2).transpose(1, 2)}


def coloured(n, size=16, seed=0):
    """Squares of 8 px on black, their colour is their class."""
    generator = torch.Generator().manual_seed(seed)
    images, mask = (
        torch.zeros(n, 3, size, size, dtype=torch.uint8),
        torch.zeros(n, size, size, dtype=torch.uint8),
    )
    for i in range(n):
        c, y, x = int(torch.randint(3, (), generator=generator)), *torch.randint(9, (2,), generator=generator)
        images[i, c, y : y + 8, x : x + 8], mask[i, y : y + 8, x : x + 8] = 255, c + 1
    return ImageSet(images, classes=("red", "green", "blue"), masks={"class": mask})


DATA = Data("squares", coloured(40), coloured(10, seed=1), coloured(20, seed=2))


def test_iou_is_that_of_scikit_learn_over_all_pixels():
    truth, found = (torch.randint(4, (5, 6, 6), generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    expected = jaccard_score(truth.flatten(), found.flatten(), average=None)
    assert np.allclose(iou(confusion(truth, found, 4)), expected)
    assert iou(confusion(truth, found, 6))[4:].isnan().all()  # classes that are nowhere


def test_what_the_map_says_of_a_pixel_is_read_and_nothing_else():
    full, flat = (segment(net, DATA, device="cpu") for net in (Pixels(), Pixels(flat=True)))
    assert full.value == 1 and full.metric == "mIoU" and full.n_test == 20
    assert set(full.details["IoU"]) == {"background", "red", "green", "blue"}
    area = (DATA.test.masks["class"] == 0).float().mean().item()
    assert flat.value == pytest.approx(area / 4, abs=1e-6)  # background everywhere: IoU area, 0, 0, 0


def test_a_coarse_map_blurs_the_borders_and_a_layer_may_be_tokens():
    coarse = segment(Pixels(side=4), DATA, device="cpu").value
    assert 0.5 < coarse < 0.95
    assert segment(Pixels(side=4), DATA, layer="tokens", device="cpu").value == pytest.approx(coarse)


def test_the_strength_is_chosen_on_val_alone():
    inverted = replace(DATA.val, masks={"class": DATA.train.masks["class"][:10] * 0})
    strong = segment(Pixels(), replace(DATA, val=inverted), l2=(1e-4, 1e4), device="cpu")
    assert strong.details["l2"] == pytest.approx(1e4)  # finds only background, as this val has it
    assert segment(Pixels(), DATA, l2=(1e-4, 1e4), device="cpu").details["l2"] == pytest.approx(1e-4)


def test_data_without_masks_and_a_layer_that_is_not_there(tiny_data):
    with pytest.raises(UserError, match="segment on 'tiny': it has no masks of classes"):
        run_protocols(Pixels(), replace(tiny_data, name="tiny"), ["segment"], device="cpu")
    with pytest.raises(UserError, match="no layer 'x': use one of all, tokens"):
        segment(Pixels(), DATA, layer="x", device="cpu")
