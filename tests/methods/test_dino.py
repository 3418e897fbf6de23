import itertools
import math

import pytest
import torch
from lightly.loss import DINOLoss
from torch.nn import functional as F

from sslcourse import nets
from sslcourse.errors import UserError
from sslcourse.methods import DINO
from sslcourse.methods.distillation.dino import self_distillation
from sslcourse.training.optimiser import make_optimizer
from sslcourse.training.pretraining import pretrain
from sslcourse.training.recipes import Recipe
from tests.resumed import assert_resumes

VIT = {"dim": 24, "depth": 2, "heads": 2, "drop_path": 0.5}
SMALL = {"outputs": 12, "hidden": 16, "bottleneck": 8, "n_local": 2}


def make(encoder=None, **arguments) -> DINO:
    torch.manual_seed(0)
    return DINO(encoder or nets.encoder("small", 16, width=4), **{**SMALL, **arguments})


def outputs(crops: int = 5, dtype=torch.float64):
    return (
        torch.randn(crops, 6, 7, dtype=dtype),
        torch.randn(2, 6, 7, dtype=dtype),
        torch.randn(7, dtype=dtype),
    )


# ---------------------------------------------------------------------- the loss


def test_the_loss_is_the_formula_and_so_is_its_gradient():
    g_s, g_t, c = outputs()
    g_s.requires_grad_()
    logged = self_distillation(g_s, g_t, c, 0.1, 0.04)
    loss = logged["loss"]
    naive, h, pairs, mean = 0.0, 0.0, 0, [0.0] * 7
    for u, v, b in itertools.product(range(2), range(5), range(6)):
        t = [math.exp(float(x - m) / 0.04) for x, m in zip(g_t[u, b], c, strict=True)]
        s = [torch.exp(x / 0.1) for x in g_s[v, b]]
        if v == u:
            h -= sum(x / sum(t) * math.log(x / sum(t)) for x in t if x / sum(t) > 1e-300)
            mean = [m + x / sum(t) / 12 for m, x in zip(mean, t, strict=True)]
            continue
        naive = naive - sum(x / sum(t) * torch.log(y / sum(s)) for x, y in zip(t, s, strict=True))
        pairs += 1
    assert pairs == 2 * 4 * 6
    torch.testing.assert_close(loss, naive / pairs, atol=1e-9, rtol=0)
    assert logged["entropy"].item() == pytest.approx(h / 12, abs=1e-9)
    assert logged["kl"].item() == pytest.approx(naive.item() / pairs - h / 12, abs=1e-9)
    assert logged["mean_entropy"].item() == pytest.approx(-sum(m * math.log(m) for m in mean), abs=1e-9)
    ours, theirs = (torch.autograd.grad(x, g_s)[0] for x in (loss, naive / pairs))
    torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=0)


@pytest.mark.parametrize("crops", [2, 6])
def test_loss_gradient_and_centre_are_lightlys(crops):
    g_s, g_t, _ = outputs(crops, torch.float32)
    g_s.requires_grad_()
    method = make(outputs=7)
    theirs = DINOLoss(7, teacher_temp=0.05, student_temp=0.1, center_momentum=0.9)
    for _ in range(2):  # the second time with a centre
        loss = self_distillation(g_s, g_t, method.centre.value, 0.1, 0.05)["loss"]
        method.centre.update(g_t)
        other = theirs(list(g_t), list(g_s), teacher_temp=0.05)
        torch.testing.assert_close(loss, other, atol=1e-5, rtol=1e-5)
        gradients = [torch.autograd.grad(x, g_s)[0] for x in (loss, other)]
        torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(method.centre.value, theirs.center[0, 0])


def test_uniform_outputs_cost_chance_and_one_favourite_costs_nothing():
    flat, zero, chance = torch.ones(4, 3, 7), torch.zeros(7), math.log(7)

    def measured(g_s, g_t, c=zero):
        return [x.item() for x in self_distillation(g_s, g_t, c, 0.1, 0.04).values()]

    assert measured(flat, flat[:2]) == pytest.approx([chance, chance, 0, chance], abs=1e-6)
    one = 100 * F.one_hot(torch.full((4, 3), 5), 7).float()
    assert measured(one, one[:2]) == pytest.approx([0, 0, 0, 0], abs=1e-6)
    centred = measured(flat, one[:2], one[0, 0])  # the centre takes the favourite away
    assert centred == pytest.approx([chance, chance, 0, chance], abs=1e-6)
    each = 100 * F.one_hot(torch.arange(3).expand(4, 3), 7).float()  # of three images, each has its own
    assert measured(each, each[:2]) == pytest.approx([0, 0, 0, math.log(3)], abs=1e-6)


