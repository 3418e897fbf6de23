"""The transformations of Exemplar-CNN against plain references."""

import colorsys
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sslcourse.errors import UserError
from sslcourse.views import ExemplarView, principal_colours
from sslcourse.views.exemplar import GREY_AXES, TRANSFORMS, affine, bend_saturation_and_value, stretch_colours

ONE, ZERO = torch.ones(1, 1), torch.zeros(1, 1)


def test_without_transforms_nothing_changes(generator):
    images = torch.rand(3, 3, 12, 20, generator=generator)
    torch.testing.assert_close(ExemplarView(())(images), images, atol=1e-5, rtol=0)


def test_draws_lie_in_the_papers_ranges_and_fill_them(generator):
    images = torch.rand(4000, 3, 4, 4, generator=generator)
    (translation, scale, angle), stretch, (power, factor, offset), shift = ExemplarView().draw(
        images, generator
    )
    for drawn, low, high, columns in (
        (translation, -0.2, 0.2, 2), (scale, 0.7, 1.4, 1), (angle.rad2deg(), -20, 20, 1), (stretch, 0.5, 2, 3),
        (power, 0.25, 4, 2), (factor, 0.7, 1.4, 2), (offset, -0.1, 0.1, 2), (shift, -0.1, 0.1, 1),
    ):  # fmt: skip
        assert drawn.shape == (4000, columns)
        slack = 0.01 * (high - low)
        assert low - 1e-5 <= drawn.min() < low + slack and high - slack < drawn.max() <= high + 1e-5
    assert abs(stretch.log().mean()) < 0.02 and abs(power.log().mean()) < 0.05  # as often halved as doubled


def test_taking_one_away_leaves_the_others_as_they_were(generator):
    images = torch.rand(8, 3, 16, 16, generator=generator)
    (where, *rest), (gone, *others) = (
        ExemplarView(t).draw(images, torch.Generator().manual_seed(1)) for t in (TRANSFORMS, TRANSFORMS[1:])
    )
    assert torch.equal(gone[0], torch.zeros(8, 2)) and torch.equal(gone[1], where[1])
    assert torch.equal(rest[-1], others[-1]) and torch.equal(rest[0], others[0])


def test_a_shift_by_whole_pixels_copies_and_mirrors(generator):
    images = torch.rand(1, 3, 10, 10, generator=generator)
    moved = affine(images, torch.tensor([[0.2, -0.1]]), ONE, ZERO)  # two columns right, one row up
    rows, columns = [0, *range(9)], [*range(2, 10), 9, 8]  # the mirror stands at the outer edge of the pixels
    torch.testing.assert_close(moved, images[:, :, rows][:, :, :, columns], atol=1e-5, rtol=0)


def test_a_quarter_turn_is_a_quarter_turn(generator):
    images = torch.rand(2, 3, 9, 9, generator=generator)
    turned = affine(images, torch.zeros(2, 2), ONE.expand(2, 1), torch.full((2, 1), math.pi / 2))
    torch.testing.assert_close(turned, images.rot90(1, (2, 3)), atol=1e-5, rtol=0)


def test_a_turn_does_not_shear_what_is_not_square():
    y, x = torch.meshgrid(torch.arange(40) - 19.5, torch.arange(24) - 11.5, indexing="ij")
    ball = (-(x**2 + y**2) / 32).exp().expand(1, 3, -1, -1)
    turned = affine(ball, torch.zeros(1, 2), ONE, torch.full((1, 1), 0.3))
    torch.testing.assert_close(turned, ball, atol=0.02, rtol=0)


def test_scale_is_what_is_seen(generator):
    images = torch.rand(1, 3, 16, 16, generator=generator)
    half = affine(images, torch.zeros(1, 2), 0.5 * ONE, ZERO)
    enlarged = F.interpolate(images[:, :, 4:12, 4:12], scale_factor=2, mode="bilinear")
    torch.testing.assert_close(half[:, :, 1:-1, 1:-1], enlarged[:, :, 1:-1, 1:-1], atol=1e-5, rtol=0)


def test_saturation_and_value_are_those_of_hsv(generator):
    images = torch.rand(2, 3, 4, 4, generator=generator)
    power, factor, offset = torch.tensor([[0.5, 2.0], [3.0, 0.3]]), torch.tensor([[1.3, 0.8], [0.7, 1.4]]), (
        torch.tensor([[0.05, -0.1], [0.1, 0.02]])
    )  # fmt: skip
    ours = bend_saturation_and_value(images, power, factor, offset)
    for i in range(2):
        for rgb, out in zip(images[i].flatten(1).T.tolist(), ours[i].flatten(1).T.tolist(), strict=True):
            hue, *sv = colorsys.rgb_to_hsv(*rgb)
            sv = [
                min(max(x ** float(power[i, j]) * float(factor[i, j]) + float(offset[i, j]), 0), 1)
                for j, x in enumerate(sv)
            ]
            np.testing.assert_allclose(out, colorsys.hsv_to_rgb(hue, *sv), atol=1e-5)


def test_grey_stays_grey():
    grey = torch.linspace(0, 1, 16).view(1, 1, 4, 4).expand(1, 3, 4, 4)
    out = bend_saturation_and_value(grey, torch.ones(1, 2), torch.ones(1, 2), torch.tensor([[0.1, 0.0]]))
    torch.testing.assert_close(out, grey)


def test_colours_are_stretched_along_their_axes(generator):
    images = 0.5 + 0.02 * torch.randn(2, 3, 5, 5, generator=generator)
    factors = torch.tensor([[2.0, 0.5, 1.0], [1.0, 1.0, 1.0]])
    mean, axes = torch.tensor(GREY_AXES[:1]), torch.tensor(GREY_AXES[1:])
    ours = stretch_colours(images, factors, mean, axes)
    coordinates = (ours.movedim(1, 3) - mean) @ axes.T
    before = (images.movedim(1, 3) - mean) @ axes.T
    torch.testing.assert_close(coordinates, before * factors[:, None, None], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(ours[1], images[1])


def test_principal_colours_are_those_of_the_pixels(generator):
    tint = torch.tensor([[3.0, 2.0, 1.0], [0.0, 1.0, -1.0], [0.2, 0.0, 0.0]])
    pixels = (torch.randn(6, 64, 3, generator=generator) @ tint * 12 + 120).clamp(0, 255).to(torch.uint8)
    images = pixels.transpose(1, 2).reshape(6, 3, 8, 8)
    mean, *axes = principal_colours(images)
    flat = pixels.reshape(-1, 3).double().numpy()
    np.testing.assert_allclose(mean, flat.mean(0) / 255, atol=1e-5)
    expected = np.linalg.svd(flat - flat.mean(0), full_matrices=False)[2]
    np.testing.assert_allclose(np.abs((np.array(axes) * expected).sum(1)), 1, atol=1e-4)
    assert len(principal_colours(images[:1])) == 4


def test_unknown_transforms_are_named():
    with pytest.raises(UserError, match="transform 'turn' of the exemplar view is unknown: use translation"):
        ExemplarView(["hue", "turn"])
