import torch
from torch import nn

from sslcourse.methods.parts.clip import clip_each


def test_each_gradient_is_shortened_by_itself():
    long, short, none = (nn.Parameter(torch.zeros(4)) for _ in range(3))
    long.grad, short.grad = torch.tensor([30.0, 0, 40, 0]), torch.tensor([0.3, 0, 0.4, 0])
    clip_each([long, short, none], 3.0)
    torch.testing.assert_close(long.grad, torch.tensor([1.8, 0, 2.4, 0]))
    assert torch.equal(short.grad, torch.tensor([0.3, 0, 0.4, 0])) and none.grad is None
    clip_each([long], 0)
    torch.testing.assert_close(long.grad, torch.tensor([1.8, 0, 2.4, 0]))
    clip_each([none], 3.0)
