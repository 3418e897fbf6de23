"""Batch norm in groups against batch norm of every group."""

import torch
from torch import nn

from sslcourse.methods.parts.grouped import GroupedBatchNorm, grouped


def test_grouped_batch_norm_is_batch_norm_of_every_group():
    torch.manual_seed(0)
    x, plain = torch.randn(12, 5, 4, 4, requires_grad=True), nn.BatchNorm2d(5)
    nn.init.normal_(plain.weight)
    net = nn.Sequential(nn.BatchNorm2d(5))
    net[0].load_state_dict(plain.state_dict())
    expected = torch.cat([plain(part) for part in x.split(4)])
    with grouped(4, net):
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
    x, net, plain = torch.randn(10, 3, 4, 4), nn.Sequential(nn.BatchNorm2d(3)), nn.BatchNorm2d(3)
    with grouped(4, net):
        torch.testing.assert_close(net(x), plain(x))


def test_afterwards_the_network_is_plain_again_also_after_an_error():
    net = nn.Sequential(nn.BatchNorm2d(3), nn.GroupNorm(1, 3))
    try:
        with grouped(4, net):
            assert type(net[0]) is GroupedBatchNorm and net[0].rows == 4
            raise ValueError
    except ValueError:
        pass
    assert type(net[0]) is nn.BatchNorm2d and not hasattr(net[0], "rows")
    with grouped(0, net):
        assert type(net[0]) is nn.BatchNorm2d
