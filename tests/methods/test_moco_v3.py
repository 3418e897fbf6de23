import json
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sslcourse import nets
from sslcourse.errors import UserError
from sslcourse.methods import MoCoV3
from sslcourse.methods.contrastive.moco_v3 import ctr
from sslcourse.training.pretraining import pretrain
from sslcourse.training.recipes import Recipe
from sslcourse.training.run import Run, refuse_differences


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
    method = make(temperature=0.2)
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
    method = make(predictor_norm=True, layers=3)
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


KINDS = [
    ("small", {"width": 4}, (1.0, 0.2, 2, False)),
    ("timm:resnet10t", {}, (1.0, 0.2, 2, False)),
    ("vit", {"dim": 24, "depth": 1, "heads": 2}, (0.2, 0.08, 3, True)),
]


@pytest.mark.parametrize(("name", "more", "expected"), KINDS)
def test_a_convolutional_encoder_gets_what_the_authors_give_theirs(name, more, expected):
    tau, min_scale, layers, norm = expected
    method = make(nets.encoder(name, 32, **more))
    assert method.tau == tau and {view.views[0].scale[0] for view in (method.view, method.other_view)} == {
        min_scale
    }
    linear = [m for m in method.projector if isinstance(m, nn.Linear)]
    assert len(linear) == layers and not method.projector[-1].affine
    last = method.predictor[-1]
    assert isinstance(last, nn.BatchNorm1d) if norm else isinstance(last, nn.Linear) and last.bias is None
    images = torch.rand(6, 3, 32, 32)
    method.view = method.other_view = lambda x: x
    q, k = (
        method.predictor(method.projector(method.encoder(images))),
        method.key_projector(method.key_encoder(images)),
    )
    torch.testing.assert_close(method.loss(images)["loss"], 2 * ctr(q, k, tau)[0])
    assert make(nets.encoder(name, 32, **more), temperature=0.3).tau == 0.3


def test_a_run_saved_before_predictors_differed_is_loaded_and_goes_on(tiny_data, tmp_path):
    recipe = Recipe(
        encoder_arguments={"width": 4}, epochs=1, batch=32, warmup=0, arguments={
            "hidden": 12, "dim": 8, "temperature": 0.2, "layers": 3, "min_scale": 0.08, "predictor_norm": True,
        },
    )  # fmt: skip
    run = pretrain("moco_v3", tiny_data, recipe=recipe, out=tmp_path, device="cpu")
    config = json.loads((tmp_path / "config.json").read_text())
    del config["arguments"]["predictor_norm"], config["recipe"]["arguments"]["predictor_norm"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    loaded = Run.load(tmp_path, device="cpu")
    for name, value in run.method.state_dict().items():
        assert torch.equal(value, loaded.method.state_dict()[name]), name
    asked = {**config, "arguments": {**config["arguments"], "predictor_norm": True}}
    refuse_differences(config, asked, tmp_path)  # the same
    with pytest.raises(UserError, match="arguments"):
        refuse_differences(
            config, {**asked, "arguments": {**asked["arguments"], "predictor_norm": None}}, tmp_path
        )
