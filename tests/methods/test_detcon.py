import itertools
import math
import sys

import pytest
import torch
from lightly.loss import DetConBLoss
from torch.nn import functional as F

from sslcourse import nets
from sslcourse.data.images import Data, ImageSet
from sslcourse.errors import UserError
from sslcourse.methods import DetCon
from sslcourse.methods.contrastive.detcon import detcon_loss
from sslcourse.methods.parts.segments import grid, majority, slic
from sslcourse.views import Compose, GaussianBlur


def make(**arguments):
    torch.manual_seed(0)
    given = {"images": 12, "size": 16, "hidden": 8, "dim": 4, "segments": 5, **arguments}
    return DetCon(nets.encoder("small", 16, width=4, stem_stride=2), **given)


def drawn(B=4, M=6, D=5, ids=4):
    """Predictions and targets of two views, and which segments they are; the other view lacks some."""
    generator = torch.Generator().manual_seed(0)
    p1, p2, z1, z2 = torch.randn(4, B, M, D, generator=generator, dtype=torch.float64)
    ids1, ids2 = torch.randint(ids, (2, B, M), generator=generator)
    ids2[1] = ids2[1] % 2
    ids1[0] = 3
    ids2[0] = 1  # nothing in common
    return p1.requires_grad_(), p2.requires_grad_(), z1, z2, ids1, ids2


def both(p1, p2, z1, z2, ids1, ids2, tau):
    return detcon_loss(p1, z1, z2, ids1, ids2, tau)[0] + detcon_loss(p2, z2, z1, ids2, ids1, tau)[0]


