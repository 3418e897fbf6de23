import math

import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import RandomResizedCrop as TorchvisionCrop
from torchvision.transforms.v2 import functional as F

from sslcourse.views import HorizontalFlip, MultiCrop, RandomResizedCrop, ShiftCrop, resized_crop, simclr_view

BOXES = torch.tensor([[0, 0, 32, 40], [5, 7, 3, 30], [11, 2, 21, 9], [31, 39, 1, 1], [0, 8, 32, 32]]).float()


@pytest.mark.parametrize("size", [32, (16, 24), 7, 64])
@pytest.mark.parametrize("antialias", [True, False])
def test_resized_crop_equals_torchvision(size, antialias):
    images = torch.rand(len(BOXES), 3, 32, 40)
    flips = torch.tensor([True, False, True, False, True])
    ours = resized_crop(images, BOXES, size, flips, antialias=antialias)
    for i, box in enumerate(BOXES.int().tolist()):
        peer = F.resized_crop(
            images[i], *box, size=list(size) if isinstance(size, tuple) else [size, size], antialias=antialias
        )
        torch.testing.assert_close(ours[i], peer.flip(2) if flips[i] else peer, atol=1e-4, rtol=0)


def test_nearest_keeps_mask_values_and_equals_torchvision():
    masks = torch.randint(0, 9, (len(BOXES), 1, 32, 40)).float()
    ours = resized_crop(masks, BOXES, 16, nearest=True)
    assert torch.equal(ours, ours.round())
    for i, box in enumerate(BOXES.int().tolist()):
        peer = F.resized_crop(masks[i], *box, size=[16, 16], interpolation=InterpolationMode.NEAREST_EXACT)
        assert torch.equal(ours[i], peer)


@pytest.mark.parametrize("shape", [(32, 32), (20, 60)])
def test_boxes_follow_torchvisions_law(shape, generator):
    """Means and quantiles of height, width and place agree; on wide images the fallback is frequent."""
    torch.manual_seed(0)
    images, n = torch.empty(1, 3, *shape), 4000
    ours = RandomResizedCrop().boxes(images.expand(n, -1, -1, -1), generator)
    crop = TorchvisionCrop(1)
    draws = [crop.make_params([images[0]]) for _ in range(n)]
    peer = torch.tensor([[d["top"], d["left"], d["height"], d["width"]] for d in draws]).float()
    assert torch.equal(ours, ours.round())
    assert (ours[:, :2] >= 0).all() and (ours[:, 2:] >= 1).all()
    assert (ours[:, 0] + ours[:, 2] <= shape[0]).all() and (ours[:, 1] + ours[:, 3] <= shape[1]).all()
    for column in range(4):
        a, b = ours[:, column], peer[:, column]
        assert abs(a.mean() - b.mean()) < 5 * math.sqrt(2 / n) * b.std() + 1e-6
        assert abs(a.std() - b.std()) < 0.08 * b.std() + 1e-6
    area, peer_area = ours[:, 2] * ours[:, 3], peer[:, 2] * peer[:, 3]
    q = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95])
    assert (area.quantile(q) - peer_area.quantile(q)).abs().max() < 0.05 * shape[0] * shape[1]


def test_fallback_is_the_largest_allowed_central_box(generator):
    images = torch.empty(3, 3, 10, 100)
    boxes = RandomResizedCrop(scale=(1, 1)).boxes(images, generator)  # the whole area never fits at 10 : 100
    assert boxes.tolist() == [[0.0, 43.0, 10.0, 13.0]] * 3
    boxes = RandomResizedCrop(scale=(1, 1)).boxes(images.mT, generator)
    assert boxes.tolist() == [[43.0, 0.0, 13.0, 10.0]] * 3


def test_folded_flip_is_a_mirror_of_the_same_crop():
    images = torch.rand(64, 3, 32, 32)
    seeds = (torch.Generator().manual_seed(1) for _ in range(2))
    plain, mirrored = (RandomResizedCrop(flip=p)(images, next(seeds)) for p in (0.0, 1.0))
    torch.testing.assert_close(mirrored, plain.flip(3), atol=1e-6, rtol=0)


def test_horizontal_flip_mirrors_about_half(generator):
    images = torch.rand(1000, 3, 4, 4)
    out = HorizontalFlip(0.5)(images, generator)
    mirrored = (out == images.flip(3)).flatten(1).all(1)
    assert (mirrored | (out == images).flatten(1).all(1)).all()
    assert 0.44 < mirrored.float().mean() < 0.56


@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_shift_crop_shifts_every_image_by_its_own_amount(mode, generator):
    images = torch.rand(1, 3, 12, 12).expand(500, -1, -1, -1)
    out = ShiftCrop(2, mode=mode)(images, generator)
    padded = torch.nn.functional.pad(images[:1], (2,) * 4, mode=mode)
    windows = padded.unfold(2, 12, 1).unfold(3, 12, 1)[0]  # (3, 5, 5, 12, 12)
    windows = windows.permute(1, 2, 0, 3, 4).flatten(0, 1)  # -> (25, 3, 12, 12)
    matches = (out[:, None] == windows).flatten(2).all(2)  # (500, 25)
    assert (matches.sum(1) == 1).all()
    assert (matches.sum(0) > 5).all()  # all 25 places occur


def test_multi_crop_lists_globals_then_locals(generator):
    images = torch.rand(4, 3, 32, 32)
    views = MultiCrop(simclr_view(32), simclr_view(16), n_local=3)(images, generator)
    assert [tuple(v.shape) for v in views] == [(4, 3, 32, 32)] * 2 + [(4, 3, 16, 16)] * 3
    assert not torch.equal(views[0], views[1])
    first, second = MultiCrop([lambda x, g: x, lambda x, g: 1 - x])(images)
    assert torch.equal(first, images) and torch.equal(second, 1 - images)
