"""MoCo: the loss against lightly's, the order of its steps, its queue over epochs, resumes and processes."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from lightly.loss import NTXentLoss
from torch import nn
from torch.nn import functional as F

from sslcourse import nets
from sslcourse.errors import UserError
from sslcourse.evaluate import finetune
from sslcourse.methods import MoCo
from sslcourse.methods.parts.grouped import GroupedBatchNorm
from sslcourse.studies.drift import drift, predicted_age
from sslcourse.training.pretraining import pretrain
from sslcourse.training.recipes import Recipe

SMALL = Recipe(encoder_arguments={"width": 4}, epochs=3, batch=32, optimizer="adamw", lr=2e-3, warmup=0)


def make(size=16, **arguments):
    torch.manual_seed(0)
    return MoCo(nets.encoder("small", size, width=4), **{"length": 24, "dim": 8, **arguments})


def mirrored():
    """A view that alternates between an image and its mirror image."""
    turn = itertools.cycle([lambda x: x, lambda x: x.flip(3)])
    return lambda images: next(turn)(images)


def test_loss_and_gradient_are_lightlys():
    method = make(length=50, temperature=0.3)
    method.view = mirrored()
    images = torch.rand(6, 3, 16, 16)
    ours = method.loss(images, torch.arange(6))["loss"]
    theirs = NTXentLoss(temperature=0.3, memory_bank_size=(50, 8))
    theirs.memory_bank.bank = method.queue.keys.clone()
    theirs = theirs(method.queries(images), method.keys(images.flip(3)))
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
    learned = [p for p in method.parameters() if p.requires_grad]
    pairs = zip(*(torch.autograd.grad(loss, learned) for loss in (ours, theirs)), strict=True)
    for a, b in pairs:
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_unrelated_keys_cost_log_of_the_queue_and_one():
    method = make(length=4096, dim=128, temperature=1.0)
    method.keys = lambda x: torch.randn(len(x), 128)
    logged = method.loss(torch.rand(64, 3, 16, 16))
    assert logged["loss"].item() == pytest.approx(math.log(4097), abs=0.05)


def test_order_of_operations():
    """Logits from the old queue; then the optimiser; then the keys enter and psi <- m psi + (1 - m) theta."""
    method = make(momentum=0.9)
    method.view = mirrored()
    images, index = torch.rand(10, 3, 16, 16), torch.arange(30, 40)
    old, step = method.queue.keys.clone(), method.step.clone()
    keys = F.normalize(method.keys(images.flip(3)), dim=1)  # by the networks of this step, before they move
    method.loss(images, index)["loss"].backward()
    assert torch.equal(method.queue.keys, old) and method.step == step == 0
    with torch.no_grad():
        for p in method.parameters():
            if p.requires_grad:
                p.sub_(0.1 * p.grad)
    psi = [p.clone() for n in (method.key_encoder, method.key_projector) for p in n.parameters()]
    method.after_step()
    torch.testing.assert_close(method.queue.keys[:10], keys)
    assert torch.equal(method.queue.keys[10:], old[10:])
    assert method.made.tolist() == [0] * 10 + [-1] * 14 and method.image[:10].tolist() == index.tolist()
    assert method.step == 1 and not method.fresh
    theta = [p for n in (method.encoder, method.projector) for p in n.parameters()]
    now = [p for n in (method.key_encoder, method.key_projector) for p in n.parameters()]
    for new, slow, online in zip(now, psi, theta, strict=True):
        torch.testing.assert_close(new, 0.9 * slow + 0.1 * online.detach())
        assert not new.requires_grad
    assert any(not torch.equal(a, b) for a, b in zip(now, psi, strict=True))


def test_without_momentum_the_keys_are_todays_queries():
    method = make(momentum=0.0)
    with torch.no_grad():
        for p in itertools.chain(method.encoder.parameters(), method.projector.parameters()):
            p.add_(torch.randn_like(p) * 0.1)
    method.after_step()
    x = torch.rand(8, 3, 16, 16)
    torch.testing.assert_close(method.keys(x), method.queries(x).detach())


def test_outside_training_nothing_enters_the_queue():
    method = make().eval()
    method.loss(torch.rand(8, 3, 16, 16), torch.arange(8))
    assert not method.fresh


def test_both_directions_add_up_and_both_keys_enter():
    images, index = torch.rand(8, 3, 16, 16), torch.arange(8)
    losses = []
    for views in (1, -1):
        method = make()
        x = iter([images, images.flip(3)][::views])
        method.view = lambda _, x=x: next(x)
        losses.append(method.loss(images, index))
    method = make(symmetric=True)
    method.view = mirrored()
    both = method.loss(images, index)
    for name, times in (("loss", 1), ("accuracy", 2)):
        assert times * both[name].item() == pytest.approx(sum(one[name].item() for one in losses), abs=1e-5)
    method.after_step()
    assert (method.made == 0).sum() == 16 and method.image[:16].tolist() == [*range(8), *range(8)]


def test_of_a_batch_longer_than_the_queue_the_last_stay():
    method = make(length=8)
    method.loss(torch.rand(12, 3, 16, 16), torch.arange(12))
    keys = F.normalize(method.fresh[0][0], dim=1)
    method.after_step()
    torch.testing.assert_close(method.queue.keys, keys[-8:])
    assert method.image.tolist() == list(range(4, 12))


def test_micro_batches_all_enter_the_queue():
    method = make()
    for part in torch.arange(12).split(4):
        method.loss(torch.rand(4, 3, 16, 16), part)
    method.after_step()
    assert method.image[:12].tolist() == list(range(12))


def test_shuffled_keys_meet_others_in_their_group_and_come_back_in_order():
    method = make(rows=4)
    seen, inner = [], method.key_encoder.forward
    method.key_encoder.forward = lambda x: seen.append(x) or inner(x)
    x = torch.rand(32, 3, 16, 16)
    with_shuffle, plain = method.keys(x), make(rows=4, shuffle=False).keys(x)
    assert not torch.equal(seen[0], x) and torch.equal(
        seen[0].sum((1, 2, 3)).sort()[0], x.sum((1, 2, 3)).sort()[0]
    )
    assert (with_shuffle - plain).abs().max() > 1e-3  # other groups, other statistics
    method.eval()  # running statistics: groups make no difference
    method.key_encoder.load_state_dict(make(rows=4).key_encoder.state_dict())
    torch.testing.assert_close(method.keys(x), make(rows=4).eval().keys(x))
    torch.testing.assert_close(method.keys(x), method.key_projector(inner(x)))


def test_a_batch_without_such_groups_is_one_clear_line():
    with pytest.raises(UserError, match="batch of 6 has no such groups"):
        make(rows=4).loss(torch.rand(6, 3, 16, 16), torch.arange(6))


def test_age_is_what_the_schedule_predicts(tiny_data):
    recipe = replace(SMALL, epochs=5, batch=16, arguments={"length": 48, "dim": 8})
    run = pretrain("moco", tiny_data, recipe=recipe, device="cpu")
    assert [line["age"] for line in run.history[1:]] == pytest.approx([(48 / 16 + 1) / 2] * 4)
    assert run.history[0]["age"] == pytest.approx(sum(predicted_age(48, 16, t) for t in range(6)) / 6)
    assert predicted_age(100, 8, 3) == pytest.approx((1 + 2 + 3) / 3)
    assert predicted_age(1024, 64, 9999) == pytest.approx((1024 / 64 + 1) / 2)
    assert sorted(run.method.image.tolist()) == sorted(
        set(run.method.image.tolist())
    )  # half an epoch's images


def test_drift_grows_with_age_where_the_key_encoder_moves(tiny_data):
    """A random walk of the weights: with m = 1 the key encoder stays, with m = 0 it goes along."""
    found = {}
    for momentum in (1.0, 0.0):
        method = make(length=96, momentum=momentum, head="linear")
        method.view = lambda x: x
        for images, index, _ in tiny_data.train.batches(24):
            method.loss(images, index)
            with torch.no_grad():
                method.projector.weight.add_(0.1 * torch.randn_like(method.projector.weight))
            method.after_step()
        before = {name: value.clone() for name, value in method.state_dict().items()}
        rows = found[momentum] = drift(method, tiny_data.train, groups=4, batch=24)
        assert [row["age"] for row in rows] == [0, 1, 2, 3, 4]
        for name, value in method.state_dict().items():
            assert torch.equal(value, before[name]), name  # it looks, and leaves everything as it was
    still, moving = ([row["cosine"] for row in found[m]] for m in (1.0, 0.0))
    assert still[0] - 0.15 < min(still[1:]) and max(still[1:]) - min(still[1:]) < 0.05
    assert moving[1] > moving[2] > moving[3] > moving[4] and moving[4] < moving[0] - 0.2
    assert all(row["other"] < row["cosine"] for row in found[1.0])


def test_it_learns(tiny_data):
    """Random keys are easy to tell from real ones, so the loss rises until the queue is full, and then falls."""
    arguments = {"length": 48, "dim": 16, "momentum": 0.9, "min_scale": 0.9, "head": "linear"}
    recipe = replace(SMALL, encoder_arguments={"width": 8}, epochs=30, batch=16, arguments=arguments)
    losses = [line["loss"] for line in pretrain("moco", tiny_data, recipe=recipe, device="cpu").history]
    assert losses[0] < losses[1] and losses[-1] < 0.9 * losses[1]


def test_resumed_equals_uninterrupted_bit_for_bit(tiny_data, tmp_path):
    recipe = replace(SMALL, arguments={"length": 40, "dim": 8, "rows": 8})
    whole = pretrain("moco", tiny_data, recipe=recipe, device="cpu")

    def stop(run):
        if len(run.history) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain("moco", tiny_data, recipe=recipe, out=tmp_path, device="cpu", on_epoch=stop)
    again = pretrain("moco", tiny_data, recipe=recipe, out=tmp_path, device="cpu")
    assert again.history[-1]["step"] == 9
    for name, value in whole.method.state_dict().items():
        assert torch.equal(value, again.method.state_dict()[name]), name


def test_v1_and_v2_differ_in_head_and_views():
    v1, v2 = make(head="linear", views="v1"), make()
    assert isinstance(v1.projector, nn.Linear) and len(v2.projector) == 3
    names = [
        [type(view).__name__ for view in m.view.views]
        for m in (v1, v2, make(size=64), make(size=64, blur=False))
    ]
    assert [("GaussianBlur" in each) for each in names] == [False, False, True, False]
    assert v1.view.views[2].p == 1 and v2.view.views[1].p == 0.8
    for wrong in ({"head": "conv"}, {"views": "v3"}):
        with pytest.raises(UserError, match="choose"):
            make(**wrong)


def test_split_batch_norm_is_refused_with_several_processes(tiny_data, monkeypatch):
    monkeypatch.setattr("sslcourse.methods.contrastive.moco.world_size", lambda: 2)
    with pytest.raises(UserError, match="rows=0"):
        make(rows=4).prepare(tiny_data)
    make().prepare(tiny_data)


def test_what_is_kept_is_a_plain_encoder_also_when_fine_tuned(tiny_data, monkeypatch):
    calls = []
    forward = GroupedBatchNorm.forward
    monkeypatch.setattr(GroupedBatchNorm, "forward", lambda *given: calls.append(1) or forward(*given))
    run = pretrain(
        "moco", tiny_data, recipe=replace(SMALL, arguments={"length": 40, "dim": 8, "rows": 8}), device="cpu"
    )
    assert calls and {type(m) for m in run.encoder.modules() if isinstance(m, nn.BatchNorm2d)} == {
        nn.BatchNorm2d
    }
    calls.clear()
    finetune(run.encoder, tiny_data, epochs=1, batch_size=16, device="cpu", beside_random=False)
    assert not calls
