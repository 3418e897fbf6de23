import pytest
import torch

from sslcourse.errors import UserError
from sslcourse.views import lab_to_rgb, rgb_to_lab

# red, green, blue -> L, a, b by skimage.color.rgb2lab, scikit-image 0.26.0; its matrix is rounded to six places
SCIKIT_IMAGE = [
    ((1, 0, 0), (53.2406, 80.0923, 67.2028)),
    ((0, 1, 0), (87.7351, -86.1830, 83.1797)),
    ((0, 0, 1), (32.2957, 79.1856, -107.8573)),
    ((1, 1, 0), (97.1395, -21.5547, 94.4781)),
    ((0, 1, 1), (91.1133, -48.0906, -14.1263)),
    ((1, 0, 1), (60.3235, 98.2331, -60.8210)),
    ((1, 1, 1), (100.0, -0.0025, 0.0047)),
    ((0.5, 0.5, 0.5), (53.3890, -0.0015, 0.0028)),
    ((0, 0, 0), (0, 0, 0)),
    ((0.02, 0.01, 0.03), (0.9487, 1.3759, -1.6949)),  # all below both knees
    ((0.04, 0.04045, 0.05), (2.8738, 0.3386, -1.0140)),  # on both sides of sRGB's
    ((0.2, 0.4, 0.6), (42.0080, -0.1540, -32.8429)),
    ((0.9, 0.75, 0.1), (78.5706, -0.4248, 76.9010)),
    ((0.13, 0.55, 0.31), (51.5182, -44.0236, 24.3859)),
]


def pixels(colours, dtype=torch.float32):
    """N colours -> one image of 1 x N pixels."""
    return torch.tensor(colours, dtype=dtype).T[None, :, None]  # (N, 3) -> (1, 3, 1, N)


def test_lab_is_that_of_scikit_image():
    rgb, lab = (pixels(colours) for colours in zip(*SCIKIT_IMAGE, strict=True))
    torch.testing.assert_close(rgb_to_lab(rgb), lab, atol=6e-3, rtol=0)


def test_lab_of_pure_red_as_published():
    found = rgb_to_lab(pixels([(1, 0, 0)], torch.float64)).flatten()
    torch.testing.assert_close(found, torch.tensor([53.24, 80.09, 67.20]).double(), atol=5e-3, rtol=0)


def test_there_and_back(generator):
    images = torch.rand(4, 3, 16, 16, generator=generator)
    images[1] *= 0.05  # the straight part of both curves
    torch.testing.assert_close(lab_to_rgb(rgb_to_lab(images)), images, atol=1e-5, rtol=0)
    precise = images.double()
    torch.testing.assert_close(lab_to_rgb(rgb_to_lab(precise)), precise, atol=1e-9, rtol=0)


def test_grey_has_no_colour_and_lightness_in_order():
    grey = torch.linspace(0, 1, 50)[None, None, None].expand(1, 3, 1, 50)
    L, a, b = rgb_to_lab(grey)[0, :, 0]
    assert a.abs().max() < 1e-4 and b.abs().max() < 1e-4
    assert L[0] == 0 and abs(L[-1] - 100) < 1e-4 and (L.diff() > 0).all()


def test_colours_no_screen_can_show_are_clamped():
    rgb = lab_to_rgb(pixels([(50.0, 200.0, 0.0), (100.0, 0.0, -110.0), (0.0, 90.0, 90.0)]))
    assert rgb.min() >= 0 and rgb.max() <= 1 and rgb.isfinite().all()


def test_gradients_are_finite_even_at_black_and_white():
    images = torch.tensor([0.0, 1.0, 0.04045]).view(1, 1, 1, 3).repeat(1, 3, 1, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(lab_to_rgb(rgb_to_lab(images)).sum(), images)
    assert gradient.isfinite().all()


def test_autocast_does_not_quantise():
    images = torch.rand(1, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(lab_to_rgb(rgb_to_lab(images)), images, atol=1e-5, rtol=0)


def test_bytes_are_refused():
    with pytest.raises(UserError, match="rgb_to_lab wants images"):
        rgb_to_lab(torch.zeros(1, 3, 2, 2, dtype=torch.uint8))
