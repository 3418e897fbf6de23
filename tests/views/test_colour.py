import pytest
import torch
from torchvision.transforms.v2 import functional as F

from sslcourse.views import ColourJitter, GaussianBlur, Greyscale, Solarise, gaussian_blur
from sslcourse.views.colour import brightness_, contrast_, hue_, saturation_


def colours() -> torch.Tensor:
    """(8, 3, 16, 16): random images, and the awkward ones: primaries, greys, black, white, nearly grey."""
    torch.manual_seed(0)
    images = torch.rand(8, 3, 16, 16)
    images[1] = torch.randint(0, 2, (3, 16, 16))
    images[2] = images[2, :1]
    images[3] = (images[3] * 4).round() / 4
    images[4, :, :8], images[4, :, 8:] = 0, 1
    images[5] = 0.5 + 0.01 * images[5]
    return images


@pytest.mark.parametrize(
    "part, peer, amounts",
    [
        (brightness_, F.adjust_brightness, torch.linspace(0, 2, 8)),
        (contrast_, F.adjust_contrast, torch.linspace(0, 2, 8)),
        (saturation_, F.adjust_saturation, torch.linspace(0, 2, 8)),
        (hue_, F.adjust_hue, torch.linspace(-0.5, 0.5, 8)),
        (hue_, F.adjust_hue, torch.tensor([0.1, 0, -0.2, 1 / 3, 0.05, 0.5, -1 / 6, 0.31])),
    ],
)
def test_each_part_equals_torchvision(part, peer, amounts):
    images = colours()
    expected = torch.stack([peer(image, float(a)) for image, a in zip(images, amounts, strict=True)])
    ours = part(images.clone(), amounts[:, None, None, None])
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)


def test_hue_of_every_rgb_colour():
    levels = torch.linspace(0, 1, 17)
    cube = torch.cartesian_prod(levels, levels, levels).T.reshape(1, 3, 17, 289)
    for shift in (-0.5, -0.27, 0.0, 0.1, 0.4):
        ours = hue_(cube.clone(), torch.full((1, 1, 1, 1), shift))
        torch.testing.assert_close(ours, F.adjust_hue(cube, shift), atol=1e-5, rtol=0)


def test_jitter_draws_factors_uniformly_per_image(generator):
    out = ColourJitter(0.5, 0, 0, 0, p=1.0)(torch.full((4000, 3, 2, 2), 0.5), generator)[:, 0, 0, 0] / 0.5
    assert out.min() >= 0.5 and out.max() <= 1.5
    assert abs(out.mean() - 1) < 0.03 and abs(out.std() - 1 / 12**0.5) < 0.02
    wide = ColourJitter(1.6, 0, 0, 0, p=1.0)(torch.full((4000, 3, 1, 1), 0.1), generator)[:, 0, 0, 0] / 0.1
    assert wide.min() >= 0 and abs(wide.mean() - 1.3) < 0.06  # uniform in [0, 2.6], never negative


def test_jitters_four_parts_come_in_every_order():
    """With one image and one seed, only the order differs: a strong jitter then has many results."""
    image = torch.rand(1, 3, 8, 8)
    jitter = ColourJitter(0.8, 0.8, 0.8, 0.2, p=1.0)
    outs = [jitter(image, torch.Generator().manual_seed(s)) for s in range(20)]
    assert len({tuple(out.flatten().tolist()) for out in outs}) == 20


@pytest.mark.parametrize(
    "view, p",
    [
        (ColourJitter(0.8, 0.8, 0.8, 0.2, p=0.8), 0.8),
        (Greyscale(0.2), 0.2),
        (GaussianBlur(0.5), 0.5),
        (Solarise(0.3), 0.3),
    ],
)
def test_one_coin_per_image(view, p, generator):
    images = torch.rand(1, 3, 12, 12, generator=generator).expand(2000, -1, -1, -1)
    changed = ((view(images, generator) - images).abs() > 1e-3).flatten(1).any(1)
    assert abs(changed.float().mean() - p) < 0.05
    assert torch.equal(type(view)(p=0.0)(images[:2], generator).gt(0.5), images[:2].gt(0.5))


def test_greyscale_and_solarise_equal_torchvision():
    images = colours()
    torch.testing.assert_close(Greyscale(1.0)(images), F.rgb_to_grayscale(images, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(Solarise(1.0)(images), F.solarize(images, 128 / 255), atol=1e-6, rtol=0)


def test_gaussian_blur_equals_torchvision():
    images, sigma = torch.rand(4, 3, 20, 31), torch.tensor([0.1, 0.5, 1.3, 2.0])
    for radius in (1, 4):
        ours = gaussian_blur(images, sigma, radius)
        for i, s in enumerate(sigma.tolist()):
            peer = F.gaussian_blur(images[i], [2 * radius + 1] * 2, [s, s])
            torch.testing.assert_close(ours[i], peer, atol=1e-4, rtol=0)
    torch.testing.assert_close(gaussian_blur(images, torch.zeros(4), 3), images)


def test_blur_kernel_is_a_tenth_of_the_side():
    dot = torch.zeros(1, 3, 64, 64)
    dot[:, :, 32, 32] = 1
    blurred = GaussianBlur(1.0, sigma=(5, 5))(dot)
    assert (blurred[0, 0].sum(0) > 0).sum() == 7  # int(6.4) // 2 = 3 on either side
    torch.testing.assert_close(blurred, F.gaussian_blur(dot, [7, 7], [5.0, 5.0]), atol=1e-6, rtol=0)
