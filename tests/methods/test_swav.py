import itertools
import math

import pytest
import torch
from lightly.loss import SwaVLoss
from torch.nn import functional as F

from sslcourse import nets
from sslcourse.methods import SwAV
from sslcourse.methods.parts.multicrop import across_crops
from sslcourse.methods.parts.sinkhorn import sinkhorn
from sslcourse.training.recipes import Recipe
from tests.resumed import assert_resumes

SMALL = {"prototypes": 12, "hidden": 16, "dim": 8, "n_local": 2}
X = torch.empty(6, 3, 16, 16)


def make(encoder=None, **arguments) -> SwAV:
    torch.manual_seed(0)
    return SwAV(encoder or nets.encoder("small", 16, width=4), **{**SMALL, **arguments})


def fixed_crops(method: SwAV) -> list:
    crops = [torch.rand(6, 3, s, s) for s in (16, 16, 8, 8)]
    method.crops = lambda _: crops
    return crops


def scores(method: SwAV, crops: list) -> torch.Tensor:
    """Cosines with the prototypes, crop by crop: (V, B, K). The encoder of `transformer` has no batch norm."""
    z = torch.stack([method.projector[2](method.projector[0](method.encoder(x))) for x in crops])
    return F.normalize(method.projector[3](z), dim=-1) @ method.c.weight.T


def transformer(**arguments) -> SwAV:
    """A SwAV in which no image sees another before Sinkhorn-Knopp."""
    method = make(nets.encoder("vit", 16, dim=24, depth=1, heads=2), **arguments)
    method.projector[1] = torch.nn.Identity()
    return method


# ---------------------------------------------------------------------- the loss


@pytest.mark.parametrize("small", [0, 3])
@pytest.mark.parametrize("queue", [0, 9])
def test_loss_and_gradient_are_lightlys_with_and_without_queue(small, queue):
    S = torch.rand(2 + small, 6, 7).requires_grad_()
    older = torch.rand(2, queue, 7) if queue else None
    rows = [torch.cat([S[i], older[i]]) if queue else S[i] for i in range(2)]
    Q = torch.stack([sinkhorn(r, 0.05, 3)[:6] for r in rows])
    loss = across_crops(Q, F.log_softmax(S / 0.1, -1))
    theirs = SwaVLoss()(list(S[:2]), list(S[2:]), None if older is None else list(older))
    torch.testing.assert_close(loss[None], theirs, atol=1e-5, rtol=1e-5)
    gradients = [torch.autograd.grad(x.sum(), S)[0] for x in (loss, theirs)]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-5)


def test_a_step_is_the_formula_and_so_is_its_gradient():
    method = transformer().double()
    method.c.normalise()  # to unit length in all digits
    crops = [x.double() for x in fixed_crops(method)]
    method.crops = lambda _: crops
    logged = method.loss(X)
    S = scores(method, crops)
    Q = [(S[i].detach() / 0.05).exp().T for i in range(2)]  # (K, B) each
    for q in Q:
        for _ in range(3):
            q /= q.sum(1, keepdim=True) * 12
            q /= q.sum(0, keepdim=True) * 6
        q *= 6
    naive, pairs = 0.0, 0
    for s, t, b in itertools.product(range(2), range(4), range(6)):
        if s == t:
            continue
        p = [torch.exp(x / 0.1) for x in S[t, b]]
        naive = naive - sum(Q[s][k, b] * torch.log(p[k] / sum(p)) for k in range(12))
        pairs += 1
    assert pairs == 36
    torch.testing.assert_close(logged["loss"], naive / pairs, atol=1e-9, rtol=0)
    h = -sum(float(x) * math.log(float(x)) for q in Q for x in q.flatten()) / 12
    assert logged["entropy"].item() == pytest.approx(h, abs=1e-9)
    learned = [p for p in method.parameters() if p.requires_grad]
    ours, theirs = (torch.autograd.grad(x, learned) for x in (logged["loss"], naive / pairs))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=0)


