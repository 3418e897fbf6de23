"""RandAugment: each operation against torchvision's, and the law they are drawn by."""

import math

import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from sslcourse.errors import UserError
from sslcourse.views import RandAugment, randaugment, strong_view
from sslcourse.views.randaugment import OPERATIONS, randaugment_

LEVELS = torch.tensor([-1.0, -0.62, -0.3, 0.0, 0.17, 0.5, 0.81, 1.0])


def photographs() -> torch.Tensor:
    """(8, 3, 40, 32) uint8: smooth and rough, dark, of few values, of one."""
    images = torch.randint(0, 256, (8, 3, 40, 32))
    images[1] = images[1] // 4 + 20
    images[2] = torch.linspace(0, 255, 32).long()
    images[3] = images[3] // 64 * 64
    images[4, 1] = 77
    images[5] = (images[5].float() ** 2 / 255).long()
    images[6] = 128
    return images.to(torch.uint8)


def affine(image: torch.Tensor, angle: float = 0, shear=(0, 0), centre=None) -> torch.Tensor:
    """torchvision's, bilinear, grey outside (its own `fill` darkens what is half outside)."""
    shear = [math.degrees(math.atan(s)) for s in shear]
    args = (-angle, [0, 0], 1.0, shear, InterpolationMode.BILINEAR)
    return F.affine(image - 0.5, *args, center=centre) + 0.5


# name -> what torchvision makes of an image (3, H, W), uint8 or float as named, at a level in [-1, 1]
PEERS = {
    "identity": (torch.uint8, lambda x, s: x),
    "autocontrast": (torch.float32, lambda x, s: F.autocontrast(x)),
    "equalise": (torch.uint8, lambda x, s: F.equalize(x)),
    "solarise": (torch.uint8, lambda x, s: F.solarize(x, min(255, 256 * (1 - abs(s)))) if s else x),
    "posterise": (torch.uint8, lambda x, s: F.posterize(x, 8 - round(4 * abs(s)))),
    "colour": (torch.float32, lambda x, s: F.adjust_saturation(x, 1 + 0.9 * s)),
    "contrast": (torch.float32, lambda x, s: F.adjust_contrast(x, 1 + 0.9 * s)),
    "brightness": (torch.float32, lambda x, s: F.adjust_brightness(x, 1 + 0.9 * s)),
    "sharpness": (torch.float32, lambda x, s: F.adjust_sharpness(x, 1 + 0.9 * s)),
    "rotate": (torch.float32, lambda x, s: affine(x, angle=30 * s)),
    "shear_x": (torch.float32, lambda x, s: affine(x, shear=(0.3 * s, 0), centre=[0, 0])),
    "shear_y": (torch.float32, lambda x, s: affine(x, shear=(0, 0.3 * s), centre=[0, 0])),
}


@pytest.mark.parametrize("name", PEERS)
def test_each_operation_equals_torchvisions(name):
    kind, peer = PEERS[name]
    images = photographs()
    given = images if kind == torch.uint8 else images / 255
    expected = torch.stack([peer(x, s) for x, s in zip(given, LEVELS.tolist(), strict=True)])
    expected = expected / 255 if kind == torch.uint8 else expected
    ours = randaugment_(images / 255, torch.full((8,), OPERATIONS.index(name)), LEVELS)
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("axis", [3, 2])
def test_translation_of_whole_pixels_is_a_slice(axis):
    images, side = photographs() / 255, photographs().shape[axis]
    pixels = torch.tensor([-9, -4, -1, 0, 2, 5, 8, 14])
    name = {3: "translate_x", 2: "translate_y"}[axis]
    ours = randaugment_(images.clone(), torch.full((8,), OPERATIONS.index(name)), pixels / side / (150 / 331))
    for x, y, n in zip(images, ours, pixels.tolist(), strict=True):
        x, y = (a.transpose(1, 2) if axis == 2 else a for a in (x, y))
        stays = slice(max(0, -n), side - max(0, n))
        torch.testing.assert_close(y[..., stays], x[..., stays.start + n : stays.stop + n], atol=1e-4, rtol=0)
        gone = torch.ones(side, dtype=torch.bool)
        gone[stays] = False
        assert (y[..., gone] - 0.5).abs().max() < 1e-4 if n else not gone.any()


