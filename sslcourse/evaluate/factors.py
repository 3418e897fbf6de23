"""Read-out of a world's factors from frozen features: what does a representation keep, what does it drop?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sslcourse.data.images import Data, ImageSet, pick_device
from sslcourse.errors import UserError
from sslcourse.evaluate.features import baseline, splits
from sslcourse.evaluate.linear import L2, predict
from sslcourse.evaluate.logistic import fit_logistic, principal_axes, standardise
from sslcourse.evaluate.score import Result, Score, accuracy, score

PERIODS = {"hue": 1.0, "yaw": 2 * math.pi, "azimuth": 2 * math.pi}  # by the end of a factor's name
# Names that start so are read out only when asked for: helpers, and what no image shows by itself.
HELPERS = ("symmetry", "present", "label", "shape", "floor_angle", "floor_shift", "dapple", "camera_azimuth")


def readable(images: ImageSet) -> list[str]:
    """The factors that describe the whole image: no lists of toys, which the sets with `present` have."""
    toys = "present" in images.factors
    return [
        name
        for name, value in images.factors.items()
        if not name.startswith(HELPERS) and value.dim() <= (1 if toys else 3) and value.dtype != torch.bool
    ]


def chosen(data: Data, names: Sequence[str] | None = None) -> list[str]:
    """The names of the factors to read out (default: `readable`), or one line on why that cannot be."""
    known = readable(data.train)
    names = known if names is None else list(names)
    missing = [name for name in names if name not in data.train.factors]
    if missing or not names:
        what = f"no factor {missing[0]!r}" if missing else "no factors"
        have = ", ".join(known) or "a toybox world, whose factors are known"
        raise UserError(f"factors on {data.name!r}: it has {what}; use {have}")
    return names


def target(images: ImageSet, name: str) -> tuple[Tensor, Tensor]:
    """What is regressed, (M, T) float32 (classes: (M,) int64), and the rows (M,) that have it.

    Angles become cosine and sine; a yaw is first multiplied by its toy's order of symmetry, and toys that
    look the same from all sides (symmetry 0) are left out.
    """
    value = images.factors[name].cpu()
    rows = torch.arange(len(value))
    if not value.is_floating_point():
        return value, rows
    value = value.float().flatten(1) if value.dim() > 1 else value.float()[:, None]
    period = next((p for end, p in PERIODS.items() if name.endswith(end)), None)
    if period is None:
        return value, rows
    angle = value * (2 * math.pi / period)
    if name == "yaw" and "symmetry" in images.factors:
        symmetry = images.factors["symmetry"].cpu().float()
        rows = (symmetry > 0).nonzero().squeeze(1)
        angle = (angle * symmetry[:, None])[rows]
    return torch.cat([angle.cos(), angle.sin()], 1), rows


def r_squared(predicted: Tensor, true: Tensor) -> Tensor:
    """1 - squared error / variance, all targets together: predicted (..., M, T), true (M, T) -> (...)."""
    variance = (true - true.mean(0)).square().sum().clamp_min(1e-12)
    return 1 - (predicted - true).square().sum((-2, -1)) / variance


def fit_ridge(features: Tensor, targets: Tensor, l2: Tensor) -> tuple[Tensor, Tensor]:
    """Minimise  mean_i |W' x_i + b - y_i|^2 + l2 |W|^2  for every strength in `l2`.

    features (N, D), targets (N, T), l2 (L,) > 0 -> W (L, D, T), b (L, T).
    """
    centre, middle = features.mean(0), targets.mean(0)
    variance, axes = principal_axes(features - centre)
    along = axes.T @ ((features - centre).T @ (targets - middle)) / len(features)  # (R, T)
    weights = axes @ (along / (variance[:, None] + l2.to(features)[:, None, None]))  # (R, T) -> (L, D, T)
    return weights, middle - centre @ weights


def factors(
    encoder: Callable,
    data: Data,
    *,
    names: Sequence[str] | None = None,
    l2: Sequence[float] = L2,
    seed: int = 0,
    device: str = "auto",
    batch_size: int = 512,
    beside_random: bool = True,
) -> list[Score]:
    """How well a linear map of the frozen features gives each factor of the world: one Score per factor.

    Continuous factors: R^2 of ridge regression on the test images, cut to [0, 1], for circular ones of cosine
    and sine. Whole numbers: accuracy of logistic regression. The regularisation is chosen on `.val`.
    """
    device, names = pick_device(device), chosen(data, names)
    strengths = sorted(l2, reverse=True)

    def measure(net: Callable) -> list[Result]:
        features = standardise(*splits(net, data, device, batch_size))
        return [read(name, features) for name in names]

    def read(name: str, features: tuple[Tensor, ...]) -> Result:
        (y, rows), (y_val, rows_val), (y_test, rows_test) = (
            tuple(t.to(device) for t in target(part, name)) for part in (data.train, data.val, data.test)
        )
        train, val, test = (f[r] for f, r in zip(features, (rows, rows_val, rows_test), strict=True))
        if y.is_floating_point():
            weights, bias = fit_ridge(train, y, torch.tensor(strengths))
            on_val = r_squared(val @ weights + bias[:, None], y_val).tolist()
            best = on_val.index(max(on_val))
            value = r_squared(test @ weights[best] + bias[best], y_test).clamp(0, 1).item()
            metric = f"R2 {name}"
        else:
            classes = int(max(y.max(), y_val.max(), y_test.max())) + 1
            weights, bias = fit_logistic(train, y, classes, torch.tensor(strengths))
            on_val = (predict(val, weights, bias) == y_val).float().mean(1).tolist()
            best = on_val.index(max(on_val))
            value = accuracy(predict(test, weights[best : best + 1], bias[best : best + 1])[0], y_test)
            metric = f"accuracy {name}"
        return Result(metric, value, len(train), len(test), {"factor": name, "l2": strengths[best]})

    return score("factors", measure, encoder, baseline(encoder, seed, beside_random), data, seed, device)