def test_prototypes_that_are_all_alike_cost_chance():
    method = make(prototypes=50)
    method.c.weight.data[:] = method.c.weight.data[0].clone()
    logged = method.loss(torch.rand(6, 3, 16, 16))
    assert [logged[n].item() for n in ("loss", "entropy")] == pytest.approx([math.log(50)] * 2, rel=1e-5)


def test_small_crops_predict_and_give_no_codes():
    method = transformer()
    crops, seen = fixed_crops(method), []
    codes = method.codes
    method.codes = lambda S, z: seen.append(codes(S, z)) or seen[-1]
    first = method.loss(X)["loss"]
    for crop in crops[2:]:
        crop.copy_(torch.rand_like(crop))
    assert not torch.isclose(method.loss(X)["loss"], first)
    assert torch.equal(seen[0], seen[1]) and seen[0].shape == (2, 6, 12)
    assert not seen[0].requires_grad
    assert [x.shape[-1] for x in make(n_local=3).crops(torch.rand(2, 3, 16, 16))] == [16, 16, 8, 8, 8]
    scales = [view.views[0].scale for view in make(min_scale=0.3, local_scale=(0.1, 0.3)).crops.views]
    assert scales == [(0.3, 1.0)] * 2 + [(0.1, 0.3)] * 2


# ---------------------------------------------------------------------- prototypes and queue


def test_prototypes_wait_for_an_epoch_and_keep_unit_length():
    method = make()
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=5.0)
    start = method.c.weight.detach().clone()
    for epoch in (1, 2):
        method.start_epoch(None)
        method.loss(torch.rand(6, 3, 16, 16))["loss"].backward()
        method.before_step()
        assert (method.c.weight.grad is None) == (epoch == 1)
        optimizer.step()
        optimizer.zero_grad()
        method.after_step()
        torch.testing.assert_close(method.c.weight.norm(dim=1), torch.ones(12))
        assert torch.allclose(method.c.weight, start, atol=1e-6) == (epoch == 1)


def test_the_queue_joins_after_its_epochs_and_only_when_it_is_full():
    method = transformer(length=10, queue_from=1)
    seen, codes = [], method.codes
    method.codes = lambda S, z: seen.append((S.detach(), z.detach(), codes(S, z))) or seen[-1][2]

    def step() -> bool:
        """Did the queue take part?"""
        fixed_crops(method)
        queues = [queue.keys.clone() for queue in method.queues]
        method.loss(X)
        S, z, Q = seen[-1]
        for i, queue in enumerate(method.queues):  # of each large crop its own
            latest = F.normalize(z[i], dim=1)
            assert all(any(torch.allclose(row, key) for key in queue.keys) for row in latest)
        alone = torch.stack([sinkhorn(S[i], 0.05, 3) for i in range(2)])
        together = [torch.cat([S[i], queues[i] @ method.c.weight.T]) for i in range(2)]
        together = torch.stack([sinkhorn(rows, 0.05, 3)[:6] for rows in together])
        assert torch.allclose(Q, alone) != torch.allclose(Q, together)
        return torch.allclose(Q, together)

    method.start_epoch(None)
    assert [step() for _ in range(3)] == [False, False, False]  # 18 are in it, but it is too early
    method.start_epoch(None)
    assert step()
    method.eval()
    before = {n: v.clone() for n, v in method.state_dict().items()}
    method.loss(X)
    assert all(torch.equal(v, before[n]) for n, v in method.state_dict().items())
    late = transformer(length=20, queue_from=0)
    late.start_epoch(None)
    method, seen, codes = late, [], late.codes
    method.codes = lambda S, z: seen.append((S.detach(), z.detach(), codes(S, z))) or seen[-1][2]
    assert [step() for _ in range(5)] == [False, False, False, False, True]


RECIPE = Recipe(
    encoder_arguments={"width": 4}, epochs=3, batch=32, optimizer="adamw", lr=1e-2, warmup=0,
    arguments={**SMALL, "length": 40, "queue_from": 1},
)  # fmt: skip


def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(tiny_data, tmp_path):
    whole = assert_resumes("swav", tiny_data, RECIPE, tmp_path)
    assert int(whole.method.queued) == 3 * 96
