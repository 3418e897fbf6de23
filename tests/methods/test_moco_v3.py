import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sslcourse import nets
from sslcourse.methods import MoCoV3
from sslcourse.methods.contrastive.moco_v3 import ctr


def make(encoder=None, **arguments):
    torch.manual_seed(0)
    encoder = encoder or nets.encoder("small", 16, width=4)
    return MoCoV3(encoder, **{"hidden": 12, "dim": 8, **arguments})


def test_ctr_is_the_formula():
    q, k = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    total = 0.0
    for i in range(5):
        s = [float(F.cosine_similarity(q[i], k[j], dim=0)) / 0.3 for j in range(5)]
        total -= s[i] - math.log(sum(math.exp(x) for x in s))
    assert ctr(q, k, 0.3)[0].item() == pytest.approx(2 * 0.3 * total / 5, abs=1e-10)


def test_without_any_difference_it_costs_chance():
    loss, _ = ctr(torch.ones(6, 4), torch.ones(6, 4), 0.2)
    assert loss.item() == pytest.approx(0.4 * math.log(6), abs=1e-6)
    logged = make(temperature=5.0).loss(torch.rand(32, 3, 16, 16))  # so warm that all keys look alike
    assert logged["loss"].item() == pytest.approx(2 * 10 * math.log(32), rel=0.02)


def test_each_view_asks_for_the_key_of_the_other():
    method = make()
    x1, x2 = torch.rand(2, 6, 3, 16, 16)
    method.view, method.other_view = (lambda _: x1), (lambda _: x2)
    loss = method.loss(x1)["loss"]
    q1, q2 = (method.predictor(method.projector(method.encoder(x))) for x in (x1, x2))
    k1, k2 = (method.key_projector(method.key_encoder(x)) for x in (x1, x2))
    torch.testing.assert_close(loss, ctr(q1, k2, 0.2)[0] + ctr(q2, k1, 0.2)[0])
    same = ctr(q1, k1, 0.2)[0] + ctr(q2, k2, 0.2)[0]
    assert abs(loss - same) > 0.01


def test_momentum_rises_to_one():
    method = make(momentum=0.6)
    for progress, m in ((0.0, 0.6), (0.5, 0.8), (1.0, 1.0)):
        theta = method.projector[0].weight.detach()
        psi = torch.zeros_like(theta)
        method.key_projector[0].weight.copy_(psi)
        method.progress = progress
        method.after_step()
        torch.testing.assert_close(method.key_projector[0].weight, (1 - m) * theta)


def test_heads_end_in_a_norm_without_parameters():
    method = make()
    assert [
        len([m for m in head if isinstance(m, nn.Linear)]) for head in (method.projector, method.predictor)
    ] == [3, 2]
    for head in (method.projector, method.predictor):
        assert not head[-1].affine and not list(head[-1].parameters())
        assert all(layer.bias is None for layer in head if isinstance(layer, nn.Linear))


@pytest.mark.parametrize("name", ["vit", "timm:vit_tiny_patch16_224"])
def test_patches_of_a_transformer_stay_as_they_were_drawn(name):
    more = (
        {"dim": 24, "depth": 1, "heads": 2}
        if name == "vit"
        else {"embed_dim": 24, "depth": 1, "num_heads": 2, "patch_size": 4}
    )
    for frozen in (True, False):
        method = make(nets.encoder(name, 16, **more), frozen_patches=frozen)
        embed = method.encoder.embed if name == "vit" else method.encoder.net.patch_embed.proj
        fixed = [n for n, p in method.encoder.named_parameters() if not p.requires_grad]
        assert len(fixed) == (2 if frozen else 0) and embed.weight.requires_grad != frozen
        method.loss(torch.rand(4, 3, 16, 16))["loss"].backward()
        assert (embed.weight.grad is None) == frozen
        if frozen:
            bound = math.sqrt(6 / (3 * 16 + 24))
            assert 0.9 * bound < embed.weight.abs().max() <= bound and not embed.bias.any()
            torch.testing.assert_close(method.key_encoder.state_dict(), method.encoder.state_dict())
