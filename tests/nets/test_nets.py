import pytest
import torch
import torchvision

from sslcourse import nets
from sslcourse.errors import UserError
from sslcourse.nets.resnet import Block
from sslcourse.nets.vit import sincos_positions

SPECS = [
    ("small", 32, {"width": 4}),
    ("small", 64, {"width": 4, "blocks": (1, 2)}),
    ("resnet18", 32, {}),
    ("vit", 32, {"dim": 24, "depth": 2}),
    ("vit", 64, {"dim": 24, "depth": 2, "pool": "mean"}),
    ("timm:resnet10t", 64, {}),
    ("timm:vit_tiny_patch16_224", 64, {"patch_size": 16, "depth": 2}),
]


@pytest.mark.parametrize(("name", "size", "arguments"), SPECS)
def test_every_encoder_answers_the_same_questions(name, size, arguments):
    net = nets.encoder(name, size, **arguments).eval()
    images = torch.rand(3, 3, size, size)
    features, tokens, layers = net(images), net.tokens(images), net.layers(images)
    assert features.shape == (3, net.dim)
    assert tokens.shape[0] == 3 and tokens.shape[2] == net.dim and tokens.ndim == 3
    assert len(layers) >= 2 and all(len(x) == 3 for x in layers.values())
    again = nets.random_like(net, seed=1).eval()
    assert not torch.equal(again(images), features)
    again.load_state_dict(net.state_dict())
    torch.testing.assert_close(again(images), features)


def test_forward_of_a_convolutional_encoder_is_the_mean_of_its_tokens_in_row_major_order():
    net = nets.encoder("small", 32, width=4, blocks=(1, 1)).eval()
    images = torch.rand(2, 3, 32, 32)
    last = list(net.layers(images).values())[-1]
    torch.testing.assert_close(net.tokens(images).mean(1), net(images))
    torch.testing.assert_close(net.tokens(images)[:, last.shape[-1] + 2], last[:, :, 1, 2])


def test_stem_keeps_small_images_large():
    images = torch.rand(1, 3, 32, 32)
    assert nets.encoder("resnet18", 32).layers(images)["stem"].shape[-1] == 32
    assert nets.encoder("resnet18", 64).layers(torch.rand(1, 3, 64, 64))["stem"].shape[-1] == 32
    assert nets.encoder("resnet18", 224).layers(torch.rand(1, 3, 224, 224))["stem"].shape[-1] == 56


def test_resnet18_is_torchvisions():
    net, theirs = nets.encoder("resnet18", 224).eval(), torchvision.models.resnet18(weights=None).eval()
    theirs.fc = torch.nn.Identity()
    stem = ("conv1", "bn1")
    renamed = {}
    for name, value in theirs.state_dict().items():
        head, _, tail = name.partition(".")
        where = f"stem.{stem.index(head)}" if head in stem else f"stages.{int(head[-1]) - 1}"
        renamed[f"{where}.{tail}"] = value
    net.load_state_dict({**renamed, "mean": net.mean, "std": net.std})
    images = torch.rand(2, 3, 224, 224)
    torch.testing.assert_close(net(images), theirs(net.normalise(images)))


def test_vit_attention_rows_sum_to_one_and_explain_the_output():
    net = nets.encoder("vit", 16, patch=4, dim=24, depth=2).eval()
    images = torch.rand(2, 3, 16, 16)
    weights = net.attention_weights(images)
    assert weights.shape == (2, 3, 17, 17)
    assert torch.equal(net.attention(images), weights[:, :, 0, 1:])
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 17))
    last = net.blocks[-1]
    x = net.blocks[0](net.with_cls(net.patches(images)))
    _, _, v = last.attention.split(last.norm1(x))
    by_hand = last.attention.proj((weights @ v).transpose(1, 2).flatten(2))  # (B, heads, T, d) -> (B, T, D)
    torch.testing.assert_close(by_hand, last.attention(last.norm1(x)))


