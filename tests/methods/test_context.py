import math

import pytest
import torch

from sslcourse import nets
from sslcourse.errors import UserError
from sslcourse.methods import Context
from sslcourse.methods.pretext.context import neighbours


def make(**arguments):
    torch.manual_seed(0)
    return Context(nets.encoder("small", 32, width=4, stem_stride=2), hidden=16, **arguments)


def test_every_pair_of_neighbours_is_asked_both_ways():
    """Against two nested loops over a 3x3 grid, whose eight directions are read row by row."""
    directions = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]
    expected = set()
    for place in range(9):
        for label, (down, right) in enumerate(directions):
            row, column = place // 3 + down, place % 3 + right
            if 0 <= row < 3 and 0 <= column < 3:
                expected.add((place, 3 * row + column, label))
    found = list(zip(*(x.tolist() for x in neighbours()), strict=True))
    assert len(found) == 40 and set(found) == expected
    for first, second, label in found:
        assert (second, first, 7 - label) in expected  # the order of a pair carries the sign


def test_chance_is_the_entropy_of_the_directions():
    method = make()
    torch.nn.init.zeros_(method.fc7[-1].weight)
    share = neighbours()[2].bincount().double() / 40
    method.fc7[-1].bias.data = share.log().float()
    entropy = -(share * share.log()).sum().item()
    loss = method.loss(torch.rand(4, 3, 32, 32))["loss"].item()
    assert loss == pytest.approx(entropy, abs=1e-5)
    assert entropy == pytest.approx(2.0593, abs=1e-4)
    assert entropy < math.log(8) and make().loss(torch.rand(8, 3, 32, 32))["loss"] < 2.6


def test_a_rule_that_reads_places_names_every_direction(monkeypatch):
    """A world of ramps tells every patch's row and column; a rule on these must agree with the labels."""
    method = make(colours="keep", normalise=False, degrade=0, jitter=0, min_area=1.0, grids=2)
    row = torch.linspace(0.05, 0.95, 32)[:, None].expand(32, 32)
    images = torch.stack((row, row.T, torch.zeros(32, 32))).expand(6, 3, 32, 32)
    asked = {}

    def rule(pairs):  # (pairs, 2 * 3): mean colours of the first and of the second patch
        delta = ((pairs[:, 3:5] - pairs[:, :2]) / 0.2).round().clamp(-1, 1).long()
        delta[:, 1] *= asked["mirror"]
        around = 3 * (delta[:, 0] + 1) + delta[:, 1] + 1
        return torch.nn.functional.one_hot(around - (around > 4).long(), 8) * 20.0

    monkeypatch.setattr(method, "features_of", lambda patches: patches.mean((2, 3)))
    monkeypatch.setattr(method.fc7, "forward", rule)
    monkeypatch.setattr(method, "hidden", 3)
    grids = method.grid(images)
    for mirror in (1, -1):  # mirrored images turn the ramp, and with it what the rule must say
        one_way = grids[(grids[:, 5, 1] > grids[:, 3, 1]).flatten(1).all(1) == (mirror == 1)]
        monkeypatch.setattr(method, "grid", lambda images, one_way=one_way: one_way)
        asked["mirror"] = mirror
        assert len(one_way) and method.loss(images[:1])["accuracy"] == 1


def test_logits_of_two_patches_are_those_of_the_loss():
    method = make(colours="project", degrade=0.0).eval()
    images = torch.rand(2, 3, 32, 32)
    torch.manual_seed(1)
    grids = method.grid(images.repeat_interleave(4, 0))
    torch.manual_seed(1)
    accuracy = method.loss(images)["accuracy"].item()
    first, second, y = neighbours()
    hits = [
        (method.logits(grids[:, i], grids[:, j]).argmax(1) == label).float().mean().item()
        for i, j, label in zip(first, second, y, strict=True)
    ]
    assert accuracy == pytest.approx(sum(hits) / 40, abs=1e-6)


@pytest.mark.parametrize("size, expected", [(96, (24, 12, 2)), (64, (16, 8, 1)), (32, (8, 4, 1))])
def test_sizes_follow_the_papers_proportions(size, expected):
    method = make()
    assert method.geometry(size) == expected
    assert method.grid(torch.rand(2, 3, size, size)).shape == (2, 9, 3, expected[0], expected[0])
    assert make(patch=20, gap=0, jitter=0).geometry(size) == (20, 0, 0)  # zero is zero, not "derive it"


def test_small_images_are_enlarged_to_hold_a_grid():
    patches = make(patch=16, gap=8, jitter=2).grid(torch.rand(3, 3, 32, 32))
    assert patches.shape == (3, 9, 3, 16, 16)


def test_every_guard_can_be_switched_off():
    patches = torch.rand(5, 3, 8, 8)
    assert make(colours="keep", normalise=False).cleaned(patches) is patches
    dropped = make(colours="drop", normalise=True).cleaned(patches)
    deviation = dropped.std((2, 3)).sort(1).values
    assert (deviation[:, 1] < 0.02 * deviation[:, 2]).all()
    torch.testing.assert_close(
        dropped.flatten(1).std(1, correction=0), torch.full((5,), 0.25), atol=1e-4, rtol=0
    )
    projected = make(colours="project", normalise=False).cleaned(patches)
    assert (2 * projected[:, 1] - projected[:, 0] - projected[:, 2]).abs().max() < 1e-5
    with pytest.raises(UserError, match="choose from drop, project, keep"):
        make(colours="grey")


@pytest.mark.parametrize("name", ["small", "resnet18"])
def test_a_normalised_patch_has_mean_0_and_deviation_1_to_the_encoder(name):
    """Not only to one that takes 0.5 for 0 and 0.25 for 1: a ResNet has ImageNet's mean and deviation."""
    torch.manual_seed(0)
    method = Context(nets.encoder(name, 32), hidden=16, colours="keep")
    x = method.encoder.normalise(method.cleaned(torch.rand(5, 3, 8, 8)))
    torch.testing.assert_close(x.mean((1, 2, 3)), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.square().mean((1, 2, 3)), torch.ones(5), atol=1e-4, rtol=0)
