import math

import pytest
import torch
from torch.nn import functional as F

from sslcourse import nets
from sslcourse.methods import Exemplar


def made(**arguments) -> Exemplar:
    torch.manual_seed(0)
    method = Exemplar(nets.encoder("small", 16, width=4), **arguments)
    method.view = lambda images: images
    return method


def count(method) -> int:
    return sum(p.numel() for p in method.parameters())


def test_what_is_learned_grows_with_the_seeds():
    small, large = made(images=100, seeds=0), made(images=1100, seeds=0)
    assert count(large) - count(small) == 1000 * (small.encoder.dim + 1)


@pytest.mark.parametrize(
    ("images", "seeds", "classes"), [(50, 0, 50), (50, 20, 20), (50, 8000, 50), (10_000, 8000, 8000)]
)
def test_there_are_at_most_as_many_classes_as_images(images, seeds, classes):
    assert made(images=images, seeds=seeds).classifier.out_features == classes


def test_arguments_come_from_the_data(tiny_data):
    told = Exemplar.arguments_from(tiny_data)
    assert told["images"] == 96 and made(**told).classes == 96
    mean, *axes = torch.tensor(told["colours"])
    torch.testing.assert_close(mean, tiny_data.train.floats().mean((0, 2, 3)), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.stack(axes) @ torch.stack(axes).T, torch.eye(3), atol=1e-5, rtol=0)


def test_chance_is_log_n(tiny_data):
    method = made(images=96, seeds=0)
    torch.nn.init.zeros_(method.classifier.weight)
    torch.nn.init.zeros_(method.classifier.bias)
    loss = method.loss(tiny_data.train.floats([3, 50, 95]), torch.tensor([3, 50, 95]))["loss"]
    assert loss.item() == pytest.approx(math.log(96), abs=1e-5)


def test_only_seeds_are_learned_from():
    method, index = made(images=96, seeds=10), torch.tensor([3, 50, 9, 10])
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    logged, logits = (
        method.loss(images, index),
        method.logits(images),
    )  # in the same batch, so with the same norms
    expected = F.cross_entropy(logits[[0, 2]], index[[0, 2]])
    torch.testing.assert_close(logged["loss"], expected)
    assert logged["accuracy"] == (logits.argmax(1) == index)[[0, 2]].float().mean()


def test_a_batch_without_seeds_costs_nothing_and_still_reaches_every_weight():
    method = made(images=96, seeds=10)
    loss = method.loss(torch.rand(3, 3, 16, 16), torch.tensor([10, 50, 95]))["loss"]
    loss.backward()
    assert loss == 0
    assert all(p.grad is not None and not p.grad.any() for p in method.parameters())


def test_copies_are_drawn_anew():
    method = Exemplar(nets.encoder("small", 16, width=4))
    images = torch.rand(2, 3, 16, 16)
    assert not torch.equal(method.view(images), method.view(images))
    plain = Exemplar(nets.encoder("small", 16, width=4), transforms=[])
    torch.testing.assert_close(plain.view(images), images, atol=1e-5, rtol=0)
