import pytest
import torch

from sslcourse.errors import UserError
from sslcourse.views.lens import Lens


def disc(radius: float, size: int = 65) -> torch.Tensor:
    """A soft white disc about the centre, (1, 3, S, S)."""
    at = torch.arange(size) - (size - 1) / 2
    distance = (at.square() + at.square().unsqueeze(1)).sqrt()
    return ((radius - distance) / 4 + 0.5).clamp(0, 1).expand(1, 3, -1, -1).contiguous()


def test_red_grows_blue_shrinks_green_stays():
    image = disc(20)
    out = Lens(aberration=0.05)(image)
    radius = (out.sum((2, 3)) / torch.pi).sqrt()[0]  # area of a soft disc -> its radius
    before = (image.sum((2, 3)) / torch.pi).sqrt()[0, 0]
    assert torch.equal(out[:, 1], image[:, 1])
    torch.testing.assert_close(radius[0] / before, torch.tensor(1.05), atol=2e-3, rtol=0)
    torch.testing.assert_close(radius[2] / before, torch.tensor(0.95), atol=2e-3, rtol=0)


def test_aberration_is_about_the_centre():
    image = torch.rand(2, 3, 32, 32)
    turned = Lens(0.04)(image.rot90(1, (2, 3))).rot90(-1, (2, 3))
    torch.testing.assert_close(Lens(0.04)(image), turned, atol=1e-5, rtol=0)


def test_vignetting_follows_cos4_and_reaches_its_strength():
    out = Lens(0.0, 0.6)(torch.ones(1, 3, 401, 401))[0, 0]
    assert abs(out[200, 200] - 1) < 1e-6
    assert abs(out[0, 0] - 0.4) < 5e-3
    tangent = (1 / 0.4) ** 0.25  # 1 / cos of the corner's angle
    half = torch.tensor((tangent**2 - 1) ** 0.5 / 2).atan().cos() ** 4  # half way to the corner
    assert abs(out[100, 100] - half) < 5e-3


def test_strengths_are_drawn_per_image_and_seeded():
    images = torch.rand(1, 3, 16, 16).expand(4, -1, -1, -1).contiguous()
    for lens in (Lens((0.0, 0.1)), Lens(0.0, (0.0, 0.9))):
        a, b = (lens(images, torch.Generator().manual_seed(3)) for _ in range(2))
        assert torch.equal(a, b)
        assert not torch.equal(a[0], a[1])
        assert 0 <= a.min() and a.max() <= 1 and a.shape == images.shape


def test_zero_is_the_identity_and_input_is_kept():
    images = torch.rand(2, 3, 16, 16)
    before = images.clone()
    assert torch.equal(Lens(0.0)(images), images)
    Lens(0.1, 0.5)(images)
    assert torch.equal(images, before)


@pytest.mark.parametrize("bad", [{"aberration": 0.7}, {"vignetting": 1.0}, {"vignetting": (-0.1, 0.5)}])
def test_strengths_out_of_range_are_refused(bad):
    with pytest.raises(UserError, match="out of range"):
        Lens(**bad)
