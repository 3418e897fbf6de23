import pytest
import torch
from lightly.loss import BarlowTwinsLoss
from torch import nn

from sslcourse import nets
from sslcourse.methods import Barlow
from sslcourse.methods.distillation.barlow import barlow_loss, correlation
from sslcourse.training.optimiser import make_optimizer
from sslcourse.training.recipes import Recipe


def make(**arguments):
    torch.manual_seed(0)
    return Barlow(nets.encoder("small", 16, width=4), **{"hidden": 12, "dim": 8, **arguments})


def naive(z1, z2, lam, eps=1e-5):
    """The formula, one pair of dimensions at a time."""
    n, d = z1.shape
    total = 0.0
    for i in range(d):
        for j in range(d):
            a, b = z1[:, i], z2[:, j]
            a, b = ((x - x.mean()) / (x.var(correction=0) + eps).sqrt() for x in (a, b))
            c = sum(a[k] * b[k] for k in range(n)) / n
            total = total + ((1 - c) ** 2 if i == j else lam * c**2)
    return total


def test_loss_is_the_formula_and_lightlys():
    z1, z2 = torch.randn(2, 7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z1.requires_grad_()
    losses = (
        sum(barlow_loss(correlation(z1, z2), 0.02)),
        naive(z1, z2, 0.02),
        BarlowTwinsLoss(lambda_param=0.02)(z1, z2),
    )
    gradients = [torch.autograd.grad(loss, z1)[0] for loss in losses]
    for loss, gradient in zip(losses[1:], gradients[1:], strict=True):
        torch.testing.assert_close(losses[0], loss, atol=1e-9, rtol=0)
        torch.testing.assert_close(gradients[0], gradient, atol=1e-9, rtol=0)


def test_what_is_decorrelated_costs_nothing_and_constants_cost_d():
    z = torch.linalg.qr(centred_noise(12, 4))[0] * 12**0.5  # (12, 4): mean 0, variance 1, no correlation
    C = correlation(z, 3 * z + 1, eps=0.0)
    torch.testing.assert_close(C, torch.eye(4, dtype=C.dtype))
    assert sum(barlow_loss(C, 0.1)).item() == pytest.approx(0, abs=1e-12)
    constant = correlation(torch.ones(6, 4), torch.ones(6, 4))
    assert not constant.any() and sum(barlow_loss(constant, 0.1)).item() == 4
    assert sum(barlow_loss(correlation(-z, z, eps=0.0), 0.1)).item() == pytest.approx(4 * 4)


def centred_noise(n, d):
    z = torch.randn(n, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return z - z.mean(0)


def test_rows_are_images_and_columns_of_c_are_the_second_views_dimensions():
    z1, z2 = torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(0))
    z2[:, 2] = z1[:, 0]
    C = correlation(z1, z2)
    assert C[0, 2] > 0.99 and C[2, 0].abs() < 0.5


def test_lam_weighs_the_second_term_alone_and_scale_both():
    C = torch.tensor([[0.5, 0.2], [0.4, 1.0]])
    assert [x.item() for x in barlow_loss(C, 0.1)] == pytest.approx([0.25, 0.1 * (0.04 + 0.16)])
    assert barlow_loss(C, 0.0)[1] == 0
    images = torch.rand(8, 3, 16, 16)
    whole, tenth = (make(scale=s) for s in (1.0, 0.1))
    for method in (whole, tenth):
        method.view = method.other_view = lambda x: x
    a, b = whole.loss(images), tenth.loss(images)
    for name in ("loss", "invariance", "redundancy"):
        torch.testing.assert_close(0.1 * a[name], b[name])
    torch.testing.assert_close(a["loss"], a["invariance"] + a["redundancy"])
    torch.testing.assert_close(a["std"], b["std"])


def test_the_loss_compares_the_two_views_embeddings_with_gradients_through_both():
    method = make(lam=0.1)
    x1, x2 = torch.rand(2, 6, 3, 16, 16)
    method.view, method.other_view = (lambda _: x1), (lambda _: x2)
    z1, z2 = (method.projector(method.encoder(x)) for x in (x1, x2))
    expected, loss = naive(z1, z2, 0.1), method.loss(x1)["loss"]
    torch.testing.assert_close(loss, expected)
    weight = method.projector[0].weight
    torch.testing.assert_close(
        *(torch.autograd.grad(x, weight)[0] for x in (loss, expected)), atol=1e-4, rtol=1e-4
    )


def test_the_projector_has_three_maps_and_no_norm_at_its_end():
    kinds = [nn.Linear, nn.BatchNorm1d, nn.ReLU]
    projector = make().projector
    assert [type(m) for m in projector] == [*kinds, *kinds, nn.Linear]
    assert all(m.bias is None for m in projector if isinstance(m, nn.Linear))


def test_biases_and_norms_have_a_rate_of_their_own_and_no_decay():
    method = make()
    weights, others = make_optimizer(method, Recipe(lr=0.2, weight_decay=1e-6)).param_groups
    assert weights["lr"] == 0.2 and others["lr"] == pytest.approx(0.0048)
    assert weights["weight_decay"] == 1e-6 and others["weight_decay"] == 0
    assert all(p.ndim == 1 for p in others["params"]) and all(p.ndim > 1 for p in weights["params"])


def test_full_precision_under_autocast():
    z1, z2 = torch.randn(2, 64, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        C = correlation(z1, z2)
    assert C.dtype == torch.float32 and torch.equal(C, correlation(z1, z2))
