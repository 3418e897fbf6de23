"""Batch norm in groups against batch norm of every group."""

import torch
from torch import nn

from sslcourse.nets.grouped import GroupedBatchNorm, grouped


def test_grouped_batch_norm_is_batch_norm_of_every_group():
    torch.manual_seed(0)
    x, plain = torch.randn(12, 5, 4, 4, requires_grad=True), nn.BatchNorm2d(5)
    nn.init.normal_(plain.weight)
    net = grouped(nn.Sequential(nn.BatchNorm2d(5)), 4)
    net[0].load_state_dict(plain.state_dict())
    assert type(net[0]) is GroupedBatchNorm
    expected = torch.cat([plain(part) for part in x.split(4)])
    found = net(x)
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(found)
    for a, b in zip(
        torch.autograd.grad((found * weights).sum(), [x]),
        torch.autograd.grad((expected * weights).sum(), [x]),
        strict=True,
    ):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    whole = nn.BatchNorm2d(5)
    whole(x)
    torch.testing.assert_close(net[0].running_mean, whole.running_mean)


def test_a_batch_that_does_not_divide_is_one_group():
    torch.manual_seed(0)
    x, net, plain = torch.randn(10, 3, 4, 4), grouped(nn.Sequential(nn.BatchNorm2d(3)), 4), nn.BatchNorm2d(3)
    torch.testing.assert_close(net(x), plain(x))
