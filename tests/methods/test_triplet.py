import pytest
import torch
from torch.nn import functional as F

from sslcourse import nets
from sslcourse.errors import UserError
from sslcourse.methods import Triplet
from sslcourse.methods.contrastive.triplet import KINDS, NEGATIVES, margin_loss


def D(a, b):
    return 1 - F.cosine_similarity(a, b, dim=-1)


def views(count: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Two views (count, 4), the second near the first; both are leaves."""
    z1, noise = torch.randn(2, count, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return z1.requires_grad_(), (z1.detach() + 0.8 * noise).requires_grad_()


def others(z, i):
    return [z[j] for j in range(len(z)) if j != i]


def chosen(z1, z2, i, negatives):
    """The negatives of anchor i, by the book."""
    far = sorted(others(z2, i), key=lambda n: D(z1[i], n).item())
    if negatives == "all":
        return far
    if negatives == "hard":
        return far[:1]
    beyond = [n for n in far if D(z1[i], n) > D(z1[i], z2[i])]
    return beyond[:1] or far[-1:]


def naive(z1, z2, m, kind, negatives):
    total = 0.0
    for i in range(len(z1)):
        picked = chosen(z1, z2, i, negatives)
        for n in picked:
            p = D(z1[i], z2[i])
            if kind == "pair":
                total += (p**2 + max(0 * p, m - D(z1[i], n)) ** 2) / len(picked)
            else:
                triplet = F.triplet_margin_with_distance_loss(
                    z1[i, None], z2[i, None], n[None], distance_function=D, margin=m
                )
                total += triplet / len(picked)
    total = total / len(z1)
    return total + naive(z2, z1, m, "triplet", negatives) if kind == "ranking" else total


@pytest.mark.parametrize("negatives", ["hard", "semihard", "all"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("m", [0.1, 0.5])
def test_loss_is_the_formula_one_triplet_at_a_time(kind, negatives, m):
    z1, z2 = views()
    ours, theirs = margin_loss(z1, z2, m, kind, negatives)[0], naive(z1, z2, m, kind, negatives)
    assert theirs > 0
    torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=0)
    for z in (z1, z2):
        torch.testing.assert_close(
            *(torch.autograd.grad(loss, z, retain_graph=True)[0] for loss in (ours, theirs))
        )


def test_semihard_without_any_takes_the_farthest():
    z1 = views(4)[0].detach()
    z2 = -z1  # the partner is the farthest there can be
    ours = margin_loss(z1, z2, 0.5, "triplet", "semihard")[0]
    theirs = sum(max(0.0, 0.5 + 2 - max(float(D(z1[i], n)) for n in others(z2, i))) for i in range(4)) / 4
    assert ours.item() == pytest.approx(theirs, abs=1e-10)


def test_random_negatives_are_other_images_and_each_comes_up():
    z1, z2 = (z.detach() for z in views(4))
    torch.manual_seed(0)
    everything = margin_loss(z1, z2, 3.0, "triplet", "all")[0]  # so large a margin is never met
    draws = torch.stack([margin_loss(z1, z2, 3.0, "triplet", "random")[0] for _ in range(1000)])
    torch.testing.assert_close(draws.mean(), everything, atol=0.05, rtol=0)
    assert len(draws.unique()) == 3**4


@pytest.mark.parametrize("negatives", NEGATIVES)
def test_what_collapse_costs(negatives):
    z = torch.ones(6, 4)
    assert margin_loss(z, z, 0.5, "triplet", negatives)[0].item() == pytest.approx(0.5, abs=1e-6)
    assert margin_loss(z, z, 0.1, "ranking", negatives)[0].item() == pytest.approx(0.2, abs=1e-6)
    assert margin_loss(z, z, 0.5, "pair", negatives)[0].item() == pytest.approx(0.25, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_perfect_partners_cost_nothing_and_are_found(kind):
    loss, accuracy = margin_loss(torch.eye(8), torch.eye(8) * 3, 0.5, kind, "all")
    assert loss.item() == pytest.approx(0, abs=1e-6) and accuracy == 1


def test_accuracy_counts_partners_that_are_nearest():
    z1 = torch.eye(4)
    z2 = z1[[1, 0, 2, 3]]
    assert margin_loss(z1, z2, 0.5)[1] == 0.5


def test_at_the_start_a_triplet_costs_about_its_margin():
    torch.manual_seed(0)
    method = Triplet(nets.encoder("small", 16, width=8))
    loss = method.loss(torch.rand(32, 3, 16, 16))["loss"]
    assert loss.item() == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("wrong", [{"kind": "triple"}, {"negatives": "easy"}])
def test_unknown_choices_are_named(wrong):
    with pytest.raises(UserError, match="of triplet is unknown: choose"):
        Triplet(nets.encoder("small", 16, width=4), **wrong)