def test_no_gradient_reaches_the_teacher():
    g_s, g_t, c = outputs()
    self_distillation(g_s.requires_grad_(), g_t.requires_grad_(), c, 0.1, 0.04)["loss"].backward()
    assert g_t.grad is None and g_s.grad.abs().sum() > 0


# ---------------------------------------------------------------------- the step


def by_hand(method: DINO, crops: list, tau_t: float):
    g_t = torch.stack([method.teacher_head(method.teacher(x)) for x in crops[:2]])
    g_s = torch.stack([method.head(method.encoder(x)) for x in crops])
    return self_distillation(g_s, g_t, method.centre.value, method.temperature, tau_t), g_t


def fixed_crops(method: DINO) -> list:
    crops = [torch.rand(6, 3, s, s) for s in (16, 16, 8, 8)]
    method.crops = lambda _: crops
    return crops


def test_a_step_centres_by_what_came_before():
    method = make(nets.encoder("vit", 16, **{**VIT, "drop_path": 0.0}))
    crops, images = fixed_crops(method), torch.rand(6, 3, 16, 16)
    for step in range(2):
        c = method.centre.value.clone()
        assert c.any() == (step == 1)
        expected, g_t = by_hand(method, crops, 0.04)
        torch.testing.assert_close(method.loss(images), expected)
        torch.testing.assert_close(method.centre.value, 0.9 * c + 0.1 * g_t.mean((0, 1)))


def test_without_centring_the_centre_stays_and_without_sharpening_both_are_equally_warm():
    images = torch.rand(6, 3, 16, 16)
    for centring, sharpening in itertools.product((True, False), repeat=2):
        method = make(
            nets.encoder("vit", 16, **{**VIT, "drop_path": 0.0}), centring=centring, sharpening=sharpening
        )
        crops = fixed_crops(method)
        expected = by_hand(method, crops, 0.04 if sharpening else 0.1)[0]["loss"]
        torch.testing.assert_close(method.loss(images)["loss"], expected)
        assert method.centre.value.any() == centring


def test_the_teachers_temperature_rises_by_epochs_as_lightlys():
    method = make(teacher_temperature=0.02, final_teacher_temperature=0.07, teacher_warmup=4)
    schedule = DINOLoss(7, 0.02, 0.07, 4).teacher_temp_schedule.tolist()
    assert method.tau_t() == pytest.approx(0.02)
    for expected in [*schedule, 0.07, 0.07]:
        method.start_epoch(None)
        assert method.tau_t() == pytest.approx(expected)
    assert make(teacher_warmup=0, final_teacher_temperature=0.06).tau_t() == 0.06
    assert make(teacher_warmup=1).tau_t() == 0.04


def test_two_large_crops_and_small_ones_of_half_the_size():
    method = make(nets.encoder("small", 32, width=4), min_scale=0.3, n_local=3)
    assert [x.shape[-1] for x in method.crops(torch.rand(2, 3, 32, 32))] == [32, 32, 16, 16, 16]
    assert [view.views[0].scale for view in method.crops.views] == [(0.3, 1.0)] * 2 + [(0.05, 0.4)] * 3
    only = make(n_local=0)
    assert len(only.crops(torch.rand(2, 3, 16, 16))) == 2 and torch.isfinite(
        only.loss(torch.rand(4, 3, 16, 16))["loss"]
    )
    assert make(local_size=12).crops(torch.rand(2, 3, 16, 16))[2].shape[-1] == 12


