import math

import pytest
import torch
from lightly.loss import NTXentLoss
from torch.nn import functional as F

from sslcourse import nets
from sslcourse.methods import SimCLR
from sslcourse.methods.contrastive.simclr import nt_xent


def naive(z1, z2, tau):
    """The formula, one anchor at a time."""
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    n, total = len(z1), 0.0
    for i in range(2 * n):
        others = [math.exp(float(z[i] @ z[k]) / tau) for k in range(2 * n) if k != i]
        total -= math.log(math.exp(float(z[i] @ z[(i + n) % (2 * n)]) / tau) / sum(others))
    return total / (2 * n)


@pytest.mark.parametrize("tau", [0.1, 0.5, 1.0])
def test_loss_is_the_formula_and_lightlys(tau):
    z1, z2 = torch.randn(2, 7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z1.requires_grad_()
    ours = nt_xent(z1, z2, tau)[0]
    assert ours.item() == pytest.approx(naive(z1.detach(), z2, tau), abs=1e-10)
    theirs = NTXentLoss(temperature=tau)(z1, z2)
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
    torch.testing.assert_close(
        *(torch.autograd.grad(loss, z1)[0] for loss in (ours, theirs)), atol=1e-5, rtol=0
    )


def test_identical_embeddings_cost_log_of_the_others():
    z = torch.ones(6, 4)
    assert nt_xent(z, z, 0.5)[0].item() == pytest.approx(math.log(11), abs=1e-5)


def test_perfect_partners_are_found():
    z = torch.eye(8)
    loss, accuracy = nt_xent(z, z, 0.05)
    assert loss < 1e-6 and accuracy == 1


def test_loss_sees_z_and_what_is_kept_is_h():
    method = SimCLR(nets.encoder("small", 16, width=4), dim=16)
    assert method.projector[-1].num_features == 16
    assert method.eval().features(torch.rand(2, 3, 16, 16)).shape == (2, method.encoder.dim)


def test_without_colour_distortion_grey_values_are_only_resampled():
    images = torch.full((4, 3, 16, 16), 0.3)
    plain = SimCLR(nets.encoder("small", 16, width=4), strength=0.0, grey=0.0)
    torch.testing.assert_close(plain.view(images), images)
    assert not torch.allclose(SimCLR(nets.encoder("small", 16, width=4)).view(images), images, atol=0.01)
