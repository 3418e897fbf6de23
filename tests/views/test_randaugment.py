"""RandAugment: each operation against torchvision's, and the law they are drawn by."""

import math

import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from sslcourse.errors import UserError
from sslcourse.views import RandAugment, randaugment, strong_view
from sslcourse.views.randaugment import OPERATIONS, randaugment_


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


# name -> the eight amounts, and what torchvision makes of an image (3, H, W), uint8 or float as named
FACTORS = [0.1, 0.28, 0.64, 1.0, 1.18, 1.36, 1.72, 1.9]
ANGLES = [-0.52, -0.3, -0.1, 0.0, 0.06, 0.2, 0.41, 0.52]
SLOPES = [-0.3, -0.2, -0.1, 0.0, 0.05, 0.15, 0.25, 0.3]
PEERS = {
    "identity": (torch.uint8, FACTORS, lambda x, s: x),
    "autocontrast": (torch.float32, FACTORS, lambda x, s: F.autocontrast(x)),
    "equalise": (torch.uint8, FACTORS, lambda x, s: F.equalize(x)),
    "invert": (torch.uint8, FACTORS, lambda x, s: F.invert(x)),
    "solarise": (torch.uint8, [0, 26, 77, 128, 179, 231, 250, 255], lambda x, s: F.solarize(x, s)),
    "posterise": (torch.uint8, [1, 2, 3, 4, 5, 6, 7, 8], lambda x, s: F.posterize(x, s)),
    "colour": (torch.float32, FACTORS, F.adjust_saturation),
    "contrast": (torch.float32, FACTORS, F.adjust_contrast),
    "brightness": (torch.float32, FACTORS, F.adjust_brightness),
    "sharpness": (torch.float32, FACTORS, F.adjust_sharpness),
    "rotate": (torch.float32, ANGLES, lambda x, s: affine(x, angle=math.degrees(s))),
    "shear_x": (torch.float32, SLOPES, lambda x, s: affine(x, shear=(s, 0), centre=[0, 0])),
    "shear_y": (torch.float32, SLOPES, lambda x, s: affine(x, shear=(0, s), centre=[0, 0])),
}


def amounts(operation: torch.Tensor) -> torch.Tensor:
    """One for each of the operations (B,), in its own units."""
    names = {"solarise": 90.0, "solarise_add": 40.0, "posterise": 3.0, "cutout": 0.4}
    warps = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
    return torch.tensor(
        [names.get(OPERATIONS[i], 0.2 if OPERATIONS[i] in warps else 1.6) for i in operation.tolist()]
    )


@pytest.mark.parametrize("name", PEERS)
def test_each_operation_equals_torchvisions(name):
    kind, values, peer = PEERS[name]
    images = photographs()
    given = images if kind == torch.uint8 else images / 255
    expected = torch.stack([peer(x, s) for x, s in zip(given, values, strict=True)])
    expected = expected / 255 if kind == torch.uint8 else expected
    index = torch.full((8,), OPERATIONS.index(name))
    ours = randaugment_(images / 255, index, torch.tensor([float(s) for s in values]))
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)


def test_solarise_add_brightens_what_is_dark_and_no_bits_are_black():
    values = torch.arange(256).view(1, 1, 16, 16).expand(2, 3, -1, -1).clone()
    table = [[min(255, v + add) if v < 128 else v for v in range(256)] for add in (0, 107)]
    index = torch.full((2,), OPERATIONS.index("solarise_add"))
    ours = randaugment_(values / 255, index, torch.tensor([0.0, 107.0]))
    torch.testing.assert_close((ours[:, 0].flatten(1) * 255).round().long(), torch.tensor(table))
    index = torch.full((2,), OPERATIONS.index("posterise"))
    assert randaugment_(values / 255, index, torch.zeros(2)).max() == 0


def test_cutout_hides_a_square_about_its_place():
    images = torch.zeros(2, 3, 32, 32)
    index, place = torch.full((2,), OPERATIONS.index("cutout")), torch.tensor([[0.5, 0.5], [0.0, 1.0]])
    hidden = randaugment_(images, index, torch.tensor([0.5, 0.25]), place) == 0.5
    assert hidden[0, :, 8:24, 8:24].all() and hidden[0].sum() == 3 * 16 * 16
    assert hidden[1, :, :4, 28:].all() and hidden[1].sum() == 3 * 4 * 4


