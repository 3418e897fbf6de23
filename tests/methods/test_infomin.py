import math

import pytest
import torch
from torch.nn import functional as F

from sslcourse import nets
from sslcourse.methods import InfoMin
from sslcourse.methods.parts.info_nce import info_nce
from sslcourse.views.randaugment import LAWS


def make(size=18, **arguments):
    torch.manual_seed(0)
    return InfoMin(nets.encoder("small", size, width=4), **{"length": 24, "dim": 8, **arguments})


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_loss_mixes_the_query_and_its_jigsaw_against_one_key(beta):
    method = make(beta=beta)
    images = torch.rand(6, 3, 18, 18)
    method.view = lambda x: x
    jig = torch.randn(6, 8)
    method.jigsaw = lambda x: jig
    k = method.keys(images)
    whole = info_nce(method.queries(images), k, method.queue.keys, 0.15)[0]
    pieces = info_nce(jig, k, method.queue.keys, 0.15)[0]
    logged = method.loss(images)
    assert logged["loss"].item() == pytest.approx(((1 - beta) * whole + beta * pieces).item(), abs=1e-5)
    assert len(method.fresh) == 1


def test_tiles_are_encoded_one_by_one_and_joined_in_any_order():
    method = make().eval()
    seen = []
    inner = method.encoder.forward
    method.encoder.forward = lambda x: seen.append(x.shape) or inner(x)
    images = torch.rand(5, 3, 18, 18)
    method.weak_view = lambda x: x
    assert method.jigsaw(images).shape == (5, 8)
    assert seen == [(45, 3, 5, 5)]  # cells of 6 px: 64 / 85 of it
    tiles = torch.arange(45.0)[:, None].expand(45, 8)
    method.tile_projector.forward, method.joint.forward = (lambda h: tiles), (lambda h: h)
    joined = method.jigsaw(images).view(5, 9, 8)[:, :, 0]
    assert torch.equal(joined.sort(1)[0], torch.arange(45.0).view(5, 9))  # every tile once, its own image's
    orders = joined - 9 * torch.arange(5)[:, None]
    assert len({tuple(o.tolist()) for o in orders}) > 1


def test_unrelated_keys_cost_log_of_the_queue_and_one():
    method = make(length=1024, dim=64, temperature=1.0)
    method.keys = lambda x: torch.randn(len(x), 64)
    assert method.loss(torch.rand(64, 3, 18, 18))["loss"].item() == pytest.approx(math.log(1025), abs=0.1)


def test_views_are_stronger_than_mocos():
    images = torch.rand(64, 3, 18, 18)
    kinds = [type(view).__name__ for view in make().view.views]
    assert kinds == ["RandomResizedCrop", "ColourJitter", "RandAugment", "Greyscale"]
    assert "GaussianBlur" in [type(view).__name__ for view in make(64).view.views]
    randaugment = make(operations=1, magnitude=7).view.views[2]
    assert randaugment.law is LAWS["infomin"] and (randaugment.operations, randaugment.magnitude) == (1, 7)
    assert "RandAugment" not in [type(view).__name__ for view in make(operations=0).view.views]
    assert make(magnitude=20).view.views[2].magnitude == 20  # a run saved with it loads; it is cut to 10
    out = make().view(images)
    assert out.shape == images.shape and 0 <= out.min() and out.max() <= 1
    assert F.mse_loss(out, images) > 0.02


def test_keys_and_tiles_can_be_normed_in_groups_as_in_moco():
    images = torch.rand(8, 3, 18, 18)
    found = {}
    for rows in (0, 4):
        method = make(rows=rows, shuffle=False)
        method.weak_view = lambda x: x
        torch.manual_seed(1)
        found[rows] = method.keys(images), method.jigsaw(images)
    half = make()
    half.weak_view = lambda x: x
    torch.testing.assert_close(found[4][0][:4], half.keys(images[:4]))
    for whole, grouped in zip(found[0], found[4], strict=True):
        assert (whole - grouped).abs().max() > 1e-3
    assert make(rows=4).shuffle and make(rows=4).arguments()["rows"] == 4
