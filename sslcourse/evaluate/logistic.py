"""Multinomial logistic regression, for many strengths of regularisation at once."""

from __future__ import annotations

import torch
from torch import Tensor

from sslcourse.errors import UserError

LARGEST = 2**28  # logits held at once: 1 GiB of float32


def standardise(reference: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """Every (., D) set shifted and scaled by the column means and deviations of `reference` (N, D).

    Columns that are constant in `reference` are only shifted.
    """
    mean, std = reference.mean(0), reference.std(0, correction=0)
    scale = torch.where(std > 1e-6 * (1 + mean.abs()), std, torch.ones_like(std))
    return tuple((features - mean) / scale for features in (reference, *others))


def fit_logistic(
    features: Tensor,
    labels: Tensor,
    classes: int,
    l2: Tensor,
    *,
    iterations: int = 500,
    tolerance: float = 2e-5,
) -> tuple[Tensor, Tensor]:
    """Minimise  mean_i -log softmax(W' x_i + b)[y_i] + l2 / 2 |W|^2  for every strength in `l2`.

    features (N, D), labels (N,) in [0, classes), l2 (L,) > 0 -> W (L, D, classes), b (L, classes).
    scikit-learn's `C` is 1 / (N l2); for two classes 2 / (N l2), as it keeps one weight vector, not two.
    Stops when the decrease that the quadratic model still promises is below tolerance * loss.

    One L-BFGS (Liu & Nocedal, 1989) runs all strengths together. Its directions start from the Hessian of the
    loss with curvature and features averaged apart,  mean(diag p - p p') (x) cov(x) + l2,  which two
    eigendecompositions invert and which is exact at W = 0.
    """
    l2 = torch.as_tensor(l2, dtype=torch.float32, device=features.device).reshape(-1)
    if not bool((l2 > 0).all()):
        raise UserError(f"l2 must be above 0, but is {l2.tolist()}: for almost none use 1e-6")
    features = features.float()
    mean = features.mean(0)
    if not bool(mean.isfinite().all()):
        raise UserError("the features hold NaN or infinity: the encoder diverged; train it with a lower lr")
    x = features - mean
    n, d = x.shape
    span = None
    if n < d:  # the solution lies in the span of the rows: solve in its N coordinates
        span = principal_axes(x)[1]  # (D, N)
        x = x @ span
    group = max(1, LARGEST // (n * classes))
    theta = torch.cat([_lbfgs(x, labels, classes, part, iterations, tolerance) for part in l2.split(group)])
    weights, bias = theta[..., :-1].transpose(1, 2), theta[..., -1]  # (L, C, R) -> (L, R, C)
    if span is not None:
        weights = span @ weights
    return weights, bias - mean @ weights


def principal_axes(x: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (R,) and orthonormal eigenvectors (D, R) of x'x / N, for x (N, D); R = min(N, D)."""
    x, home, n = (x.cpu() if x.device.type == "mps" else x), x.device, len(x)  # MPS has no decompositions
    if n < x.shape[1]:
        _, values, rows = torch.linalg.svd(x, full_matrices=False)
        variance, axes = values.square() / n, rows.T
    else:
        variance, axes = torch.linalg.eigh(x.T @ x / n)
    return variance.clamp_min(0).to(home), axes.to(home)


def _lbfgs(x: Tensor, labels: Tensor, classes: int, l2: Tensor, iterations: int, tolerance: float) -> Tensor:
    """x (N, R), columns of mean zero -> theta (L, C, R + 1), its last column the intercepts."""
    n, r = x.shape
    rows = x[:: max(1, n // (4 * r))]  # a few rows per axis are enough for a preconditioner
    variance, axes = principal_axes(rows)  # (R,), (R, R)
    target = labels.expand(1, 1, n)

    def product(direction: Tensor) -> Tensor:  # (L, C, R + 1) -> (L, C, N)
        return direction[..., :-1] @ x.T + direction[..., -1:]

    def objective(logits: Tensor, theta: Tensor) -> Tensor:  # -> (L,)
        right = logits.gather(1, target.expand(len(logits), 1, n)).squeeze(1)
        return (logits.logsumexp(1) - right).mean(1) + 0.5 * l2 * theta[..., :-1].square().sum((1, 2))

    def gradient(logits: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:  # (L, C, R + 1), (L, C, C)
        p = logits.softmax(1)
        curvature = torch.diag_embed(p.mean(2)) - p @ p.transpose(1, 2) / n
        right = target.expand(len(p), 1, n)
        p.scatter_add_(1, right, p.new_full((1, 1, 1), -1.0).expand_as(right))  # p - one_hot(y)
        slope = torch.cat([p @ x, p.sum(2, keepdim=True)], 2) / n
        slope[..., :-1] += l2[:, None, None] * theta[..., :-1]
        return slope, curvature

    def precondition(q: Tensor) -> Tensor:
        bend, mix = torch.linalg.eigh(curvature.cpu())  # (L, C), (L, C, C): small, and faster there
        bend, mix = bend.to(q), mix.to(q)
        bend = bend.clamp_min(1e-6)[..., None]
        q = mix.transpose(1, 2) @ q
        rotated = q[..., :-1] @ axes / (bend * variance + l2[:, None, None])
        return mix @ torch.cat([rotated @ axes.T, q[..., -1:] / bend], 2)

    theta = x.new_zeros(len(l2), classes, r + 1)
    answer, alive = theta.clone(), torch.arange(len(l2), device=x.device)
    logits = product(theta)
    loss = objective(logits, theta)
    slope, curvature = gradient(logits, theta)
    memory: list[tuple[Tensor, Tensor, Tensor]] = []  # (step s, change of gradient y, 1 / y.s)
    for _ in range(iterations):
        q, alphas = slope, []
        for s, y, rho in reversed(memory):
            alphas.append(rho * (s * q).sum((1, 2), keepdim=True))
            q = q - alphas[-1] * y
        q = precondition(q)
        if memory:  # shorten where the last step met more curvature than the average
            s, y, rho = memory[-1]
            scale = (y * s).sum((1, 2), keepdim=True) / (y * precondition(y)).sum((1, 2), keepdim=True)
            q = q * torch.where(rho > 0, scale.clamp_max(1), 1.0)
        for (s, y, rho), alpha in zip(memory, reversed(alphas), strict=True):
            q = q + (alpha - rho * (y * q).sum((1, 2), keepdim=True)) * s
        promised = (slope * q).sum((1, 2))
        answer[alive] = theta
        left = promised / 2 > tolerance * (loss + 1e-3)
        if not bool(left.any()):
            break
        if not bool(left.all()):  # go on with the strengths that have not converged
            theta, logits, loss, slope, q, promised, l2, alive = (
                t[left] for t in (theta, logits, loss, slope, q, promised, l2, alive)
            )
            memory = [(s[left], y[left], rho[left]) for s, y, rho in memory]
        along, step = product(q), torch.ones_like(loss)
        for _ in range(30):  # halve until the loss falls enough; logits are linear in the step
            new_theta = theta - step[:, None, None] * q
            new_logits = logits - step[:, None, None] * along
            new_loss = objective(new_logits, new_theta)
            bad = ~(new_loss <= loss - 1e-4 * step * promised + 1e-6 * loss)
            if not bool(bad.any()):
                break
            step = torch.where(bad, step / 2, step)
        new_slope, curvature = gradient(new_logits, new_theta)
        s, y = new_theta - theta, new_slope - slope
        ys = (y * s).sum((1, 2), keepdim=True)
        memory = [*memory[-9:], (s, y, torch.where(ys > 1e-12, 1 / ys, 0.0))]
        theta, logits, loss, slope = new_theta, new_logits, new_loss, new_slope
    answer[alive] = theta
    return answer
