import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from sslcourse import nets
from sslcourse.methods import NAT


def make(**arguments):
    torch.manual_seed(0)
    method = NAT(nets.encoder("small", 16, width=4), **{"images": 20, "dim": 8, **arguments})
    method.view = lambda images: images
    return method


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_batch_shares_out_its_points_as_well_as_any_permutation_could(seed):
    method = make()
    f = F.normalize(torch.randn(5, 8, generator=torch.Generator().manual_seed(seed)), dim=1)
    index, before = torch.tensor([4, 17, 2, 9, 12]), method.owned.clone()
    method.exchange(f, index)
    cost = (f - method.points[method.owned[index]]).square().sum().item()
    costs = [
        (f - method.points[before[index][list(order)]]).square().sum().item()
        for order in itertools.permutations(range(5))
    ]
    assert cost == pytest.approx(min(costs), abs=1e-5) and cost < costs[0]
    assert torch.equal(method.owned.sort().values, torch.arange(20))
    others = torch.ones(20).bool()
    others[index] = False
    assert torch.equal(method.owned[others], before[others])


def test_one_exchange_finds_points_that_only_changed_hands():
    method = make()
    index = torch.arange(6)
    f = method.points[method.owned[index]][torch.tensor([3, 1, 5, 0, 2, 4])]
    method.exchange(f, index)
    torch.testing.assert_close(method.points[method.owned[index]], f)


def test_loss_is_the_squared_distance_and_two_by_chance():
    method = make(images=200, dim=512, reassign=2)
    method.epoch.fill_(1)
    images = torch.rand(64, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    index = torch.arange(64)
    logged = method.loss(images, index)
    assert logged["loss"].item() == pytest.approx(2, abs=0.05)
    assert logged["loss"].item() == pytest.approx(2 - 2 * logged["cosine"].item(), abs=1e-5)
    f = F.normalize(method.head(method.encoder(images)), dim=1)
    c = method.points[method.owned[index]]
    naive = sum(math.dist(f[i].tolist(), c[i].tolist()) ** 2 for i in range(64)) / 64
    assert logged["loss"].item() == pytest.approx(naive, abs=1e-5)
    torch.testing.assert_close(method.points.norm(dim=1), torch.ones(200))


def test_points_change_hands_in_every_so_manieth_epoch_and_only_in_training():
    method, images, index = make(reassign=3), torch.rand(8, 3, 16, 16), torch.arange(8)
    points, changed = method.points.clone(), []
    for _ in range(7):
        method.start_epoch(None)
        method.owned.copy_(torch.arange(20))
        method.loss(images, index)
        changed.append(not torch.equal(method.owned, torch.arange(20)))
        if len(changed) == 5:  # a resume in the middle of training: nothing but buffers survive
            again = make(reassign=3)
            again.load_state_dict(method.state_dict())
            method = again
    assert changed == [True, False, False, True, False, False, True]
    assert torch.equal(method.points, points)
    before = method.owned.clone()
    method.eval().loss(images.flip(0), index)
    assert torch.equal(method.owned, before)


def test_the_step_regresses_to_the_new_points():
    method, images, index = make(), torch.rand(8, 3, 16, 16), torch.arange(8)
    method.start_epoch(None)
    logged = method.loss(images, index)
    frozen = make(reassign=2)
    frozen.load_state_dict(method.state_dict())
    frozen.start_epoch(None)
    torch.testing.assert_close(frozen.loss(images, index)["loss"], logged["loss"])


def test_what_is_kept_sees_gradients_and_no_colour():
    method = make().eval()
    images = 0.3 + 0.3 * torch.rand(2, 3, 16, 16)
    shade = torch.tensor([0.1, -0.05, 0.2]).view(1, 3, 1, 1)
    torch.testing.assert_close(method.features(images), method.features(images + shade))
    assert not torch.allclose(method.features(images), method.features(images.flip(3)))
    assert method.kept.spec["channels"] == "gradient"
    again = NAT(nets.encoder(**method.kept.spec), **method.arguments())
    again.load_state_dict(method.state_dict())
