"""Health of features: closed forms."""

import math

import pytest
import torch
from torch import nn

from sslcourse.evaluate import alignment, effective_rank, feature_std, health, uniformity


def test_effective_rank():
    assert effective_rank(torch.eye(8)) == pytest.approx(8, rel=1e-5)
    assert effective_rank(torch.randn(20, 1) @ torch.randn(1, 8)) == pytest.approx(1, abs=1e-3)
    values = torch.tensor([3.0, 1.0])  # p = 3/4, 1/4
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert effective_rank(torch.diag(values)) == pytest.approx(math.exp(entropy), rel=1e-5)


def test_feature_std():
    g = torch.Generator().manual_seed(0)
    assert feature_std(torch.randn(4000, 32, generator=g)) == pytest.approx(1, abs=0.02)
    assert feature_std(torch.ones(10, 32)) == pytest.approx(0, abs=1e-5)


def test_alignment():
    a = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    assert alignment(a, 5 * a) == pytest.approx(0, abs=1e-6)
    assert alignment(a, a.flip(1)) == pytest.approx(2)
    assert alignment(a, -a) == pytest.approx(4)


def test_uniformity():
    assert uniformity(torch.ones(10, 4)) == pytest.approx(0, abs=1e-5)
    antipodes = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert uniformity(antipodes) == pytest.approx(-8)
    square = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]])  # of 6 pairs 4 at squared distance 2, 2 at 4
    assert uniformity(square) == pytest.approx(math.log((4 * math.exp(-4) + 2 * math.exp(-8)) / 6), rel=1e-5)


def test_health(tiny_data):
    same = health(nn.Flatten(), tiny_data, view=lambda images, generator=None: images, device="cpu")
    assert set(same) == {"effective_rank", "feature_std", "alignment", "uniformity"}
    assert same["alignment"] == pytest.approx(0, abs=1e-5) and same["effective_rank"] > 2
    moved = health(nn.Flatten(), tiny_data, device="cpu")
    assert moved["alignment"] > 0.01 and moved == health(nn.Flatten(), tiny_data, device="cpu")
    dead = health(lambda images: torch.ones(len(images), 8), tiny_data, device="cpu")
    assert dead["effective_rank"] == pytest.approx(1, abs=1e-4) and dead["uniformity"] == pytest.approx(
        0, abs=1e-5
    )
