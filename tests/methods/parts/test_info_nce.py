"""InfoNCE against lightly's and its closed forms."""

import math

import pytest
import torch
from lightly.loss import NTXentLoss
from torch.nn import functional as F

from sslcourse.methods.contrastive.moco_v3 import ctr
from sslcourse.methods.contrastive.simclr import nt_xent
from sslcourse.methods.parts.info_nce import info_nce


def test_it_is_lightlys_with_the_same_bank():
    q, k, bank = (torch.randn(n, 6, dtype=torch.float64) for n in (5, 5, 9))
    q.requires_grad_()
    theirs = NTXentLoss(temperature=0.3, memory_bank_size=(9, 6))
    theirs.memory_bank.bank = F.normalize(bank, dim=1)
    expected = theirs(q, k)
    found, _ = info_nce(q, k, bank, 0.3)
    assert found.item() == pytest.approx(expected.item(), abs=1e-5)
    torch.testing.assert_close(
        *(torch.autograd.grad(loss, q)[0] for loss in (found, expected)), atol=1e-5, rtol=0
    )


def test_own_negatives_are_shared_ones_when_they_are_the_same():
    q, k, bank = torch.randn(4, 6), torch.randn(4, 6), torch.randn(9, 6)
    shared, own = info_nce(q, k, bank, 0.2), info_nce(q, k, bank.expand(4, 9, 6), 0.2)
    torch.testing.assert_close(shared, own)


def test_chance_is_log_of_the_candidates_and_certainty_is_nothing():
    ones = torch.ones(3, 4)
    assert info_nce(ones, ones, torch.ones(7, 4), 0.1)[0].item() == pytest.approx(math.log(8), abs=1e-5)
    loss, accuracy = info_nce(torch.eye(4), torch.eye(4), -torch.eye(4), 0.05)
    assert loss < 1e-6 and accuracy == 1
    assert info_nce(torch.eye(4), -torch.eye(4), torch.eye(4), 0.05)[1] == 0


@pytest.mark.parametrize(
    "loss",
    [
        lambda q, k: info_nce(q, k, k.flip(0), 0.07),
        lambda q, k: ctr(q, k, 0.07),
        lambda q, k: nt_xent(q, k, 0.07),
    ],
)
def test_mixed_precision_costs_no_digits(loss):
    q = torch.randn(6, 8)
    k = q + 0.01 * torch.randn(6, 8)  # cosines near 1, which bfloat16 cannot tell apart
    with torch.autocast("cpu", torch.bfloat16):
        mixed = loss(q, k)[0]
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, loss(q, k)[0])
    assert loss(q.bfloat16(), k)[0].dtype == torch.float32


def test_shapes_alone_are_enough():
    assert info_nce(*torch.empty(3, 4, 8, device="meta"), 0.1)[0].shape == ()
