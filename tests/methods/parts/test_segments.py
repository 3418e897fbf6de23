"""Segments of images: superpixels, grids, Felzenszwalb's, and which of them a place belongs to."""

import sys
import types

import pytest
import torch
from torch.nn import functional as F

from sslcourse.methods.parts.segments import grid, majority, segmentation, slic
from sslcourse.views import rgb_to_lab


@pytest.mark.parametrize("side", [1, 2, 4, 8])
def test_each_place_belongs_to_the_segment_with_most_pixels(side):
    maps = torch.randint(0, 255, (3, 16, 16), generator=torch.Generator().manual_seed(0)) ** 2 // 5000
    share = F.adaptive_avg_pool2d(F.one_hot(maps).permute(0, 3, 1, 2).float(), side).flatten(2)
    found = majority(maps, side)
    torch.testing.assert_close(share.gather(1, found[:, None])[:, 0], share.amax(1))


def test_superpixels_follow_edges_and_a_grid_does_not():
    images = torch.full((2, 3, 32, 32), 0.2)
    images[0, :, :, 11:] = 0.8
    images[1, 0, :21] = 0.9
    found = slic(images)
    assert found.shape == (2, 32, 32) and found.max() < 16
    edges = (images[:, :1] > 0.5)[:, 0]
    for label, edge in zip(found, edges, strict=True):
        on, off = set(label[edge].tolist()), set(label[~edge].tolist())
        assert not on & off and len(on) > 1 and len(off) > 1
    square = grid(32, 4)
    assert (
        torch.equal(square[::8, ::8], torch.arange(16).view(4, 4))
        and (square.bincount() if square.ndim == 1 else square.flatten().bincount()).eq(64).all()
    )
    torch.testing.assert_close(slic(torch.full((1, 3, 32, 32), 0.5))[0], square)


@pytest.mark.parametrize("compactness", [2.0, 40.0])
def test_superpixels_are_k_means_over_colour_and_place_pixel_by_pixel(compactness):
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    pixels = [(y, x) for y in range(8) for x in range(8)]
    lab = rgb_to_lab(image)[0]
    features = torch.stack(
        [torch.cat([lab[:, y, x] / compactness, torch.tensor([y / 4, x / 4])]) for y, x in pixels]
    )
    label = torch.tensor([y // 4 * 2 + x // 4 for y, x in pixels])
    for _ in range(3):
        centres = torch.stack([features[label == k].mean(0) for k in range(4)])
        label = torch.stack([(centres - f).square().sum(1).argmin() for f in features])
    assert torch.equal(slic(image, 2, compactness, rounds=3)[0].flatten(), label)
    assert not torch.equal(slic(image, 2, compactness, rounds=1), slic(image, 2, compactness, rounds=3))


def test_felzenszwalbs_measures_shrink_with_the_area(tiny_data, monkeypatch):
    asked = {}

    def felzenszwalb(pixels, **given):
        asked.update(given)
        return pixels[:, :, 0] > 0.5

    monkeypatch.setitem(sys.modules, "skimage", types.ModuleType("skimage"))
    monkeypatch.setitem(sys.modules, "skimage.segmentation", types.SimpleNamespace(felzenszwalb=felzenszwalb))
    segmentation(tiny_data.train[:1], "felzenszwalb", scale=19600.0, min_size=1960.0)  # 16 px: (16 / 224)^2
    assert asked == {"scale": pytest.approx(100), "min_size": 10}


def test_felzenszwalb_is_scikit_images(tiny_data):
    theirs = pytest.importorskip("skimage.segmentation").felzenszwalb
    found = segmentation(tiny_data.train[:3], "felzenszwalb", scale=19600.0, min_size=1960.0)
    for image, label in zip(tiny_data.train.floats(slice(3)), found, strict=True):
        wanted = theirs(image.permute(1, 2, 0).numpy(), scale=100, min_size=10)
        assert torch.equal(label.long(), torch.from_numpy(wanted).long())
