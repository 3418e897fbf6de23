"""The solver of the linear probe, against scikit-learn and the conditions of optimality."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from torch.nn import functional as F

from sslcourse.errors import UserError
from sslcourse.evaluate import fit_logistic, standardise
from sslcourse.evaluate.factors import fit_ridge


def problem(n=400, d=24, classes=4, noise=1.5, seed=0):
    """Correlated, uncentred features of overlapping classes."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (n,), generator=g)
    centres = torch.randn(classes, d, generator=g)
    mix = torch.randn(d, d, generator=g) * torch.linspace(1.5, 0.1, d)
    return (centres[labels] + noise * torch.randn(n, d, generator=g)) @ mix + 3, labels


def objective(x, y, weights, bias, l2):
    logits = x.double() @ torch.as_tensor(weights).double() + torch.as_tensor(bias).double()
    return float(F.cross_entropy(logits, y) + l2 / 2 * torch.as_tensor(weights).double().square().sum())


@pytest.mark.parametrize("n, d", [(400, 24), (30, 64)])
def test_equals_sklearn(n, d):
    x, y = problem(n, d)
    x_test, y_test = problem(500, d, seed=1)
    x, x_test = standardise(x, x_test)
    grid = [1e-3, 1e-2, 0.1, 1.0]
    weights, bias = fit_logistic(x, y, 4, torch.tensor(grid))
    assert weights.shape == (4, d, 4) and bias.shape == (4, 4)
    for i, l2 in enumerate(grid):
        peer = LogisticRegression(C=1 / (n * l2), max_iter=10_000, tol=1e-8).fit(
            x.double().numpy(), y.numpy()
        )
        best = objective(x, y, peer.coef_.T, peer.intercept_, l2)
        assert objective(x, y, weights[i], bias[i], l2) <= best * (1 + 1e-4)
        ours = ((x_test @ weights[i] + bias[i]).argmax(1) == y_test).float().mean().item()
        theirs = float((peer.predict(x_test.double().numpy()) == y_test.numpy()).mean())
        assert abs(ours - theirs) <= 0.005


def test_two_classes_have_half_the_C():
    x, y = problem(classes=2)
    weights, bias = fit_logistic(x, y, 2, torch.tensor([0.05]))
    peer = LogisticRegression(C=2 / (len(x) * 0.05), max_iter=10_000, tol=1e-8).fit(
        x.double().numpy(), y.numpy()
    )
    difference = weights[0, :, 1] - weights[0, :, 0]
    assert torch.allclose(difference, torch.tensor(peer.coef_[0]).float(), atol=6e-3)
    assert abs(float(bias[0, 1] - bias[0, 0]) - peer.intercept_[0]) < 0.02


def test_many_strengths_equal_one_at_a_time():
    x, y = problem()
    grid = torch.tensor([1e-4, 1e-2, 1.0])
    together = fit_logistic(x, y, 4, grid)
    for i, l2 in enumerate(grid):
        alone = fit_logistic(x, y, 4, l2[None])
        first, second = (
            objective(x, y, w, b, float(l2))
            for w, b in ((together[0][i], together[1][i]), (alone[0][0], alone[1][0]))
        )
        assert first == pytest.approx(second, rel=1e-4)


def test_intercept_is_not_penalised():
    """Without informative features, a huge penalty leaves the class frequencies."""
    labels = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    features = torch.randn(100, 5, generator=torch.Generator().manual_seed(0))
    weights, bias = fit_logistic(features, labels, 3, torch.tensor([1e4]))
    assert weights.abs().max() < 1e-3
    assert torch.allclose(bias[0].softmax(0), torch.tensor([0.6, 0.3, 0.1]), atol=5e-3)


def test_separable_data_stay_finite():
    x = torch.eye(6).repeat(5, 1)
    y = torch.arange(6).repeat(5)
    weights, bias = fit_logistic(x, y, 6, torch.tensor([1e-6]))
    assert weights.isfinite().all() and ((x @ weights[0] + bias[0]).argmax(1) == y).all()


def test_classes_absent_from_train_are_allowed():
    x, y = problem(classes=3)
    weights, bias = fit_logistic(x, y, 5, torch.tensor([0.01]))
    assert weights.isfinite().all() and ((x @ weights[0] + bias[0]).argmax(1) < 3).all()


def test_errors_are_one_line():
    x, y = problem()
    with pytest.raises(UserError, match="diverged"):
        fit_logistic(torch.full_like(x, float("nan")), y, 4, torch.tensor([0.1]))
    with pytest.raises(UserError, match="above 0"):
        fit_logistic(x, y, 4, torch.tensor([0.0]))


def test_standardise_uses_the_reference_only():
    x, other = problem()[0], problem(seed=1)[0] * 9 - 4
    x[:, 3] = 7.0
    a, b = standardise(x, other)
    assert torch.allclose(a.mean(0), torch.zeros(24), atol=1e-4)
    std = a.std(0, correction=0)
    assert torch.allclose(std[torch.arange(24) != 3], torch.ones(23), atol=1e-3) and std[3] < 1e-3
    expected = (other[:, 0] - x[:, 0].mean()) / x[:, 0].std(correction=0)
    assert torch.allclose(b[:, 0], expected, atol=1e-3) and b.isfinite().all()


def test_ridge_equals_sklearn():
    x = problem()[0]
    y = torch.stack([x[:, 0] + x[:, 1], x[:, 2].sin()], 1)
    weights, bias = fit_ridge(x, y, torch.tensor([0.01, 1.0]))
    for i, l2 in enumerate((0.01, 1.0)):
        peer = Ridge(alpha=l2 * len(x)).fit(x.double().numpy(), y.double().numpy())
        ours = x @ weights[i] + bias[i]
        assert torch.allclose(ours, torch.tensor(peer.predict(x.double().numpy())).float(), atol=2e-2)
