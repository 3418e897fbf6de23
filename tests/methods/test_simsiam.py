import pytest
import torch
from lightly.loss import NegativeCosineSimilarity
from torch import nn

from sslcourse import nets
from sslcourse.methods import SimSiam
from sslcourse.methods.distillation.simsiam import D
from sslcourse.training.optimiser import make_optimizer
from sslcourse.training.recipes import Recipe


def make(**arguments):
    torch.manual_seed(0)
    return SimSiam(
        nets.encoder("small", 16, width=4), **{"hidden": 12, "dim": 8, "bottleneck": 4, **arguments}
    )


def fixed(method, x1, x2):
    """The method with these two views, and its z1, z2, p1, p2."""
    views = [x1, x2]
    method.view = lambda _: views.pop(0)
    z1, z2 = (method.projector(method.encoder(x)) for x in (x1, x2))
    return z1, z2, method.prediction(z1), method.prediction(z2)


def test_d_is_the_formula_and_lightlys():
    p, z = torch.randn(2, 7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    total = 0.0
    for i in range(7):
        dot = sum(float(p[i, j] * z[i, j]) for j in range(5))
        total -= dot / (sum(float(x) ** 2 for x in p[i]) * sum(float(x) ** 2 for x in z[i])) ** 0.5
    p.requires_grad_()
    ours, theirs = D(p, z), NegativeCosineSimilarity()(p, z)
    assert ours.item() == pytest.approx(total / 7, abs=1e-9)
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-9)
    torch.testing.assert_close(
        *(torch.autograd.grad(loss, p)[0] for loss in (ours, theirs)), atol=1e-9, rtol=0
    )


def test_alike_is_minus_1_at_right_angles_0_opposite_1():
    z = torch.eye(4)[:3]
    assert [D(p, z).item() for p in (2 * z, z.roll(1, 1), -z)] == [-1, 0, 1]


def test_random_directions_cost_nothing():
    assert make(dim=256).loss(torch.rand(32, 3, 16, 16))["loss"].abs() < 0.15


@pytest.mark.parametrize("stop_gradient", [True, False])
def test_each_prediction_is_compared_with_the_others_projection(stop_gradient):
    method = make(stop_gradient=stop_gradient)
    x1, x2 = torch.rand(2, 6, 3, 16, 16)
    z1, z2, p1, p2 = fixed(method, x1, x2)
    loss, weight = method.loss(x1)["loss"], method.projector[0].weight
    one_side = D(p1, z2.detach()) / 2 + D(p2, z1.detach()) / 2
    both = D(p1, z2) / 2 + D(p2, z1) / 2
    torch.testing.assert_close(loss, both)
    got, one, two = (torch.autograd.grad(x, weight, retain_graph=True)[0] for x in (loss, one_side, both))
    torch.testing.assert_close(got, one if stop_gradient else two)
    assert (one - two).norm() > 0.1 * one.norm()


def test_without_predictor_the_projection_itself_is_compared():
    method = make(predictor=False)
    x1, x2 = torch.rand(2, 6, 3, 16, 16)
    z1, z2, _, _ = fixed(method, x1, x2)
    torch.testing.assert_close(method.loss(x1)["loss"], D(z1, z2))
    assert len(method.parameter_groups()) == 1


def test_heads_are_the_papers():
    method, kinds = make(), [nn.Linear, nn.BatchNorm1d, nn.ReLU]
    assert [type(m) for m in method.projector] == [*kinds, *kinds, nn.Linear, nn.BatchNorm1d]
    assert not method.projector[-1].affine
    assert [type(m) for m in method.prediction] == [*kinds, nn.Linear]
    assert method.prediction[0].out_features == 4 and method.prediction[-1].bias is not None
    assert all(m.bias is None for m in [*method.projector, method.prediction[0]] if isinstance(m, nn.Linear))


def test_the_predictor_alone_keeps_its_rate_and_all_is_decayed():
    for constant in (True, False):
        method = make(constant_rate=constant)
        others, predictor = make_optimizer(method, Recipe(weight_decay=0.3)).param_groups
        assert {id(p) for p in predictor["params"]} == {id(p) for p in method.prediction.parameters()}
        assert predictor["constant_lr"] == constant and not others["constant_lr"]
        assert others["weight_decay"] == predictor["weight_decay"] == 0.3
