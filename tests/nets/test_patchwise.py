import pytest
import torch

from sslcourse import nets
from sslcourse.errors import UserError
from sslcourse.nets import Patchwise
from sslcourse.nets.rows_above import RowsAbove


def test_patches_are_the_boxes_of_a_centred_grid():
    images = torch.rand(2, 3, 21, 21)
    patches = Patchwise(nets.encoder("small", 32, width=4), 8, 4).patches(images)
    assert patches.shape == (2, 4, 4, 3, 8, 8)  # 8 + 3 * 4 = 20 of 21 px, from 0 on
    for i in range(4):
        for j in range(4):
            box = images[:, :, 4 * i : 4 * i + 8, 4 * j : 4 * j + 8]
            assert torch.equal(patches[:, i, j], box)
    shifted = Patchwise(nets.encoder("small", 32, width=4), 8, 4).patches(torch.rand(1, 3, 23, 23))
    assert shifted.shape[1] == 4  # 3 px left over, one of them on the left


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_features_are_the_mean_over_patches_each_by_itself(norm):
    net = Patchwise(nets.encoder("small", 32, width=4, norm=norm), 8, 4).eval()
    images = torch.rand(2, 3, 16, 16)
    boxes = [images[:, :, i : i + 8, j : j + 8] for i in (0, 4, 8) for j in (0, 4, 8)]
    each = torch.stack([net.encoder(box) for box in boxes], 1)  # (2, 9, D)
    torch.testing.assert_close(net(images), each.mean(1))
    torch.testing.assert_close(net.tokens(images), each)
    torch.testing.assert_close(net.layers(images)["stage3"], net.final_map(images))
    first = torch.stack([net.encoder.layers(box)["stage1"].mean((2, 3)) for box in boxes], 2)
    torch.testing.assert_close(net.layers(images)["stage1"].flatten(2), first)


@pytest.mark.parametrize(
    ("name", "arguments"), [("small", {"width": 4, "norm": "layer"}), ("vit", {"dim": 24, "depth": 2})]
)
def test_answers_what_any_encoder_answers_and_can_be_built_again(name, arguments):
    net = Patchwise(nets.encoder(name, 32, **arguments), 8, 4).eval()
    images = torch.rand(3, 3, 32, 32)
    features, layers = net(images), net.layers(images)
    assert features.shape == (3, net.dim) and net.tokens(images).shape == (3, 49, net.dim)
    assert len(layers) >= 2 and all(x.shape[2:] == (7, 7) for x in layers.values())
    again = nets.encoder(**net.spec).eval()
    assert again.spec == net.spec
    again.load_state_dict(net.state_dict())
    torch.testing.assert_close(again(images), features)
    fresh = nets.random_like(net, seed=1).eval()
    assert type(fresh) is Patchwise and not torch.allclose(fresh(images), features)


def test_wrapping_twice_is_wrapping_once_and_patches_must_fit():
    net = Patchwise(nets.encoder("small", 32, width=4), 8, 4)
    assert Patchwise.of(net, 8, 4) is net
    with pytest.raises(UserError, match="patches of 8 px do not fit images of 6 px"):
        net(torch.rand(1, 3, 6, 6))
    with pytest.raises(UserError, match="use 1 px or more"):
        Patchwise(net.encoder, 8, 0)


def test_layer_norm_keeps_images_apart_and_batch_norm_does_not():
    images = torch.rand(6, 3, 16, 16)
    for norm, apart in (("layer", True), ("batch", False)):
        net = nets.encoder("small", 16, width=4, norm=norm).train()
        alone = torch.cat([net(images[:3]), net(images[3:])])
        assert torch.allclose(net(images), alone, atol=1e-5) == apart
    with pytest.raises(UserError, match="norm 'group' of a residual network: choose batch or layer"):
        nets.encoder("small", 16, norm="group")


def test_a_context_knows_all_columns_of_its_row_and_of_the_rows_above_and_nothing_below():
    g_ar = RowsAbove(dim=3, hidden=5, depth=6).double()
    h = w = 6
    # a ReLU may be dead somewhere: a weight of any sign must do, so open all of them
    for name, p in g_ar.named_parameters():
        torch.nn.init.uniform_(p, 0.1, 0.2) if "weight" in name else torch.nn.init.constant_(p, 0.1)
    z = torch.rand(1, 3, h, w, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(g_ar, z)[0, :, :, :, 0]  # (3, h, w, 3, h, w)
    seen = jacobian.abs().amax((0, 3)) > 0  # (h, w, h, w): context, z
    assert seen.any(3).any(1).equal(torch.ones(h, h).tril().bool())  # row of the context, row of z
    assert seen[2, 3, 1].all() and seen[2, 3, 2].all()  # every column
