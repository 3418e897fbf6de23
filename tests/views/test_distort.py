"""The distortions of SimCLR's Figure 5."""

import pytest
import torch
from scipy import ndimage

from sslcourse import views as V
from sslcourse.views import luminance


def test_cutout_hides_one_square_and_nothing_else():
    images = torch.rand(64, 3, 32, 32) * 0.4
    out = V.Cutout(0.5)(images)
    hidden = (out == 0.5).all(1)
    assert torch.equal(torch.where(hidden[:, None], images, out), images)
    for mask in hidden:  # a full rectangle of at most 16 x 16
        rows, columns = mask.any(1), mask.any(0)
        assert mask.sum() == rows.sum() * columns.sum()
        assert 7 <= rows.sum() <= 16 and 7 <= columns.sum() <= 16
    assert (hidden.sum((1, 2)) == 256).any()


def test_sobel_is_scipys():
    images = torch.rand(4, 3, 16, 16, dtype=torch.float64)
    across, down = V.sobel(images).unbind(1)
    for x, a, d in zip(luminance(images)[:, 0].numpy(), across.numpy(), down.numpy(), strict=True):
        assert a == pytest.approx(ndimage.sobel(x, 1, mode="nearest"), abs=1e-12)
        assert d == pytest.approx(ndimage.sobel(x, 0, mode="nearest"), abs=1e-12)


def test_edges_are_grey_at_most_one_and_nothing_on_a_plain_image():
    step = torch.zeros(1, 3, 16, 16)
    step[..., 8:] = 1
    out = V.Sobel()(step)
    assert torch.equal(out[:, 0], out[:, 1]) and out.max() == pytest.approx(1 / 2**0.5, abs=1e-4)
    assert V.Sobel()(torch.full((1, 3, 8, 8), 0.7)).abs().max() < 1e-6


def test_noise_has_the_deviation_that_was_drawn():
    view = V.GaussianNoise(0.1)
    images = torch.full((32, 3, 64, 64), 0.5)
    sigma, _ = view.draw(images, torch.Generator().manual_seed(0))
    out = view(images, torch.Generator().manual_seed(0))
    torch.testing.assert_close(out.std((1, 2, 3)), sigma.flatten(), rtol=0.03, atol=1e-4)
    assert 0 < sigma.min() and sigma.max() <= 0.1 and sigma.std() > 0.01


def test_quarter_turns_are_drawn_for_each_image():
    image = torch.rand(1, 3, 8, 8).expand(200, -1, -1, -1)
    turned = torch.stack([image[0].rot90(k, (1, 2)) for k in range(4)])
    far = (V.RandomQuarterTurn()(image)[:, None] - turned).abs().amax((2, 3, 4))  # (200, 4)
    found = far.min(1)
    assert found.values.max() == 0 and found.indices.bincount(minlength=4).min() > 25
