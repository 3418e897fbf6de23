import math

import pytest
import torch
from lightly.loss import NTXentLoss
from torch.nn import functional as F

from sslcourse import nets
from sslcourse.errors import UserError
from sslcourse.methods import SimCLR
from sslcourse.methods.contrastive.simclr import nt_xent
from sslcourse.views import DISTORTIONS, distorted_view


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


@pytest.mark.parametrize("block", [1, 3, 14, 100])
def test_block_by_block_is_the_same_in_value_and_gradient(block):
    z = torch.randn(2, 7, 5, dtype=torch.float64, requires_grad=True)
    whole, blocks = nt_xent(*z, 0.2), nt_xent(*z, 0.2, block)
    torch.testing.assert_close(whole, blocks, atol=1e-12, rtol=0)
    torch.testing.assert_close(
        *(torch.autograd.grad(loss, z)[0] for loss, _ in (whole, blocks)), atol=1e-12, rtol=0
    )


def test_no_block_by_block_tensor_is_as_large_as_the_table():
    n, block, largest = 256, 32, 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            out = function(*args, **(kwargs or {}))
            largest = max(
                [
                    largest,
                    *(t.numel() for t in torch.utils._pytree.tree_leaves(out) if isinstance(t, torch.Tensor)),
                ]
            )
            return out

    z = torch.randn(2, n, 8, requires_grad=True)
    with Watch():
        nt_xent(*z, 0.2, block)[0].backward()
    assert largest <= block * 2 * n


def test_one_branch_leaves_the_first_view_as_it_is():
    images, seen = torch.rand(4, 3, 16, 16), {}
    method = SimCLR(nets.encoder("small", 16, width=4), one_branch=["cutout"])
    method.encoder.register_forward_pre_hook(lambda _, given: seen.update(x=given[0]))
    method.loss(images)
    first, second = seen["x"].chunk(2)
    assert torch.equal(first, images) and ((second == images) | (second == 0.5)).all()
    assert not torch.equal(second, images)
    assert method.arguments()["one_branch"] == ["cutout"]


def test_distortions_come_in_the_order_they_are_named():
    images = torch.rand(2, 3, 16, 16)
    grey_last = distorted_view(["colour", "sobel"])(images)
    assert torch.equal(grey_last[:, 0], grey_last[:, 2])
    for name in DISTORTIONS:
        assert distorted_view([name])(images).shape == images.shape
    with pytest.raises(UserError, match="no distortion crops"):
        distorted_view(["crops"])
