import pytest
import torch
from torch import nn

from sslcourse.methods.parts.momentum import follow, momentum_copy, rising


def test_follow_moves_parameters_by_their_share_and_leaves_buffers():
    online = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    slow = momentum_copy(online)
    assert not any(p.requires_grad for p in slow.parameters())
    for p in online.parameters():
        p.data.normal_()
    online[1].running_mean.fill_(7)
    before = [p.clone() for p in slow.parameters()]
    follow(slow, online, 0.9)
    for old, new, target in zip(before, slow.parameters(), online.parameters(), strict=True):
        torch.testing.assert_close(new, 0.9 * old + 0.1 * target)
    assert slow[1].running_mean.abs().max() == 0
    follow(slow, online, 1.0)
    held = [p.clone() for p in slow.parameters()]
    follow(slow, online, 1.0)
    assert all(torch.equal(a, b) for a, b in zip(held, slow.parameters(), strict=True))
    follow(slow, online, 0.0)
    assert all(torch.equal(a, b) for a, b in zip(slow.parameters(), online.parameters(), strict=True))


def test_rising_goes_from_momentum_to_1_along_a_cosine():
    steps = [rising(0.6, k / 10) for k in range(11)]
    assert steps[0] == 0.6 and steps[5] == pytest.approx(0.8) and steps[10] == 1
    assert steps == sorted(steps)
    assert rising(0.6, 0.25) == pytest.approx(1 - 0.2 * (1 + 2**-0.5))
