import pytest
import torch
from timm.layers import DropPath
from torch import nn

from sslcourse.methods.parts.momentum import follow, momentum_copy, rising, teacher_copy


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


def test_a_teacher_leaves_nothing_out_while_it_trains():
    torch.manual_seed(0)
    student = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5), DropPath(0.5), nn.BatchNorm1d(8)).train()
    teacher, x = teacher_copy(student), torch.rand(64, 8)
    assert student[1].p == student[2].drop_prob == 0.5 and not any(
        p.requires_grad for p in teacher.parameters()
    )
    assert teacher.training and not torch.equal(student(x), student(x))
    assert torch.equal(teacher(x), teacher[3](teacher[0](x)))


def test_rising_goes_from_momentum_to_1_along_a_cosine():
    steps = [rising(0.6, k / 10) for k in range(11)]
    assert steps[0] == 0.6 and steps[5] == pytest.approx(0.8) and steps[10] == 1
    assert steps == sorted(steps)
    assert rising(0.6, 0.25) == pytest.approx(1 - 0.2 * (1 + 2**-0.5))
