import math

import pytest
import torch

from sslcourse import nets
from sslcourse.errors import UserError
from sslcourse.methods import AMDIM, METHODS
from sslcourse.methods.contrastive.amdim import Embedding, nce


def make(**arguments):
    return AMDIM(nets.encoder("small", 16, width=4), **{"d": 8, **arguments})


def naive(source, target, c):
    """One source, one place at a time: source (B, d), target (B, P, d)."""
    B, P, d = target.shape
    total, square, right = 0.0, 0.0, 0

    def score(i, j, p):
        return float(source[i] @ target[j, p]) / math.sqrt(d)

    def clipped(i, j, p):
        return c * math.tanh(score(i, j, p) / c)

    for i in range(B):
        wrong = [clipped(i, j, p) for j in range(B) if j != i for p in range(P)]
        for p in range(P):
            s = clipped(i, i, p)
            total -= s - math.log(math.exp(s) + sum(math.exp(w) for w in wrong))
            right += s > max(wrong)
        square += sum(score(i, j, p) ** 2 for j in range(B) for p in range(P))
    return total / (B * P), square / (B * B * P), right / (B * P)


@pytest.mark.parametrize("c", [2.0, 20.0])
def test_nce_is_the_formula_in_both_directions(c):
    source, target = 3 * torch.randn(2, 3, 4, 5).double(), torch.randn(2, 4, 6, 5).double()
    found = nce(source, target, c)
    for s in range(3):
        both = [naive(source[v, s], target[v], c) for v in (0, 1)]
        for got, expected in zip(found, zip(*both, strict=True), strict=True):
            assert got[s].item() == pytest.approx(sum(expected) / 2, abs=1e-6)


def test_at_chance_the_loss_is_the_sum_over_tasks_of_the_log_of_their_candidates():
    method = make(c=1e-6, lam=0.0, layers=["stage1", "stage2"])  # clipped to nothing: all scores are equal
    loss = method(torch.rand(5, 3, 16, 16))["loss"]
    tasks = [1 + 4 * 16, 1 + 4 * 4, 1 + 4 * 4]  # 1 -> 4x4 and 1 -> 2x2, 2x2 -> 2x2
    assert loss.item() == pytest.approx(sum(math.log(n) for n in tasks), abs=1e-4)


def test_large_scores_are_bounded_and_still_punished():
    source, target = torch.full((2, 1, 4, 4), 1e3), torch.full((2, 4, 3, 4), 1e3)
    nll, square, _ = nce(source, target, 20.0)
    assert nll.item() == pytest.approx(math.log(1 + 3 * 3), abs=1e-4)
    assert square.item() == pytest.approx((4e6 / 2) ** 2, rel=1e-5)


def test_each_view_is_recognised_in_the_other_never_in_itself():
    torch.manual_seed(0)
    method = make(layers=["stage2", "stage3"], lam=0.1).double().eval()
    views = torch.rand(2, 4, 3, 16, 16).double()
    queue = list(views)
    method.flip = lambda images: images
    method.view = lambda images: queue.pop(0)
    logged = method(views[0])
    f_1, (coarse, last) = method.embedded(views.flatten(0, 1))
    assert coarse.shape == (2, 4, 4, 8) and last.shape == (
        2,
        4,
        1,
        8,
    )  # the last has one place: nothing is drawn
    expected = 0.0
    for v in (0, 1):
        for source, target in (
            (f_1[v], coarse[1 - v]), (f_1[v], last[1 - v]), (last[v, :, 0], last[1 - v])
        ):  # fmt: skip
            nll, square, _ = naive(source.detach(), target.detach(), 20.0)
            expected += (nll + 0.1 * square) / 2
    assert logged["loss"].item() == pytest.approx(expected, abs=1e-6)


def test_a_place_of_the_last_layer_is_drawn_for_each_image():
    method = make(layers=["stage1"]).eval()
    method.flip = method.view = lambda images: images
    images = torch.rand(4, 3, 16, 16)
    assert len({method(images)["loss"].item() for _ in range(5)}) == 5


def test_layers_are_the_last_two_or_those_that_were_named():
    assert list(make().f_n) == ["stage2", "stage3"]
    assert list(make(layers=["stem"]).f_n) == ["stem"]
    with pytest.raises(UserError, match="choose from stem, stage1"):
        make(layers=["stage9"])
    vit = AMDIM(nets.encoder("vit", 16, dim=24, depth=2), d=8)
    assert torch.isfinite(vit(torch.rand(4, 3, 16, 16))["loss"])


def test_f_1_is_the_encoders_feature_and_nothing_stands_between():
    """What is probed is what is scored: f_1 is `kept`'s feature, normed over the batch."""
    method = make(d=None).double()
    images = torch.rand(10, 3, 16, 16).double()
    f_1, f_n = method.embedded(images)
    h = method.kept(images)
    torch.testing.assert_close(f_1.flatten(0, 1), (h - h.mean(0)) / (h.var(0, correction=0) + 1e-5).sqrt())
    assert (
        all(f.shape[3] == method.kept.dim for f in f_n)
        and METHODS["amdim"](nets.encoder("small", 16)).d is None
    )


def test_an_embedded_f_1_can_be_had_and_is_what_runs_saved_before_have():
    method = make(d=8)
    assert isinstance(method.f_1, Embedding) and method.embedded(torch.rand(4, 3, 16, 16))[0].shape == (
        2,
        2,
        8,
    )
    names = [n for n in method.state_dict() if n.startswith("f_1.")]
    assert {"f_1.linear.weight", "f_1.hidden.3.weight", "f_1.norm.running_mean"} <= set(names)