@pytest.mark.parametrize("tau", [0.1, 1.0])
def test_loss_and_gradient_are_lightlys(tau):
    p1, p2, z1, z2, ids1, ids2 = drawn()
    ours = both(p1, p2, z1, z2, ids1, ids2, tau)
    theirs = DetConBLoss(temperature=tau, gather_distributed=False)(p1, p2, z1, z2, ids1, ids2)
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
    for a, b in zip(*(torch.autograd.grad(loss, (p1, p2)) for loss in (ours, theirs)), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def test_loss_is_the_papers_one_segment_at_a_time():
    p1, _, z1, z2, ids1, ids2 = drawn()
    p1 = p1.detach()
    B, M, tau = 4, 6, 0.2

    def s(a, b):
        return float(F.cosine_similarity(a, b, dim=0)) / tau

    total = right = weights = 0.0
    for i in range(B):
        for m in range(M):
            positives = [s(p1[i, m], z2[i, k]) for k in range(M) if ids2[i, k] == ids1[i, m]]
            if not positives:
                continue
            others = [s(p1[i, m], z2[j, k]) for j in range(B) for k in range(M)]
            others += [
                s(p1[i, m], z1[j, k])
                for j in range(B) for k in range(M) if j != i or ids1[j, k] != ids1[i, m]
            ]  # fmt: skip
            weight = 1 / sum(ids1[i, k] == ids1[i, m] for k in range(M)).item()
            log_sum = math.log(sum(math.exp(x) for x in others))
            total += weight * (log_sum - sum(positives) / len(positives))
            right += weight * (max(others) in positives)
            weights += weight
    loss, accuracy = detcon_loss(p1, z1, z2, ids1, ids2, tau)
    assert loss.item() == pytest.approx(total / (B * M), abs=1e-10)
    assert accuracy.item() == pytest.approx(right / weights, abs=1e-6)


def test_without_any_difference_it_costs_the_log_of_what_it_may_choose_from():
    same, ids = torch.ones(3, 4, 2), torch.arange(4).expand(3, 4)
    loss, _ = detcon_loss(same, same, same, ids, ids, 0.1)
    assert loss.item() == pytest.approx(math.log(2 * 12 - 1), abs=1e-5)


def test_nothing_in_common_costs_nothing_and_breaks_nothing():
    p = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    ids = torch.arange(3).expand(2, 3)
    loss, _ = detcon_loss(p, p.detach(), p.detach(), ids, ids + 3, 0.1)
    loss.backward()
    assert loss.item() == 0 and torch.equal(p.grad, torch.zeros_like(p))


def test_segments_are_cropped_and_mirrored_with_their_image():
    method = make(size=32, min_scale=0.3)
    maps = grid(32, 4).expand(40, 32, 32)
    images = (maps[:, None] / 16).expand(-1, 3, -1, -1).contiguous()  # every pixel shows its segment
    x, moved = method.view(images, maps.to(torch.uint8), Compose([]))
    assert moved.shape == (40, 32, 32) and moved.dtype == torch.int64
    agree = ((x[:, 0] * 16).round() == moved).float().mean((1, 2))
    assert agree.min() > 0.7 and agree.mean() > 0.85  # edges are blurred in images, not in maps
    mirrored = (moved[:, 0, 0] % 4 > moved[:, 0, -1] % 4).float().mean()
    assert 0.2 < mirrored < 0.8
    assert len({tuple(m.unique().tolist()) for m in moved}) > 5


def test_every_segment_that_is_present_is_drawn_equally_often():
    places = torch.tensor([[3] * 13 + [250, 7, 7]]).expand(300, 16)
    ids = make(segments=16).draw(places)
    assert ids.shape == (300, 16) and set(ids.unique().tolist()) == {3, 7, 250}
    assert all(abs((ids == i).float().mean() - 1 / 3) < 0.03 for i in (3, 7, 250))


def test_features_are_means_over_a_segment():
    method, generator = make().eval(), torch.Generator().manual_seed(0)
    h = torch.rand(2, 16, method.encoder.dim, generator=generator)
    places = torch.randint(3, (2, 16), generator=generator)
    ids = torch.tensor([[0, 2], [1, 1]])
    found = method.projected(h, places, ids, method.projector)
    for i in range(2):
        for m in range(2):
            mean = h[i, places[i] == ids[i, m]].mean(0, keepdim=True)
            torch.testing.assert_close(found[i, m], method.projector(mean)[0])


def test_prepare_segments_every_image_once_and_the_maps_are_saved(tiny_data):
    method = make(images=96, masks="slic")
    method.prepare(tiny_data)
    assert method.segmented.shape == (96, 16, 16) and method.segmented.dtype == torch.uint8
    torch.testing.assert_close(method.segmented[70:75].long(), slic(tiny_data.train.floats(slice(70, 75))))
    again = make(images=96)
    again.load_state_dict(method.state_dict())
    assert torch.equal(again.segmented, method.segmented)


def test_objects_are_the_datas_own_and_must_be_there(tiny_data):
    mask = torch.randint(0, 3, (12, 16, 16), dtype=torch.uint8)
    images = torch.zeros(12, 3, 16, 16, dtype=torch.uint8)
    method = make(masks="objects")
    data = ImageSet(images, masks={"instance": mask})
    method.prepare(Data("seen", data, data, data))
    assert torch.equal(method.segmented, mask)
    with pytest.raises(UserError, match=r"needs data with masks\['instance'\]"):
        make(masks="objects", images=96).prepare(tiny_data)


def test_felzenszwalb_says_what_it_needs(tiny_data, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    with pytest.raises(UserError, match="pip install scikit-image"):
        make(masks="felzenszwalb", images=96).prepare(tiny_data)


def test_the_loss_is_both_directions_against_the_slow_network():
    method = make(images=4).eval()
    images, index = torch.rand(4, 3, 16, 16), torch.arange(4)
    method.segmented = torch.arange(256).view(1, 16, 16).expand(4, -1, -1) // 128  # an upper half and a lower
    ids = torch.randint(2, (8, 5))
    method.draw = lambda places: ids
    flips = itertools.cycle([(), (-2,)])
    method.view = lambda x, maps, look: [v.flip(rows) for rows in [next(flips)] for v in (x, maps)]
    with torch.no_grad():
        for p in method.target.parameters():
            p.add_(0.3 * torch.randn_like(p))

    def pooled(encoder, projector, x, maps, ids):
        """Projected means over segments, one at a time."""
        h, place = encoder.tokens(x), majority(maps, 2)
        rows = [[h[b, place[b] == i].mean(0) for i in of_image] for b, of_image in enumerate(ids.tolist())]
        return projector(torch.stack([torch.stack(row) for row in rows]).flatten(0, 1)).view(*ids.shape, -1)

    x = images, images.flip(2)
    maps = method.segmented.long(), method.segmented.long().flip(1)
    p, z = [], []
    for one, m, i in zip(x, maps, ids.chunk(2), strict=True):
        q = pooled(method.encoder, method.projector, one, m, i)
        p.append(method.predictor(q.flatten(0, 1)).view_as(q))
        z.append(pooled(*method.target, one, m, i))
    expected = both(*p, *z, *ids.chunk(2), method.temperature)
    found = method.loss(images, index)["loss"]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("size", "blurs"), [(16, False), (64, True)])
def test_only_larger_images_are_blurred(size, blurs):
    method = make(size=size)
    assert any(isinstance(view, GaussianBlur) for look in method.looks for view in look.views) == blurs


def test_the_target_network_follows_slowly_and_is_never_trained():
    method = make(momentum=0.9)
    assert not any(p.requires_grad for p in method.target.parameters())
    before = method.target[0].stem[0].weight.clone()
    with torch.no_grad():
        method.encoder.stem[0].weight.add_(1)
    method.progress = 0.5
    method.after_step()
    torch.testing.assert_close(method.target[0].stem[0].weight, before + 0.05)
    method.progress = 1.0
    method.after_step()
    torch.testing.assert_close(method.target[0].stem[0].weight, before + 0.05)


@pytest.mark.parametrize("kind", ["B", "S"])
def test_both_kinds_learn_to_tell_segments_apart(kind):
    method = make(kind=kind, masks="grid", cells=2, hidden=32, dim=16, min_scale=0.5)
    assert hasattr(method, "target") == (kind == "B")
    data = ImageSet((255 * torch.rand(12, 3, 16, 16)).byte())
    method.prepare(Data("noise", data, data, data))
    optimizer = torch.optim.Adam(method.parameters(), 3e-3)
    losses, images = [], data.floats()
    for _ in range(30):
        loss = method.loss(images, torch.arange(12))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        method.after_step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


@pytest.mark.parametrize(
    ("arguments", "message"), [({"kind": "C"}, "kind 'B' or 'S'"), ({"masks": "sam"}, "no masks 'sam'")]
)
def test_bad_arguments_are_one_clear_line(arguments, message):
    with pytest.raises(UserError, match=message):
        make(**arguments)
