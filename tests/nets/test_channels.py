import pytest
import torch

from sslcourse import nets
from sslcourse.errors import UserError
from sslcourse.nets import Beside, Channels
from sslcourse.nets.channels import seen
from sslcourse.views import lab_to_rgb, rgb_to_lab

SPECS = [("small", {"width": 4}), ("vit", {"dim": 24, "depth": 2}), ("timm:resnet10t", {})]


def gradient_in_lab(encoder, size=32):
    """How features depend on L, a and b: mean relative gradients (3,), in double precision."""
    images = 0.3 + 0.4 * torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0)).double()
    lab = rgb_to_lab(images).requires_grad_()
    features = encoder.double().eval()(lab_to_rgb(lab))
    gradient = torch.autograd.grad(features.square().sum(), lab)[0].abs().mean((0, 2, 3))
    return gradient / features.square().sum()


@pytest.mark.parametrize(("channels", "which"), [("L", [0]), ("ab", [1, 2]), ("Lab", [0, 1, 2])])
def test_sees_these_channels_and_no_others(channels, which):
    torch.manual_seed(0)
    gradient = gradient_in_lab(Channels(nets.encoder("small", 32, width=4), channels))
    for i in range(3):
        assert gradient[i] > 1e-9 if i in which else gradient[i] < 1e-14


def test_grey_is_the_mean_of_red_green_and_blue():
    images = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(seen(images, "grey"), images.mean(1, keepdim=True).repeat(1, 3, 1, 1))
    torch.testing.assert_close(seen(images, "L")[:, 1] * 100, rgb_to_lab(images)[:, 0])
    assert seen(images, "ab").shape == seen(images, "Lab").shape == images.shape


@pytest.mark.parametrize(("name", "arguments"), SPECS)
@pytest.mark.parametrize("wrap", [lambda e: Channels(e, "L"), lambda e: Beside([e, Channels(e, "ab")])])
def test_answers_what_any_encoder_answers_and_can_be_built_again(name, arguments, wrap):
    net = wrap(nets.encoder(name, 32, **arguments)).eval()
    images = torch.rand(3, 3, 32, 32)
    features, tokens, layers = net(images), net.tokens(images), net.layers(images)
    assert features.shape == (3, net.dim) and tokens.shape[2] == net.dim and len(layers) >= 2
    again = nets.encoder(**net.spec).eval()
    assert again.spec == net.spec
    again.load_state_dict(net.state_dict())
    torch.testing.assert_close(again(images), features)
    fresh = nets.random_like(net, seed=1).eval()
    assert type(fresh) is type(net) and fresh(images).shape == features.shape
    assert not torch.allclose(fresh(images), features)


@pytest.mark.parametrize("name", ["small", "resnet18", "timm:resnet10t"])
@pytest.mark.parametrize("channels", ["L", "gradient", "ab"])
def test_every_encoder_gets_the_same_numbers_whatever_colours_it_is_made_for(name, channels, monkeypatch):
    """The middle of a channel is 0 to the first convolution, a quarter of its range is 1."""
    inner = nets.encoder(name, 32)
    wrapped, images, met = Channels(inner, channels), torch.rand(2, 3, 32, 32), []
    monkeypatch.setattr(type(inner), "final_map", lambda self, x: met.append(self.normalise(x)) or x)
    wrapped.final_map(images)
    torch.testing.assert_close(met[0], (seen(images, channels) - 0.5) / 0.25, atol=1e-5, rtol=1e-5)


def test_what_was_saved_before_sees_what_it_saw():
    before = {"channels": "L", "encoder": {"name": "resnet18", "size": 32}}
    images = torch.rand(2, 3, 32, 32)
    old, new = nets.encoder("channels", 32, **before), Channels(nets.encoder("resnet18", 32), "L")
    assert torch.equal(old.seen(images), seen(images, "L")) and not torch.equal(
        new.seen(images), old.seen(images)
    )
    assert new.spec["fitted"] and nets.encoder(**new.spec).fitted and "fitted" not in old.spec
    assert set(old.state_dict()) == set(new.state_dict())
    small = Channels(nets.encoder("small", 32), "L")  # nothing to fit: the spec of old, and the same bits
    assert "fitted" not in small.spec and torch.equal(small.seen(images), seen(images, "L"))


def test_random_like_of_a_wrapped_encoder_is_the_wrapped_random_like():
    net = nets.encoder("small", 32, width=4)
    images = torch.rand(2, 3, 32, 32)
    wrapped = nets.random_like(Channels(net, "L"), 3).eval()
    plain = nets.random_like(net, 3).eval()
    torch.testing.assert_close(wrapped(images), plain(seen(images, "L")))


def test_random_like_fetches_no_weights_however_deep_the_encoder_lies():
    spec = {"name": "timm:resnet10t", "size": 32, "pretrained": True}
    inner = {"name": "channels", "size": 32, "channels": "L", "encoder": spec}
    assert nets.untrained({"encoders": [inner]})["encoders"][0]["encoder"]["pretrained"] is False


def test_features_beside_each_other_are_those_of_the_parts():
    parts = [Channels(nets.encoder("small", 32, width=w), c) for w, c in ((4, "L"), (8, "ab"))]
    net, images = Beside(parts).eval(), torch.rand(2, 3, 32, 32)
    assert net.dim == 16 + 32
    torch.testing.assert_close(net(images), torch.cat([part(images) for part in parts], 1))
    torch.testing.assert_close(net.layers(images)["stage3"].mean((2, 3)), net(images))
    torch.testing.assert_close(net.tokens(images).mean(1), net(images))


def test_wrapping_twice_is_wrapping_once():
    net = Channels(nets.encoder("small", 32, width=4), "L")
    assert Channels.of(net, "L") is net
    with pytest.raises(UserError, match="channels 'rgb' are unknown"):
        Channels(net, "rgb")