def test_attention_of_a_transformer_of_timm_explains_its_output():
    net = nets.encoder("timm:vit_small_patch14_reg4_dinov2", 28, embed_dim=24, depth=2, num_heads=3).eval()
    images, seen = torch.rand(2, 3, 28, 28), []
    layer = net.net.blocks[-1].attn
    layer.register_forward_hook(lambda _, inputs, out: seen.append((inputs[0], out)))
    weights = net.attention(images)
    assert weights.shape == (2, 3, 4) and (weights.sum(-1) < 1).all()
    x = seen[0][0]
    v = layer.qkv(x)[..., 48:].unflatten(2, (3, 8))  # (B, 1 + 4 + T, 3 D) -> (B, 1 + 4 + T, heads, d)
    # all attention to what is no patch is left out: move the values there to 0, and CLS sees patches alone
    seen.clear()
    hook = layer.qkv.register_forward_hook(
        lambda _, inputs, y: torch.cat([y[..., :48], y[..., 48:] * (torch.arange(9) > 4)[:, None]], 2)
    )
    net(images)
    hook.remove()
    by_hand = torch.einsum("bht,bthd->bhd", weights, v[:, 5:]).flatten(1)  # (B, heads, d) -> (B, D)
    torch.testing.assert_close(layer.proj(by_hand), seen[0][1][:, 0])
    for name, more in (("small", {"width": 4}), ("timm:resnet10t", {}), ("timm:mixer_s32_224", {})):
        with pytest.raises(UserError, match="has no attention to show"):
            nets.encoder(name, 32, **more).attention(torch.rand(2, 3, 32, 32))


def test_stochastic_depth_leaves_out_blocks_of_single_images_while_it_trains():
    net = nets.encoder("vit", 16, dim=24, depth=3, drop_path=0.5)
    assert [block.drop.drop_prob for block in net.blocks] == [0, 0.25, 0.5]
    images = torch.rand(1, 3, 16, 16).expand(64, -1, -1, -1)
    assert len(net(images).unique(dim=0)) > 1 and len(net.eval()(images).unique(dim=0)) == 1


def test_positions_of_a_small_image_are_spread_over_those_of_a_large_one():
    whole, half = sincos_positions(8, 8, 32), sincos_positions(4, 4, 32, 8)
    assert torch.equal(sincos_positions(8, 8, 32, 8), whole)
    # four places on eight lie between two neighbours each: 0.5, 2.5, 4.5, 6.5
    apart = torch.cdist(half[:4, 16:], whole[:8, 16:])
    assert apart.argsort(1)[:, :2].sort(1)[0].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    net = nets.encoder("vit", 32, dim=32, depth=1)
    torch.nn.init.zeros_(net.embed.weight)
    assert torch.allclose(net.patches(torch.rand(1, 3, 16, 16))[0], half)
    assert torch.allclose(net.patches(torch.rand(1, 3, 32, 32))[0], whole)


def test_dinos_head_is_a_perceptron_of_unit_length_before_unit_prototypes():
    head = nets.DINOHead(6, 9, hidden=12, bottleneck=5, layers=3)
    assert [type(m).__name__ for m in head.mlp] == ["Linear", "GELU", "Linear", "GELU", "Linear"]
    x = torch.randn(4, 7, 6)
    z, w = head.mlp(x), head.last.parametrizations.weight.original1
    for k in (0, 8):
        torch.testing.assert_close(head(x)[..., k], torch.cosine_similarity(z, w[k], dim=-1))
    normed = nets.DINOHead(6, 9, hidden=12, bottleneck=5, norm=True).mlp
    assert [type(m).__name__ for m in normed] == ["Linear", "BatchNorm1d", "GELU"] * 2 + ["Linear"]


def test_vit_takes_any_size_its_patches_divide_and_says_so_otherwise():
    net = nets.encoder("vit", 32, dim=24, depth=1)
    assert net.tokens(torch.rand(1, 3, 16, 24)).shape == (1, 24, 24)
    with pytest.raises(UserError, match="do not divide into patches of 4"):
        net(torch.rand(1, 3, 30, 30))


