"""Counted bytes: what lives at the same time, whatever the device."""

import pytest
import torch

from sslcourse.memory import peak_bytes
from sslcourse.methods.contrastive.simclr import nt_xent


def step(batch, block, device):
    z1, z2 = (torch.ones(batch, 16, device=device, requires_grad=True) for _ in range(2))
    nt_xent(z1, z2, 0.2, block)[0].backward()


def test_only_what_lives_together_counts():
    def one_after_another():
        a = torch.zeros(1000)  # 4,000 bytes
        a.view(10, 100).add_(1)  # the same memory
        del a
        b = torch.zeros(500) + 1  # 2,000 twice
        return b

    assert peak_bytes(one_after_another) == 4000
    assert peak_bytes(lambda: [torch.zeros(1000), torch.zeros(500)]) == 6000


def test_what_was_there_before_does_not_count():
    given = torch.zeros(1000)
    assert peak_bytes(lambda: given.mul_(2).view(10, 100).t()) == 0
    assert peak_bytes(torch.add, given, 1) == 4000


@pytest.mark.parametrize("block", [0, 16])
def test_tensors_without_memory_count_like_real_ones(block):
    assert peak_bytes(step, 64, block, "meta") == peak_bytes(step, 64, block, "cpu") > 0


def test_the_loss_grows_with_the_square_of_the_batch_and_in_blocks_with_the_batch():
    whole, blocks = ([peak_bytes(step, b, block, "meta") for b in (512, 1024)] for block in (0, 64))
    assert whole[1] / whole[0] == pytest.approx(4, rel=0.1)
    assert blocks[1] / blocks[0] == pytest.approx(2, rel=0.1)
