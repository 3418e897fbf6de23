import pytest
import torch
from torch.nn import functional as F

from sslcourse import nets
from sslcourse.nets.dense import DenseHead, as_map, hypercolumns, resize

ENCODERS = [("small", {"width": 8}), ("resnet18", {}), ("vit", {"dim": 24, "depth": 2})]


@pytest.mark.parametrize(("name", "arguments"), ENCODERS)
@pytest.mark.parametrize("skip", [True, False])
def test_reads_a_map_from_any_encoder_and_teaches_every_layer_it_uses(name, arguments, skip):
    net = nets.encoder(name, 32, **arguments)
    head = DenseHead(net, 5, 32, stride=4, width=8, skip=skip)
    out = head(net.layers(torch.rand(2, 3, 32, 32)))
    assert out.shape == (2, 5, 8, 8)
    out.square().sum().backward()
    assert all(p.grad is not None for p in head.parameters())
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_probing_for_its_widths_leaves_the_encoder_as_it_was():
    net = nets.encoder("small", 32, width=4)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    DenseHead(net, 2, 32)
    assert net.training and all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_without_skip_only_the_deepest_map_counts():
    net = nets.encoder("small", 32, width=4).eval()
    layers = net.layers(torch.rand(1, 3, 32, 32))
    for skip in (True, False):
        head = DenseHead(net, 2, 32, skip=skip).eval()
        other = {**layers, "stem": torch.rand_like(layers["stem"])}
        assert torch.equal(head(layers), head(other)) != skip
        other = {**layers, "stage3": torch.rand_like(layers["stage3"])}
        assert not torch.equal(head(layers), head(other))


def test_places_of_the_map_are_places_of_the_image():
    """Constant in, constant out; and what is on the left comes out on the left."""
    torch.manual_seed(0)
    net = nets.encoder("small", 32, width=4).eval()
    head = DenseHead(net, 1, 32, stride=2).eval()
    layers = {name: torch.zeros_like(x) for name, x in net.layers(torch.zeros(1, 3, 32, 32)).items()}
    flat = head(layers)
    layers["stage3"][..., 0, 0] = 9.0
    change = (head(layers) - flat).abs()[0, 0]
    assert change.shape == (16, 16) and change[:6, :6].mean() > 10 * change[-6:, -6:].mean()


def test_tokens_become_a_map_row_by_row():
    tokens = torch.arange(6 * 6).view(1, 36, 1).expand(1, 36, 2)  # (T,) -> (1, T, C)
    assert torch.equal(as_map(tokens)[0, 0], torch.arange(36).view(6, 6))  # (36,) -> (6, 6)


def test_resize_averages_down_and_enlarges():
    x = torch.arange(16.0).view(1, 1, 4, 4)  # (16,) -> (1, 1, 4, 4)
    torch.testing.assert_close(resize(x, 2), F.avg_pool2d(x, 2))
    assert resize(x, 4) is x and resize(x, 8).shape == (1, 1, 8, 8)


def test_hypercolumns_are_the_enlarged_layers_at_the_points():
    net = nets.encoder("small", 32, width=4).eval()
    layers = net.layers(torch.rand(2, 3, 32, 32))
    y, x = torch.tensor([[0, 5, 31], [17, 31, 8]]), torch.tensor([[0, 20, 31], [3, 0, 29]])
    points = (torch.stack([x, y], 2) + 0.5) / 16 - 1
    found = hypercolumns(layers, points)
    big = torch.cat([F.interpolate(m, size=(32, 32), mode="bilinear") for m in layers.values()], 1)
    for i in range(2):
        torch.testing.assert_close(found[i], big[i, :, y[i], x[i]].T)
