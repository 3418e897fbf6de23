import math

import torch

from sslcourse import nets
from sslcourse.methods import RotNet


def make(**arguments):
    torch.manual_seed(0)
    return RotNet(nets.encoder("small", 16, width=4), **arguments)


def test_chance_is_log_four():
    method = make()
    torch.nn.init.zeros_(method.classifier.weight)
    loss = method.loss(torch.rand(8, 3, 16, 16))["loss"].item()
    assert abs(loss - math.log(4)) < 0.1


def test_all_four_turns_of_every_image_share_the_batch():
    method = make()
    images = torch.rand(5, 3, 16, 16)
    turned, y = method.turned(images)
    assert turned.shape == (20, 3, 16, 16) and y.bincount().tolist() == [5, 5, 5, 5]
    for image in range(5):
        rows = [k * 5 + image for k in range(4)]
        assert sorted(y[rows].tolist()) == [0, 1, 2, 3]
        for row in rows:
            assert torch.equal(turned[row], torch.rot90(images[image], int(y[row]), (1, 2)))


def test_one_turn_each_when_asked():
    turned, y = make(all_four=False).turned(torch.rand(64, 3, 16, 16))
    assert turned.shape == (64, 3, 16, 16) and len(y.unique()) == 4