def test_the_teacher_is_kept_follows_slowly_and_has_no_part_in_learning():
    method = make(nets.encoder("vit", 16, **VIT), momentum=0.6, norm_last_layer=False)
    assert method.kept is method.teacher
    assert [b.drop.drop_prob for b in method.encoder.blocks] == [0, 0.5]
    assert [b.drop.drop_prob for b in method.teacher.blocks] == [0, 0]
    learned = {id(p) for group in method.parameter_groups() for p in group["params"]}
    slow = [*method.teacher.parameters(), *method.teacher_head.parameters()]
    fast = [*method.encoder.parameters(), *method.head.parameters()]
    assert not learned & {id(p) for p in slow} and learned == {id(p) for p in fast}
    for p, q in zip(slow, fast, strict=True):
        assert torch.equal(p, q)
        p.data.zero_()
    for progress, m in ((0.0, 0.6), (0.5, 0.8), (1.0, 1.0)):
        for p in slow:
            p.data.zero_()
        method.progress = progress
        with torch.no_grad():
            method.after_step()
        for p, q in zip(slow, fast, strict=True):
            torch.testing.assert_close(p, (1 - m) * q)


@pytest.mark.parametrize("gain", [True, False])
def test_the_last_layer_has_unit_rows_and_waits_for_an_epoch(gain):
    method = make(norm_last_layer=gain)
    last = method.head.last
    torch.testing.assert_close(last.weight.norm(dim=1), torch.ones(12))
    assert last.bias is None and len([p for p in last.parameters() if p.requires_grad]) == (1 if gain else 2)
    for epoch in (1, 2):
        method.start_epoch(None)
        method.loss(torch.rand(6, 3, 16, 16))["loss"].backward()
        method.before_step()
        assert all((p.grad is None) == (epoch == 1 or not p.requires_grad) for p in last.parameters())
        assert method.head.mlp[0].weight.grad is not None
        method.zero_grad()


def test_each_gradient_is_clipped():
    method = make(clip=0.01)
    method.start_epoch(None)
    (1e3 * method.loss(torch.rand(6, 3, 16, 16))["loss"]).backward()
    method.before_step()
    lengths = [p.grad.norm().item() for p in method.parameters() if p.grad is not None]
    assert max(lengths) == pytest.approx(0.01, rel=1e-3) and len(lengths) > 10


def test_weights_decay_more_and_more_and_biases_never():
    groups = make_optimizer(make(), Recipe(optimizer="adamw", weight_decay=0.04)).param_groups
    assert [group["decay"] for group in groups] == [(0.04, 0.4), (0.0, 0.0)]
    groups = make_optimizer(make(final_weight_decay=None), Recipe(weight_decay=0.04)).param_groups
    assert [group["decay"] for group in groups] == [(0.04, 0.04), (0.0, 0.0)]


# ---------------------------------------------------------------------- encoders, a whole run


def test_a_transformer_of_timm_takes_both_sizes_if_it_is_dynamic():
    more = {
        "embed_dim": 24,
        "depth": 1,
        "num_heads": 2,
        "patch_size": 4,
        "drop_path_rate": 0.5,
        "proj_drop_rate": 0.1,
    }
    images = torch.rand(4, 3, 16, 16)
    method = make(nets.encoder("timm:vit_tiny_patch16_224", 16, dynamic_img_size=True, **more))
    method.loss(images)["loss"].backward()
    assert method.encoder.net.pos_embed.grad.abs().sum() > 0
    assert torch.equal(method.teacher(images), method.teacher(images))  # in training, too
    with pytest.raises(UserError, match="dynamic_img_size=True"):
        make(nets.encoder("timm:vit_tiny_patch16_224", 16, **more)).loss(images)


RECIPE = Recipe(
    encoder_arguments={"width": 4}, epochs=3, batch=32, optimizer="adamw", lr=1e-2, warmup=0,
    arguments={**SMALL, "momentum": 0.9, "freeze_last_layer": 2, "teacher_warmup": 3},
)  # fmt: skip


def test_the_last_layer_stays_until_its_time_in_a_run(tiny_data):
    start = []
    told = [
        pretrain("dino", tiny_data, recipe=RECIPE, device="cpu", on_epoch=lambda run: start.append(
            run.method.head.last.weight.detach().clone()
        ) or {})
    ]  # fmt: skip
    assert torch.equal(start[0], start[1]) and not torch.equal(start[1], start[2])
    assert set(told[0].history[0]) >= {"loss", "entropy", "kl", "mean_entropy"}


def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(tiny_data, tmp_path):
    whole = assert_resumes("dino", tiny_data, RECIPE, tmp_path)
    assert whole.method.centre.value.any() and int(whole.method.epochs) == 3
