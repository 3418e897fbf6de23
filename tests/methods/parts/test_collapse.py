import math

import pytest
import torch

from sslcourse.methods.parts.collapse import unit_std


def test_unit_std_of_what_is_known():
    z = torch.randn(4000, 32, generator=torch.Generator().manual_seed(0))
    assert unit_std(5 * z).item() == pytest.approx(1, abs=0.02)
    assert unit_std(torch.ones(10, 32)).item() == pytest.approx(0, abs=1e-6)
    two = torch.tensor([[3.0, 0.0], [0.0, 1.0]])  # each dimension is 0 or 1: deviation 1/2
    assert unit_std(two).item() == pytest.approx(math.sqrt(2) / 2, abs=1e-6)


def test_unit_std_keeps_its_digits_under_autocast_and_has_no_gradient():
    z = torch.randn(64, 8, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = unit_std(z)
    assert found.dtype == torch.float32 and not found.requires_grad
    assert torch.equal(found, unit_std(z))
