import pytest
import torch
from lightly.loss import VICRegLoss
from torch import nn

from sslcourse import nets
from sslcourse.methods import VICReg
from sslcourse.methods.distillation.vicreg import vicreg_terms


def make(**arguments):
    torch.manual_seed(0)
    return VICReg(nets.encoder("small", 16, width=4), **{"hidden": 12, "dim": 8, **arguments})


def weighted(z1, z2, lam=25.0, mu=25.0, nu=1.0):
    s, v, c = vicreg_terms(z1, z2)
    return lam * s + mu * v + nu * c


def naive(z1, z2):
    """The formulas, one pair of dimensions at a time."""
    (n, d), total = z1.shape, 0.0
    for k in range(n):
        total = total + 25 * sum((z1[k, i] - z2[k, i]) ** 2 for i in range(d)) / (n * d)
    for z in (z1, z2):
        m = [sum(z[k, i] for k in range(n)) / n for i in range(d)]
        for i in range(d):
            for j in range(d):
                c = sum((z[k, i] - m[i]) * (z[k, j] - m[j]) for k in range(n)) / (n - 1)
                total = total + (25 / 2 * (1 - (c + 1e-4) ** 0.5).clamp(min=0) if i == j else c**2) / d
    return total


@pytest.mark.parametrize("scale", [0.3, 2.0])  # below and above the floor of the variance
def test_loss_is_the_formula_and_lightlys(scale):
    z1, z2 = scale * torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z1.requires_grad_()
    losses = weighted(z1, z2), naive(z1, z2), VICRegLoss()(z1, z2)
    gradients = [torch.autograd.grad(loss, z1)[0] for loss in losses]
    for loss, gradient in zip(losses[1:], gradients[1:], strict=True):
        torch.testing.assert_close(losses[0], loss, atol=1e-9, rtol=0)
        torch.testing.assert_close(gradients[0], gradient, atol=1e-9, rtol=0)


def test_what_agrees_varies_and_is_decorrelated_costs_nothing():
    z = torch.randn(12, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z = torch.linalg.qr(z - z.mean(0))[0] * 11**0.5  # mean 0, unbiased variance 1, no covariance
    assert [x.item() for x in vicreg_terms(z, z)] == pytest.approx([0, 0, 0], abs=1e-12)


def test_equal_embeddings_cost_the_floor_alone():
    s, v, c = vicreg_terms(torch.ones(6, 4), torch.ones(6, 4))
    assert (s, c) == (0, 0) and v.item() == pytest.approx(0.99, abs=1e-6)


def test_weights_weigh_their_own_terms():
    images = torch.rand(8, 3, 16, 16)
    logged = {}
    for name, weights in {"all": {}, "lam": {"lam": 0.0}, "mu": {"mu": 0.0}, "nu": {"nu": 0.0}}.items():
        method = make(**weights)
        method.view, method.other_view = (lambda x: x + 0.1 * x.flip(0)), (lambda x: x)
        logged[name] = method.loss(images)
    terms = {"lam": "invariance", "mu": "variance", "nu": "covariance"}
    assert all(logged["all"][term] > 0 for term in terms.values())
    for name, term in terms.items():
        assert logged[name][term] == 0
        torch.testing.assert_close(logged[name]["loss"], logged["all"]["loss"] - logged["all"][term])


def test_the_loss_compares_the_two_views_with_gradients_through_both():
    method = make()
    x1, x2 = torch.rand(2, 6, 3, 16, 16)
    method.view, method.other_view = (lambda _: x1), (lambda _: x2)
    z1, z2 = (method.projector(method.encoder(x)) for x in (x1, x2))
    expected, loss, weight = naive(z1, z2), method.loss(x1)["loss"], method.projector[0].weight
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(
        *(torch.autograd.grad(x, weight)[0] for x in (loss, expected)), atol=1e-4, rtol=1e-4
    )


def test_the_expander_has_three_maps_and_no_norm_at_its_end():
    kinds = [nn.Linear, nn.BatchNorm1d, nn.ReLU]
    assert [type(m) for m in make().projector] == [*kinds, *kinds, nn.Linear]
    assert VICReg(nets.encoder("small", 16, width=4), hidden=6).projector[-1].out_features == 8192


def test_full_precision_under_autocast():
    z1, z2 = torch.randn(2, 64, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        found = vicreg_terms(z1, z2)
    assert all(
        a.dtype == torch.float32 and torch.equal(a, b)
        for a, b in zip(found, vicreg_terms(z1, z2), strict=True)
    )