def test_positions_tell_every_place_apart():
    places = sincos_positions(4, 6, 32)
    assert places.shape == (24, 32)
    assert torch.cdist(places, places).add(torch.eye(24)).min() > 0.1
    assert torch.equal(places[0, :16], places[5, :16])  # same row, same first half
    assert torch.equal(places[1, 16:], places[7, 16:])  # same column, same second half


def test_projection_head_has_no_bias_before_a_norm_and_no_offset_at_the_end():
    head = nets.projection_head(6, 8, 4, layers=3)
    assert all(layer.bias is None for layer in head if isinstance(layer, torch.nn.Linear))
    assert [type(layer).__name__ for layer in head][-2:] == ["Linear", "BatchNorm1d"]
    assert not head[-1].bias.requires_grad
    assert nets.projection_head(6, 8, 4, last_norm=False)[-1].bias is not None


def test_random_like_resets_any_module_and_leaves_the_generator_alone():
    torch.manual_seed(3)
    net = torch.nn.Sequential(torch.nn.Linear(4, 4))
    state = torch.get_rng_state()
    a, b, c = nets.random_like(net, 0), nets.random_like(net, 0), nets.random_like(net, 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(a[0].weight, b[0].weight) and not torch.equal(a[0].weight, c[0].weight)
    assert not torch.equal(a[0].weight, net[0].weight)


def test_unknown_encoder_is_named():
    with pytest.raises(UserError, match="no encoder 'resnet19'"):
        nets.encoder("resnet19")
    with pytest.raises(UserError, match="timm has no model"):
        nets.encoder("timm:nonsense")
    for wrapper in ("channels", "beside", "patchwise"):  # they need arguments: no name for a command line
        with pytest.raises(UserError, match=f"no encoder '{wrapper}'"):
            nets.encoder(wrapper)


def test_timm_encoders_fit_their_dim_or_say_that_they_do_not_fit():
    # timm's own feature of the first is wider than its last map; the second must be told the size
    net = nets.encoder("timm:mobilenetv3_small_050", 32).eval()
    images = torch.rand(2, 3, 32, 32)
    assert torch.allclose(net(images), net.tokens(images).mean(1)) and net(images).shape == (2, net.dim)
    assert nets.encoder("timm:mixer_s32_224", 32).tokens(images).shape == (2, 1, 512)
    with pytest.raises(UserError, match="inception_v3 does not take images of 32 px") as caught:
        nets.encoder("timm:inception_v3", 32)
    assert "give --size" in str(caught.value)


def test_a_timm_transformer_says_which_size_it_takes():
    with pytest.raises(UserError, match="takes images of 32 px and got 64: give --size 32"):
        nets.encoder("timm:vit_tiny_patch16_224", 32, depth=1)(torch.rand(2, 3, 64, 64))
    net = nets.encoder("timm:resnet10t", 32).eval()
    assert net(torch.rand(2, 3, 64, 64)).shape == (2, net.dim)


def test_activation_maps_show_where_the_net_responds():
    net = nets.encoder("small", 32, width=4, blocks=(1,))
    images = torch.zeros(1, 3, 32, 32)
    images[..., 16:, 16:] = torch.rand(3, 16, 16)
    maps = nets.activation_maps(net, images)
    assert set(maps) == {"stem", "stage1"} and net.training
    for heat in maps.values():
        assert heat.shape == (1, 8, 8) and heat.max() == 1
        assert heat[0, 5:, 5:].std() > heat[0, 1:3, 1:3].std()


def test_in_bf16_a_map_of_one_pixel_has_the_gradients_of_full_precision():
    block = Block(16, 32, stride=2)
    x = torch.randn(64, 16, 1, 1)
    gradients = []
    for half in (False, True):
        block.zero_grad()
        junk = [torch.full((10_000,), float("nan"), dtype=torch.bfloat16) for _ in range(8)]
        del junk  # what is not written to would show
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            y = block.conv1(x.bfloat16() if half else x)
        y.float().square().sum().backward()
        gradients.append(block.conv1.weight.grad.clone())
    torch.testing.assert_close(*gradients, atol=0.05 * gradients[0].abs().max().item(), rtol=0)
