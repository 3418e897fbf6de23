import pytest
import torch

from sslcourse import nets
from sslcourse.methods import ContextEncoder
from sslcourse.methods.pretext.context_encoder import ChannelwiseLinear


def make(size=32, **arguments):
    torch.manual_seed(0)
    return ContextEncoder(nets.encoder("small", size, width=8), **{"size": size, **arguments})


def test_channels_do_not_mix_and_places_do():
    layer = ChannelwiseLinear(3, 4)
    x = torch.rand(1, 3, 2, 2, requires_grad=True)
    layer(x)[0, 1].sum().backward()
    assert (x.grad[0, 1] != 0).all() and not x.grad[0, [0, 2]].any()
    W, y = layer.weight[2], layer(x)[0, 2].flatten()
    torch.testing.assert_close(y, x[0, 2].flatten() @ W + layer.bias[2])


def test_centre_is_the_middle_half_with_a_visible_band():
    H, M = make(64).regions(torch.rand(2, 3, 64, 64))
    expected = torch.zeros(64, 64, dtype=torch.bool)
    expected[16:48, 16:48] = True
    assert torch.equal(M[1, 0], expected)  # half of each side; 4 pixels of 128 are 2 of 64
    inner = torch.zeros(64, 64, dtype=torch.bool)
    inner[18:46, 18:46] = True
    assert torch.equal(H[0, 0], inner)


def test_random_regions_differ_and_cover_about_a_quarter():
    torch.manual_seed(0)
    H, M = make(32, region="random").regions(torch.rand(400, 3, 32, 32))
    assert 0.17 < H.float().mean() < 0.3 and (M | ~H).all()
    assert len({tuple(h.flatten().tolist()) for h in H}) > 390
    assert H.any(3).any(2).all()


def test_loss_is_the_mean_over_the_region_with_more_weight_on_its_band():
    """Colours in [-1, 1], and a mean that does not divide by the weights, as in the authors' code."""
    method = make(adversarial=0.0).eval()
    x = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        H, M = method.regions(x)
        y = method.painted(x, H)
        total = pixels = 0.0
        for i in range(32):
            for j in range(32):
                if M[0, 0, i, j]:
                    weight = 1 if H[0, 0, i, j] else 10
                    total += weight * float(((2 * x - 1) - (2 * y - 1))[:, :, i, j].square().mean())
                    pixels += 1
        assert method.loss(x)["loss"].item() == pytest.approx(total / pixels, rel=1e-4)


def test_the_painter_has_the_authors_balance_of_its_two_terms():
    """Per pixel, .999 (1 or 10) times the error's gradient on [-1, 1] against .001 times the adversary's."""
    method = make(128, width=4).eval()
    x = torch.rand(2, 3, 128, 128)
    painted = torch.rand(2, 3, 128, 128, requires_grad=True)
    method.painted = lambda images, H: painted
    logged = method.loss(x)
    got = torch.autograd.grad(logged["loss"] - logged["discriminator"], painted, retain_graph=True)[0]
    fake = (2 * painted - 1)[:, :, 32:96, 32:96]
    weight = torch.full((64, 64), 10.0)
    weight[4:-4, 4:-4] = 1
    theirs = 0.999 * (weight * (fake - (2 * x - 1)[:, :, 32:96, 32:96]).square()).mean()
    theirs = torch.autograd.grad(theirs + 0.001 * logged["adversarial"], painted)[0]
    torch.testing.assert_close(got, theirs, atol=1e-9, rtol=1e-4)


def test_what_is_hidden_cannot_be_seen():
    method = make(adversarial=0.0).eval()
    x = torch.rand(2, 3, 32, 32)
    H, _ = method.regions(x)
    changed = torch.where(H, torch.rand_like(x), x)
    assert torch.equal(method.painted(x, H), method.painted(changed, H))
    assert not torch.equal(method.painted(x, H), method.painted(torch.where(H, x, 1 - x), H))


def grads(method, loss):
    found = torch.autograd.grad(loss, list(method.parameters()), allow_unused=True, retain_graph=True)
    return {n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(
        method.named_parameters(), found, strict=True
    )}  # fmt: skip


def test_neither_player_feels_the_other_ones_loss():
    method = make(adversarial=0.5).eval()
    logged = method.loss(torch.rand(4, 3, 32, 32))
    whole = grads(method, logged["loss"])
    painter = grads(method, 0.5 * logged["reconstruction"] + 0.5 * logged["adversarial"])
    judge = grads(method, logged["discriminator"])
    for name in whole:
        mine, other = (judge, painter) if name.startswith("discriminator") else (painter, judge)
        assert not other[name].any(), name
        torch.testing.assert_close(whole[name], mine[name], atol=1e-6, rtol=1e-4)
    assert any(v.any() for n, v in grads(method, logged["adversarial"]).items() if n.startswith("encoder"))


def test_discriminator_sees_the_region_only(monkeypatch):
    method = make(adversarial=0.5).eval()
    seen = []
    method.discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.rand(4, 3, 32, 32)
    method.loss(x)
    _, M = method.regions(x)
    outside = seen[0].masked_select(~torch.cat([M, M]))
    assert torch.equal(outside, torch.full_like(outside, 0.0))  # the mean colour, 0.5, in [-1, 1]
    torch.testing.assert_close(seen[0][:4].masked_select(M), (2 * x - 1).masked_select(M))


def test_mean_colour_fills_and_the_discriminator_is_slower(tiny_data):
    method = make(16)
    method.prepare(tiny_data)
    torch.testing.assert_close(method.fill.flatten(), tiny_data.train.floats().mean((0, 2, 3)))
    scales = {g["lr_scale"] for g in method.parameter_groups()}
    slow = {id(p) for g in method.parameter_groups() if g["lr_scale"] == 0.1 for p in g["params"]}
    assert scales == {0.1, 1.0} and slow == {id(p) for p in method.discriminator.parameters()}
