import pytest
import torch
from torch import nn

from sslcourse import nets
from sslcourse.errors import UserError
from sslcourse.nets.rescaled import gradient_ratios, rescaled


def images():
    return torch.rand(64, 3, 32, 32, generator=torch.Generator().manual_seed(0)) ** 2


@pytest.mark.parametrize(
    "name, arguments", [("small", {"width": 8}), ("small", {"width": 8, "stem_stride": 2}), ("resnet18", {})]
)
def test_every_channel_has_mean_0_and_variance_1(name, arguments):
    torch.manual_seed(0)
    net = nets.encoder(name, 32, **arguments).eval()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    new = rescaled(net, images()[:16], rounds=2)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())  # the old one is left alone

    def outputs(n):
        kept = []
        hooks = [
            m.register_forward_hook(lambda m, i, o: kept.append(o.clone()))
            for m in n.modules()
            if isinstance(m, nn.BatchNorm2d)
        ]
        with torch.no_grad():
            n(images()[:16])
        [h.remove() for h in hooks]
        return kept

    for out in outputs(new):
        torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(out.shape[1]), atol=1e-3, rtol=0)
        torch.testing.assert_close(
            out.var((0, 2, 3), unbiased=False), torch.ones(out.shape[1]), atol=1e-2, rtol=0
        )
    assert max((out.var((0, 2, 3)) - 1).abs().max() for out in outputs(net)) > 0.3  # it was not so before


def test_gradient_to_weight_ratios_become_equal_and_the_function_stays():
    torch.manual_seed(0)
    net = nets.encoder("small", 32, width=8)
    alone, balanced = rescaled(net, images(), rounds=0), rescaled(net, images())
    spread = []
    for n in (alone, balanced):
        layers = [m for m in n.modules() if isinstance(m, nn.Conv2d)]
        ratios = gradient_ratios(n.eval(), layers, images())
        spread.append((ratios.max() / ratios.min()).item())
    assert spread[0] > 1.5 and spread[1] == pytest.approx(1, abs=0.01)
    torch.testing.assert_close(alone(images()), balanced(images()), atol=1e-3, rtol=1e-3)
    alone.train(), balanced.train()  # nor does training mode, which standardises itself, see a difference
    torch.testing.assert_close(alone(images()), balanced(images()), atol=1e-3, rtol=1e-3)


def test_mode_is_kept_and_nets_without_batch_norm_are_refused():
    torch.manual_seed(0)
    assert rescaled(nets.encoder("small", 32, width=4), images()).training
    with pytest.raises(UserError, match="batch norm behind every convolution"):
        rescaled(nets.encoder("vit", 32, dim=24, depth=1, heads=2), images()[:2])