@pytest.mark.parametrize("axis", [3, 2])
def test_translation_of_whole_pixels_is_a_slice(axis):
    images, side = photographs() / 255, photographs().shape[axis]
    pixels = torch.tensor([-9, -4, -1, 0, 2, 5, 8, 14])
    name = {3: "translate_x", 2: "translate_y"}[axis]
    ours = randaugment_(images.clone(), torch.full((8,), OPERATIONS.index(name)), pixels / side)
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
        out = randaugment_(white.clone(), torch.full((4,), OPERATIONS.index(name)), torch.full((4,), 0.3))
        assert out.min() == pytest.approx(0.5) and out.max() == 1 and out[:, :, 12:17, 12:17].min() == 1


def test_rows_keep_their_own_operations():
    """A mixed batch is what each image gets alone."""
    n = len(OPERATIONS)
    images, operation, place = torch.rand(n, 3, 32, 32), torch.randperm(n), torch.rand(n, 2)
    amount = amounts(operation)
    mixed = randaugment_(images.clone(), operation, amount, place)
    for i in range(n):
        row = slice(i, i + 1)
        alone = randaugment_(images[row].clone(), operation[row], amount[row], place[row])
        torch.testing.assert_close(mixed[row], alone, atol=1e-6, rtol=0)
        assert torch.equal(alone, images[row]) == (OPERATIONS[operation[i]] == "identity")


def test_masked_as_on_a_gpu_gives_the_same(monkeypatch):
    images, operation = torch.rand(136, 3, 32, 32), torch.arange(136) % len(OPERATIONS)
    amount, place, given = amounts(operation), torch.rand(136, 2), images.clone()
    rows = randaugment_(images.clone(), operation, amount, place)
    monkeypatch.setattr(randaugment, "_gathered", randaugment._masked)
    torch.testing.assert_close(randaugment_(images, operation, amount, place), rows, atol=1e-6, rtol=0)
    assert torch.equal(images, given)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_same():
    images, operation = torch.rand(136, 3, 32, 32), torch.arange(136) % len(OPERATIONS)
    given = images, operation, amounts(operation), torch.rand(136, 2)
    here = randaugment_(images.clone(), *given[1:])
    there = randaugment_(*(a.cuda() for a in given)).cpu()
    assert ((here - there).abs() > 1e-4).float().mean() < 1e-3  # a value may be rounded to the next step


def drawn(law: str, generator, operations: int = 2, magnitude: float = 10):
    """Of 8,000 images: the operations' names, and {name: its amounts}."""
    images = torch.rand(8000, 3, 4, 4)
    operation, amount, _ = RandAugment(operations, magnitude, law).draw(images, generator)
    assert operation.shape == amount.shape == (8000, operations)
    names = {name: amount[operation == i] for i, name in enumerate(OPERATIONS) if (operation == i).any()}
    return operation, names


FIXMATCH = (
    "identity autocontrast equalise rotate solarise colour contrast brightness sharpness shear_x translate_x translate_y "
    "posterise shear_y"
)
UDA = FIXMATCH.replace("identity", "invert cutout")
INFOMIN = FIXMATCH.replace("identity", "invert solarise_add")


@pytest.mark.parametrize("law, listed", [("fixmatch", FIXMATCH), ("uda", UDA), ("infomin", INFOMIN)])
def test_half_of_the_operations_are_made(law, listed, generator):
    """n operations with replacement, each with probability 1/2: identity is what is not made."""
    operation, names = drawn(law, generator)
    assert set(names) == {*listed.split(), "identity"}
    n = len(listed.split())
    share = {name: len(a) / 16000 for name, a in names.items()}
    none = 0.5 + ("identity" in listed.split()) * 0.5 / n
    assert abs(share.pop("identity") - none) < 0.02
    assert all(abs(s - 0.5 / n) < 0.01 for s in share.values())
    both = ((operation > 0).all(1)).float().mean()
    assert abs(both - (1 - none) ** 2) < 0.02  # each has its own coin


