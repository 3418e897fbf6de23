import pytest
import torch
from lightly.loss import NegativeCosineSimilarity
from torch import nn

from sslcourse import nets
from sslcourse.methods import BYOL
from sslcourse.methods.distillation.byol import regression
from sslcourse.views import GaussianBlur, Solarise


def make(encoder=None, **arguments):
    torch.manual_seed(0)
    encoder = encoder or nets.encoder("small", 16, width=4)
    return BYOL(encoder, **{"hidden": 12, "dim": 8, **arguments})


def fixed(method, x1, x2):
    """The method with these two views, and its parts of the formula: p1, p2, z1', z2'."""
    method.view, method.other_view = (lambda _: x1), (lambda _: x2)
    p1, p2 = (method.prediction(method.projector(method.encoder(x))) for x in (x1, x2))
    return p1, p2, method.target(x1).detach(), method.target(x2).detach()


def test_loss_is_the_formula_and_lightlys():
    p, z = torch.randn(2, 7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    total = 0.0
    for i in range(7):
        dot = sum(float(p[i, j] * z[i, j]) for j in range(5))
        total += 2 - 2 * dot / (sum(float(x) ** 2 for x in p[i]) * sum(float(x) ** 2 for x in z[i])) ** 0.5
    p.requires_grad_()
    ours, theirs = regression(p, z), 2 + 2 * NegativeCosineSimilarity()(p, z)
    assert ours.item() == pytest.approx(total / 7, abs=1e-9)
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-9)
    torch.testing.assert_close(
        *(torch.autograd.grad(loss, p)[0] for loss in (ours, theirs)), atol=1e-9, rtol=0
    )


def test_alike_is_0_at_right_angles_2_opposite_4():
    z = torch.eye(4)[:3]
    assert [regression(p, z).item() for p in (2 * z, z.roll(1, 1), -z)] == [0, 2, 4]


def test_random_directions_cost_2_in_each_direction():
    assert make(dim=256).loss(torch.rand(32, 3, 16, 16))["loss"].item() == pytest.approx(4, abs=0.5)


def test_each_view_predicts_the_targets_projection_of_the_other():
    method = make()
    x1, x2 = torch.rand(2, 6, 3, 16, 16)
    p1, p2, t1, t2 = fixed(method, x1, x2)
    loss = method.loss(x1)["loss"]
    torch.testing.assert_close(loss, regression(p1, t2) + regression(p2, t1))
    assert abs(loss - regression(p1, t1) - regression(p2, t2)) > 0.01
    weights = [method.encoder.stem[0].weight, method.projector[0].weight, method.prediction[0].weight]
    expected = torch.autograd.grad(regression(p1, t2) + regression(p2, t1), weights)
    torch.testing.assert_close(torch.autograd.grad(loss, weights), expected)


def test_the_two_views_differ_as_in_the_paper():
    method = make(nets.encoder("small", 64, width=4))
    first, second = ({type(v): v for v in view.views} for view in (method.view, method.other_view))
    assert (first[GaussianBlur].p, second[GaussianBlur].p, second[Solarise].p) == (1.0, 0.1, 0.2)
    assert Solarise not in first
    assert not any(isinstance(v, GaussianBlur) for v in make().view.views)


def test_heads_end_in_a_linear_map_and_the_target_has_no_predictor():
    method = make()
    for head in (method.projector, method.prediction, method.target[1]):
        assert [type(m) for m in head] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
    assert len(method.target) == 2


def test_the_target_sees_batch_statistics_in_training():
    method = make()
    method.loss(torch.rand(8, 3, 16, 16))
    norms = [m for m in method.target.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert norms and all(m.training and m.num_batches_tracked == 2 for m in norms)


@pytest.mark.parametrize("fresh", [True, False])
def test_the_target_begins_with_weights_of_its_own_or_as_a_copy(fresh):
    method = make(fresh_target=fresh)
    online = [*method.encoder.parameters(), *method.projector.parameters()]
    for a, b in zip(online, method.target.parameters(), strict=True):
        assert torch.equal(a, b) != (fresh and a.ndim > 1) and not b.requires_grad
    again = make(fresh_target=fresh)
    assert torch.equal(method.target[1][0].weight, again.target[1][0].weight)


@pytest.mark.parametrize(
    ("constant", "expected"),
    [(False, {0.0: 0.6, 0.5: 0.8, 1.0: 1.0}), (True, {0.0: 0.6, 0.5: 0.6, 1.0: 0.6})],
)
def test_the_target_follows(constant, expected):
    method = make(momentum=0.6, constant_momentum=constant)
    for progress, m in expected.items():
        for net, slow in (
            (method.encoder.stem[0], method.target[0].stem[0]),
            (method.projector[0], method.target[1][0]),
        ):
            slow.weight.copy_(torch.zeros_like(net.weight))
        method.progress = progress
        method.after_step()
        torch.testing.assert_close(
            method.target[0].stem[0].weight, (1 - m) * method.encoder.stem[0].weight.detach()
        )
        torch.testing.assert_close(method.target[1][0].weight, (1 - m) * method.projector[0].weight.detach())


def test_momentum_1_never_moves_the_target_and_0_makes_it_the_online_network():
    for momentum in (0.0, 1.0):
        method = make(momentum=momentum, constant_momentum=True)
        before = [p.clone() for p in method.target.parameters()]
        method.progress = 0.3
        method.after_step()
        online = [*method.encoder.parameters(), *method.projector.parameters()]
        for a, b in zip(method.target.parameters(), before if momentum else online, strict=True):
            assert torch.equal(a, b)


def test_without_predictor_the_projection_itself_is_compared():
    method = make(predictor=False)
    x1, x2 = torch.rand(2, 6, 3, 16, 16)
    _, _, t1, t2 = fixed(method, x1, x2)
    z1, z2 = (method.projector(method.encoder(x)) for x in (x1, x2))
    torch.testing.assert_close(method.loss(x1)["loss"], regression(z1, t2) + regression(z2, t1))


def test_without_stop_gradient_both_sides_are_the_online_network_and_learn():
    method = make(stop_gradient=False)
    x1, x2 = torch.rand(2, 6, 3, 16, 16)
    p1, p2, _, _ = fixed(method, x1, x2)
    z1, z2 = (method.projector(method.encoder(x)) for x in (x1, x2))
    loss, weight = method.loss(x1)["loss"], method.projector[0].weight
    whole = regression(p1, z2) + regression(p2, z1)
    torch.testing.assert_close(loss, whole)
    one_side = regression(p1, z2.detach()) + regression(p2, z1.detach())
    got, both, one = (torch.autograd.grad(x, weight, retain_graph=True)[0] for x in (loss, whole, one_side))
    torch.testing.assert_close(got, both)
    assert (got - one).norm() > 0.1 * one.norm()


@pytest.mark.parametrize("name", ["vit", "timm:resnet10t"])
def test_takes_transformers_and_other_convolutional_encoders(name):
    more = {"dim": 24, "depth": 1, "heads": 2} if name == "vit" else {}
    method = make(nets.encoder(name, 32, **more))
    logged = method.loss(torch.rand(4, 3, 32, 32))
    logged["loss"].backward()
    method.after_step()
    assert all(p.grad is not None for n, p in method.named_parameters() if not n.startswith("target"))
    assert 0 < logged["std"] < 1.1
