import pytest
import torch

from sslcourse import nets
from sslcourse.methods import Counting


def make(**arguments):
    torch.manual_seed(0)
    return Counting(nets.encoder("small", 32, width=4), **{"counts": 16, "hidden": 16, **arguments})


def test_loss_is_the_formula(monkeypatch):
    """One image at a time, with the counts of every part given."""
    method = make(M=10.0)
    phi = torch.rand(6, 5, 16, generator=torch.Generator().manual_seed(0)) * 0.6
    monkeypatch.setattr(method, "phi", lambda images: phi.flatten(0, 1))
    total, fits = 0.0, 0
    for i in range(6):
        parts = phi[i, 1] + phi[i, 2] + phi[i, 3] + phi[i, 4]
        same = float(((phi[i, 0] - parts) ** 2).sum())
        other = float(((phi[i - 1, 0] - parts) ** 2).sum())
        total, fits = total + same + max(0.0, 10.0 - other), fits + (same < other)
    logged = method.loss(torch.rand(6, 3, 32, 32))
    assert logged["loss"].item() == pytest.approx(total / 6, rel=1e-5)
    assert logged["accuracy"].item() == pytest.approx(fits / 6)
    assert logged["count"].item() == pytest.approx(phi[:, 0].norm(dim=1).mean().item(), rel=1e-5)


def test_counting_nothing_costs_m(monkeypatch):
    method = make(M=7.0)
    torch.nn.init.zeros_(method.head[-2].weight)
    torch.nn.init.constant_(method.head[-2].bias, -1.0)
    logged = method.loss(torch.rand(4, 3, 32, 32))
    assert logged["loss"] == 7 and logged["count"] == 0


def test_true_counts_cost_nothing(monkeypatch):
    """Dots counted in the image and in its quarters: the sum agrees, and images that hold more differ enough."""
    method = make(min_area=1.0, grey=0.0, kernels=False)
    images = torch.zeros(4, 3, 32, 32)
    for i in range(4):
        images[i, :, :, : 8 * (i + 1)] = 1.0  # bright area: 0.25, 0.5, 0.75, 1
    # A quarter holds a quarter of the pixels that the whole image has after halving.
    parts = method.parts(images)
    brightness = parts.mean((2, 3, 4))
    monkeypatch.setattr(method, "phi", lambda x: x.mean((1, 2, 3))[:, None] * scale(len(x)))

    def scale(n):
        return torch.tensor([40.0, 10.0, 10.0, 10.0, 10.0]).repeat(n // 5)[:, None]

    torch.testing.assert_close(brightness[:, 0], brightness[:, 1:].mean(1))
    logged = method.loss(images)
    assert logged["loss"] < 1e-6 and logged["accuracy"] == 1


def test_parts_are_the_half_and_the_four_quarters_of_the_same_size():
    images = torch.rand(3, 3, 32, 32)
    parts = make(kernels=False).parts(images)
    assert parts.shape == (3, 5, 3, 16, 16)
    for j, (y, x) in enumerate([(0, 0), (0, 16), (16, 0), (16, 16)]):
        assert torch.equal(parts[:, j + 1], images[:, :, y : y + 16, x : x + 16])
    torch.manual_seed(0)
    first, second = make().parts(images.expand(3, 3, 32, 32))[:, 0], parts[:, 0]
    assert (first - second).abs().max() > 0.1  # other kernels, where they are drawn


def test_counts_are_never_negative_and_odd_images_work():
    method = make()
    assert (method.phi(torch.rand(8, 3, 16, 16)) >= 0).all()
    assert torch.isfinite(method.loss(torch.rand(4, 3, 33, 33))["loss"])


def test_a_share_of_the_images_is_grey(monkeypatch):
    method, seen = make(grey=0.67), []
    monkeypatch.setattr(method, "parts", lambda images: seen.append(images) or Counting.parts(method, images))
    method.loss(torch.rand(400, 3, 8, 8))
    grey = (seen[0][:, 0] - seen[0][:, 1]).abs().flatten(1).amax(1) < 1e-5
    assert abs(grey.float().mean() - 0.67) < 0.08