def test_what_comes_in_from_outside_is_grey():
    white = torch.ones(4, 3, 32, 32)
    for name in ("rotate", "shear_x", "shear_y", "translate_x", "translate_y"):
        out = randaugment_(white.clone(), torch.full((4,), OPERATIONS.index(name)), torch.ones(4))
        assert out.min() == pytest.approx(0.5) and out.max() == 1 and out[:, :, 12:17, 12:17].min() == 1


def test_rows_keep_their_own_operations():
    """A mixed batch is what each image gets alone; level 0 changes nothing but autocontrast and equalise."""
    images = torch.rand(14, 3, 32, 32)
    operation, level = torch.randperm(14), torch.rand(14) * 2 - 1
    mixed = randaugment_(images.clone(), operation, level)
    for i in range(14):
        alone = randaugment_(images[i : i + 1].clone(), operation[i : i + 1], level[i : i + 1])
        torch.testing.assert_close(mixed[i : i + 1], alone, atol=1e-6, rtol=0)
    same = photographs()[:1].expand(14, -1, -1, -1) / 255
    still = randaugment_(same.clone(), torch.arange(14), torch.zeros(14))
    moved = (still - same).abs().amax((1, 2, 3)) > 1e-4
    assert {OPERATIONS[i] for i in moved.nonzero()[:, 0]} <= {"autocontrast", "equalise"}


def test_masked_as_on_a_gpu_gives_the_same(monkeypatch):
    images, operation = torch.rand(140, 3, 32, 32), torch.arange(140) % 14
    level = torch.rand(140) * 2 - 1
    given = images.clone()
    rows = randaugment_(images.clone(), operation, level)
    monkeypatch.setattr(randaugment, "_gathered", randaugment._masked)
    torch.testing.assert_close(randaugment_(images, operation, level), rows, atol=1e-6, rtol=0)
    assert torch.equal(images, given)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_same():
    images, operation = torch.rand(140, 3, 32, 32), torch.arange(140) % 14
    level = torch.rand(140) * 2 - 1
    here = randaugment_(images.clone(), operation, level)
    there = randaugment_(*(a.cuda() for a in (images, operation, level))).cpu()
    assert ((here - there).abs() > 1e-4).float().mean() < 1e-3  # a value may be rounded to the next step


def test_the_law(generator):
    images = torch.rand(4000, 3, 4, 4)
    operation, level = RandAugment(2, 6).draw(images, generator)
    counts = operation.flatten().bincount(minlength=14)
    assert operation.shape == level.shape == (4000, 2) and len(counts) == 14
    assert (counts / 8000 - 1 / 14).abs().max() < 0.012
    assert 0.58 < level.max() <= 0.6 and -0.6 <= level.min() < -0.58 and abs(level.abs().mean() - 0.3) < 0.01
    both = (operation[:, 0] == operation[:, 1]).float().mean()
    assert abs(both - 1 / 14) < 0.02  # with replacement, independently
    fixed = RandAugment(1, 10, vary=False).draw(images, generator)[1]
    assert set(fixed.flatten().tolist()) == {-1.0, 1.0} and abs(fixed.mean()) < 0.06


def test_beyond_the_paper_s_scale_nothing_breaks():
    for view in (RandAugment(3, 30, vary=False), RandAugment(1, 0)):
        out = view(torch.rand(256, 3, 32, 32))
        assert out.isfinite().all() and out.min() >= 0 and out.max() <= 1
    for wrong in ({"operations": 0}, {"magnitude": 31}, {"magnitude": -1}):
        with pytest.raises(UserError, match="magnitude 0 to 30"):
            RandAugment(**wrong)


def test_the_strong_view_moves_distorts_and_hides():
    assert [type(v).__name__ for v in strong_view().views] == [
        "ShiftCrop",
        "HorizontalFlip",
        "RandAugment",
        "Cutout",
    ]
    out = strong_view()(torch.rand(200, 3, 32, 32))
    assert ((out == 0.5).all(1).float().mean((1, 2)) > 0.06).all()  # at least a quarter of the square