@pytest.mark.parametrize("law", ["fixmatch", "uda"])
def test_levels_are_1_to_9_of_10_in_fixmatch_and_uda(law, generator):
    _, names = drawn(law, generator)
    factors = names["brightness"]
    steps, counts = factors.mul(100).round().unique(return_counts=True)
    torch.testing.assert_close(steps, torch.arange(1, 10) * 18.0 + 10)
    assert (counts / len(factors) - 1 / 9).abs().max() < 0.06
    assert sorted(set(names["posterise"].tolist())) == [1, 2, 3, 4]
    assert sorted(set(names["solarise"].tolist())) == [256 - int(25.6 * k) for k in range(9, 0, -1)]
    pixels = names["translate_x"] * 32
    assert {round(v, 4) for v in pixels.tolist()} == {s * k for s in (-1, 1) for k in range(1, 10)}
    assert names["rotate"].abs().max() == pytest.approx(math.radians(27))
    assert abs((names["shear_y"] > 0).float().mean() - 0.5) < 0.08
    if law == "uda":
        sides = (names["cutout"] * 32).round().unique().tolist()
        assert sides == [2 * k for k in range(1, 10)]


def test_infomins_levels_are_near_the_end(generator):
    _, names = drawn("infomin", generator)
    level = (names["colour"] - 0.1) / 1.8
    assert abs(level.mean() - 0.98) < 0.005 and level.max() == 1  # N(10, 0.5) of 10, cut at 10
    assert abs((level > 0.9999).float().mean() - 0.5) < 0.06
    assert names["solarise"].min() > 200 and set(names["posterise"].tolist()) <= {3, 4}
    assert names["solarise_add"].max() == 110 and names["translate_y"].abs().max() == pytest.approx(0.45)
    _, names = drawn("infomin", generator, magnitude=5)
    assert abs((names["colour"].mean() - 0.1) / 1.8 - 0.5) < 0.01


def test_the_papers_law_is_always_and_one_magnitude(generator):
    operation, names = drawn("paper", generator, 1, 6)
    assert set(names) == set(FIXMATCH.split())
    counts = operation.flatten().bincount(minlength=len(OPERATIONS))
    assert (counts[counts > 0] / 8000 - 1 / 14).abs().max() < 0.015
    assert {round(v, 4) for v in names["brightness"].tolist()} == {0.46, 1.54}
    assert {round(v, 4) for v in names["shear_x"].tolist()} == {-0.18, 0.18}


def test_histograms_are_counted_in_any_default_dtype():
    images = photographs() / 255
    expected = randaugment.equalise(images)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(randaugment.equalise(images), expected)
        assert RandAugment(2, 10)(images).dtype == torch.float32
        assert RandAugment(2, 10, "infomin")(images.double()).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_beyond_the_paper_s_scale_nothing_breaks():
    for view in (RandAugment(3, 30, "paper"), RandAugment(1, 0, "paper"), RandAugment(2, 0, "infomin")):
        out = view(torch.rand(256, 3, 32, 32))
        assert out.isfinite().all() and out.min() >= 0 and out.max() <= 1
    for law, magnitude in (("paper", 31), ("paper", -1), ("fixmatch", 1), ("uda", 11), ("infomin", 11)):
        with pytest.raises(UserError, match=f"magnitude {magnitude} of RandAugment"):
            RandAugment(2, magnitude, law)
    with pytest.raises(UserError, match="operations 0"):
        RandAugment(0)
    with pytest.raises(UserError, match=r"law 'mine'.*fixmatch, uda, infomin, paper"):
        RandAugment(law="mine")


def test_the_strong_view_moves_distorts_and_hides():
    assert [type(v).__name__ for v in strong_view().views] == [
        "ShiftCrop",
        "HorizontalFlip",
        "RandAugment",
        "Cutout",
    ]
    out = strong_view()(torch.rand(200, 3, 32, 32))
    assert ((out == 0.5).all(1).float().mean((1, 2)) > 0.06).all()  # at least a quarter of the square


def test_shifts_of_the_strong_view_bring_in_nothing():
    """What is shifted is reflected at the border, as in FixMatch's code: no black edge."""
    white = torch.ones(50, 3, 32, 32)
    for view in strong_view().views[:2]:
        assert torch.equal(view(white), white)
