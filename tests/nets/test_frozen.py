"""A frozen network stays as it is, and leaves the one it was made of alone."""

import torch
from torch import nn

from sslcourse.nets import frozen


def test_it_stays_asleep_whatever_holds_it():
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)).eval()
    x = torch.randn(8, 4) + 3
    expected = net(x)
    outer = nn.Sequential(frozen(net.train())).train()
    before = {name: value.clone() for name, value in outer.state_dict().items()}
    assert len(before) == len(net.state_dict()) and torch.equal(outer(x), expected)
    assert all(torch.equal(value, before[name]) for name, value in outer.state_dict().items())
    assert not any(p.requires_grad for p in outer.parameters())


def test_the_network_it_was_made_of_goes_on_learning():
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    teacher, x = frozen(net), torch.randn(8, 4)
    said = teacher(x)
    assert all(p.requires_grad for p in net.parameters()) and net.training
    nn.init.zeros_(net[0].weight)
    assert torch.equal(teacher(x), said)
