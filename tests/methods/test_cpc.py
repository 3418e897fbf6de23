import math

import pytest
import torch

from sslcourse import nets
from sslcourse.data.images import Data, ImageSet
from sslcourse.errors import UserError
from sslcourse.methods import CPC
from sslcourse.methods.contrastive.cpc import questions, recognise


def make(size=16, norm="layer", **arguments):
    return CPC(nets.encoder("small", size, width=4, norm=norm), size=size, hidden=8, depth=3, **arguments)


def naive(zhat, z, target, drawn):
    """The formula, one prediction at a time; `drawn` are pairs (image, place)."""
    total, right, count = 0.0, 0, 0
    B, P = z.shape[:2]
    for b in range(B):
        for q, place in enumerate(target.tolist()):
            candidates = [(b, p) for p in range(P)] + [(i, p) for i, p in drawn if i != b]
            scores = [float(zhat[b, q] @ z[i, p]) for i, p in candidates]
            total += math.log(sum(math.exp(s) for s in scores)) - scores[place]
            right += max(scores) == scores[place]
            count += 1
    return total / count, right / count


@pytest.mark.parametrize("negatives", [0, 7])
def test_loss_is_the_formula(negatives):
    zhat, z = torch.randn(3, 5, 4).double(), torch.randn(3, 6, 4).double()
    target = torch.tensor([2, 5, 0, 3, 3])
    torch.manual_seed(1)
    loss, accuracy = recognise(zhat, z, target, negatives)
    torch.manual_seed(1)
    drawn = torch.randint(18, (negatives,)).tolist() if negatives else range(18)
    expected = naive(zhat, z, target, [(i // 6, i % 6) for i in drawn])
    assert (loss.item(), accuracy.item()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("negatives", [0, 50])
def test_chance_is_the_log_of_the_number_of_candidates(negatives):
    z = torch.randn(8, 9, 4)
    loss = recognise(torch.zeros(8, 2, 4), z, torch.tensor([4, 8]), negatives)[0].item()
    if negatives:  # of what is drawn an eighth falls on the image itself
        assert math.log(9 + 0.6 * 50) < loss < math.log(9 + 50)
    else:
        assert loss == pytest.approx(math.log(72), abs=1e-5)
    method = make(grey=0.0)
    assert method(torch.rand(16, 3, 16, 16))["loss"].item() == pytest.approx(math.log(16 * 49), abs=0.05)


def test_scores_are_not_normalised():
    z = torch.eye(24).view(4, 6, 24)
    for s in (0.1, 1.0, 5.0):
        loss, accuracy = recognise(s * z[:, :2], z, torch.tensor([0, 1]))
        assert loss.item() == pytest.approx(math.log(math.exp(s) + 23) - s, abs=1e-5) and accuracy == 1


def test_every_direction_asks_for_the_places_that_lie_that_way():
    grid, k = 4, range(2, 4)
    source, target = questions(grid, k, 4)
    assert len(source) == len(target) == 4 * (2 + 1) * 4
    place = torch.arange(16).view(4, 4)
    for s, t in zip(source.tolist(), target.tolist(), strict=True):
        (i, j), at = divmod(s // 16, 2), s % 16
        y, x = divmod(at, 4)
        from_here = divmod(int(place.rot90(i)[y, x]), 4)  # where this context lies in the upright grid
        way = [(1, 0), (0, -1), (-1, 0), (0, 1)][i]  # down, left, up, right
        there = divmod(t, 4)
        assert [there[n] - from_here[n] for n in (0, 1)] == [(2 + j) * way[n] for n in (0, 1)]


def test_steps_that_share_pixels_with_the_context_are_skipped_and_the_grid_ends_them():
    def rows(**arguments):
        method = make(32, **arguments)
        side = method.encoder.side(32)
        below = method.target // side - method.source % side**2 // side
        return sorted(set(below.tolist()))

    assert rows() == [2, 3, 4, 5, 6]
    assert rows(steps=2) == [2, 3]
    assert rows(skip=0) == [1, 2, 3, 4, 5]
    assert rows(stride=1.0, steps=3, patch=1 / 7) == [1, 2, 3]


@pytest.mark.parametrize("skip", [None, 0])
def test_what_predicts_a_patch_has_not_seen_a_pixel_of_it(skip):
    method = make(directions=4, skip=skip, steps=2).double()
    method.view = method.patch_view = lambda images: images
    images = torch.rand(1, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    zhat = method.predictions(method.encoder.encode(method.patches(images)))[0].sum(1)  # (Q,)
    each = [torch.autograd.grad(q, images, retain_graph=True)[0][0] for q in zhat]
    seen = torch.stack(each).abs().sum(1)  # (Q, 16, 16)
    inside = torch.stack(
        [seen[q, t // 7 * 2 :, t % 7 * 2 :][:4, :4].sum() for q, t in enumerate(method.target.tolist())]
    )
    assert (seen.sum((1, 2)) > 0).all()
    assert (inside > 0).any() == (skip == 0)


def test_batch_norm_lets_patches_know_each_other_and_layer_norm_does_not():
    images = torch.rand(2, 3, 16, 16)
    other = images.clone()
    other[:, :, 12:] = 0  # the last rows of patches
    for norm, apart in (("layer", True), ("batch", False)):
        method = make(norm=norm, jitter=0.0).train()
        method.view = lambda images: images
        a, b = (method.encoder.encode(method.patches(x))[:, :, 0] for x in (images, other))
        assert torch.allclose(a, b, atol=1e-5) == apart


def test_patches_are_distorted_each_by_itself():
    torch.manual_seed(0)
    images = torch.rand(2, 3, 32, 32)

    def patches(**arguments):
        method = make(32, **{"jitter": 0.0, "grey": 0.0, "min_area": 1.0, **arguments})
        method.view = lambda images: images
        return method.patches(images), method.encoder.patches(images)

    out, grid = patches()
    assert torch.equal(out, grid)
    out, grid = patches(patch_flip=0.5)
    flipped = (out == grid.flip(5)).flatten(3).all(3)
    assert ((out == grid).flatten(3).all(3) ^ flipped).all() and 0.2 < flipped.float().mean() < 0.8
    out, grid = patches(drop=1.0)
    assert ((out.std((4, 5)) > 0.1).sum(3) == 1).all()  # one channel with contrast
    out, grid = patches(jitter=1 / 8)
    moved = [out[0, 0, 0, :, 1:-1, 1:-1], grid[0, 0, 0]]
    assert any(
        torch.equal(moved[0], moved[1][:, 1 + i : 7 + i, 1 + j : 7 + j])
        for i in (-1, 0, 1)
        for j in (-1, 0, 1)
    )
    assert not torch.equal(out, grid)


@pytest.mark.parametrize("name", ["small", "resnet18"])
def test_dropped_colours_are_0_to_the_encoder(name):
    torch.manual_seed(0)
    method = CPC(
        nets.encoder(name, 32, norm="layer"), size=32, hidden=8, depth=1, drop=1.0, grey=0.0, jitter=0.0
    )
    patches = method.patches(torch.rand(2, 3, 32, 32)).flatten(0, 2)
    x = method.encoder.encoder.normalise(patches)
    torch.testing.assert_close(x.mean((2, 3)), torch.zeros(len(x), 3), atol=0.02, rtol=0)


def test_what_is_kept_sees_patches_and_is_built_from_the_data():
    images = torch.rand(4, 3, 32, 32)
    data = Data("tiny", *[ImageSet((images * 255).byte())] * 3)
    method = CPC(nets.encoder("small", 32, width=4), **CPC.arguments_from(data)).eval()
    assert method.kept.spec["name"] == "patchwise" and method.kept.spec["patch"] == 8
    z = method.kept.encode(method.kept.patches(images))
    torch.testing.assert_close(method.features(images), z.mean((2, 3)))


def test_bad_arguments_are_one_line():
    with pytest.raises(UserError, match="grid of 1x1 patches has no row to predict"):
        make(patch=1.0)
    with pytest.raises(UserError, match="cpc directions 5: choose 1"):
        make(directions=5)
