import math

import pytest
import torch
from torch.nn import functional as F

from sslcourse import nets
from sslcourse.errors import UserError
from sslcourse.methods import PIRL
from sslcourse.methods.contrastive.pirl import noise_contrast


def make(**arguments):
    torch.manual_seed(0)
    given = {"images": 40, "negatives": 16, "dim": 8, **arguments}
    return PIRL(nets.encoder("small", 30, width=4, stem_stride=2), **given)


def h(s, others):
    return math.exp(s) / (math.exp(s) + sum(math.exp(o) for o in others))


def test_loss_is_the_papers_formula():
    generator = torch.Generator().manual_seed(0)
    v, own, rest = (torch.randn(n, 6, generator=generator, dtype=torch.float64) for n in (3, 3, 7))
    itself = torch.zeros(3, 7, dtype=torch.bool)
    itself[1, 2] = itself[1, 5] = itself[2, 0] = True
    total, found = 0.0, 0
    for i in range(3):
        s = [float(F.cosine_similarity(v[i], rest[k], dim=0)) / 0.3 for k in range(7) if not itself[i, k]]
        positive = float(F.cosine_similarity(v[i], own[i], dim=0)) / 0.3
        total -= math.log(h(positive, s)) + sum(math.log(1 - h(x, s)) for x in s)
        found += positive > max(s)
    loss, accuracy = noise_contrast(v, own, rest, itself, 0.3)
    assert loss.item() == pytest.approx(total / 3, abs=1e-12)
    assert accuracy.item() == pytest.approx(found / 3)


def test_without_any_difference_it_costs_chance():
    loss, _ = noise_contrast(
        torch.ones(2, 4), torch.ones(2, 4), torch.ones(50, 4), torch.zeros(2, 50).bool(), 0.07
    )
    assert loss.item() == pytest.approx(math.log(51) + 50 * math.log1p(1 / 50), abs=1e-5)
    method = make(temperature=5.0, negatives=200)
    logged = method.loss(torch.rand(16, 3, 30, 30), torch.arange(16))
    assert logged["loss"].item() == pytest.approx(math.log(201) + 1, abs=0.1)


def test_an_image_is_never_its_own_negative_and_its_gradient_stays_finite():
    v = torch.randn(2, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    rest = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    itself = torch.tensor([[True, False, False], [False, False, False]])
    noise_contrast(v, rest[:2], rest, itself, 0.1)[0].backward()
    assert torch.isfinite(v.grad).all()


def test_the_method_compares_f_and_g_with_its_memory_without_the_image_itself():
    method = make(images=4, temperature=0.2, lam=0.3)
    method.view = lambda images: images
    drawn, index, images = torch.tensor([3, 0, 3, 1]), torch.tensor([2, 0]), torch.rand(2, 3, 30, 30)
    method.bank.draw = lambda count: drawn
    g = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    method.transformed = lambda images: g
    total = method.loss(images, index)["loss"].item()
    wanted = 0.0
    for weight, v in ((0.3, g), (0.7, method.seen[0][1])):
        for i in range(2):
            s = {k: float(F.cosine_similarity(v[i], method.bank.rows[k], dim=0)) / 0.2 for k in range(4)}
            rest = [s[k] for k in drawn.tolist() if k != index[i]]
            wanted -= (
                weight
                / 2
                * (math.log(h(s[index[i].item()], rest)) + sum(math.log(1 - h(x, rest)) for x in rest))
            )
    assert total == pytest.approx(wanted, rel=1e-5)
    again = make(images=4).train()
    again.load_state_dict(method.state_dict())
    torch.testing.assert_close(again.f(again.encoder(images)), method.seen[0][1])


def test_every_image_has_its_tiles_in_its_own_order():
    method = make()
    method.crop = method.colours = lambda images: images
    image = torch.zeros(3, 30, 30)
    for j in range(9):
        image[:, j // 3 * 10 : j // 3 * 10 + 10, j % 3 * 10 : j % 3 * 10 + 10] = j / 10
    t = method.shuffled(image.expand(64, 3, 30, 30))
    assert t.shape == (64, 9, 3, 8, 8) and torch.equal(t, t[..., :1, :1].expand_as(t))
    orders = (t[:, :, 0, 0, 0] * 10).round().long()
    assert torch.equal(orders.sort(1).values, torch.arange(9).expand(64, 9))
    assert len(orders.unique(dim=0)) > 60
    assert (orders == torch.arange(9)).float().mean() < 0.25


def test_g_reads_the_tiles_slot_by_slot():
    method = make().eval()
    t = torch.rand(2, 9, 3, 8, 8)
    method.shuffled = lambda images: t
    with torch.no_grad():
        told = method.transformed(t)
        each = torch.stack([method.g_tile(method.encoder(t[:, j])) for j in range(9)], 1)
        torch.testing.assert_close(told, each.flatten(1) @ method.g.weight.T + method.g.bias)


def test_both_terms_are_weighted_and_compared_with_the_same_memory():
    losses = []
    for lam in (0.0, 0.5, 1.0):
        method = make(lam=lam).eval()
        torch.manual_seed(1)
        losses.append(method.loss(torch.rand(4, 3, 30, 30), torch.arange(4))["loss"].item())
    assert losses[1] == pytest.approx((losses[0] + losses[2]) / 2, rel=1e-5) and losses[0] != losses[2]


def test_memory_moves_after_the_step_towards_f_and_only_where_it_was_seen():
    method = make(momentum=0.25)
    before = method.bank.rows.clone()
    index = torch.tensor([7, 3, 30])
    method.loss(torch.rand(3, 3, 30, 30), index)
    assert torch.equal(method.bank.rows, before)
    f = F.normalize(method.seen[0][1], dim=1)
    method.after_step()
    wanted = before.clone()
    wanted[index] = F.normalize(0.25 * before[index] + 0.75 * f, dim=1)
    torch.testing.assert_close(method.bank.rows, wanted)
    method.eval().loss(torch.rand(3, 3, 30, 30), index)
    method.after_step()
    torch.testing.assert_close(method.bank.rows, wanted)


def test_rotation_turns_each_image_and_has_no_tiles():
    method = make(transform="rotation")
    method.view = lambda images: images
    image = torch.rand(3, 30, 30)
    turned = method.turned(image.expand(40, 3, 30, 30))
    seen = {next(k for k in range(4) if torch.equal(x, image.rot90(k, (1, 2)))) for x in turned}
    assert seen == {0, 1, 2, 3}
    assert torch.isfinite(method.loss(torch.rand(4, 3, 30, 30), torch.arange(4))["loss"])
    with pytest.raises(UserError, match="no transform 'flip'"):
        make(transform="flip")
