"""The semi-supervised baselines: each loss by closed form or finite differences, and that each learns."""

import copy
import json
import math
from dataclasses import asdict, replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sslcourse.errors import UserError
from sslcourse.evaluate import BASELINES, semisupervised, subset
from sslcourse.evaluate.semisupervised import (
    S4L,
    UDA,
    VAT,
    FixMatch,
    PseudoLabel,
    Retraining,
    Supervised,
    protocol,
    s4l,
)  # fmt: skip
from sslcourse.evaluate.semisupervised.baseline import Baseline
from sslcourse.evaluate.semisupervised.fixmatch import fixed
from sslcourse.evaluate.semisupervised.loop import endless, train
from sslcourse.evaluate.semisupervised.uda import annealed, consistent
from sslcourse.evaluate.semisupervised.vat import adversary, entropy, kl, lds, quiet
from sslcourse.nets import encoder, random_like
from sslcourse.studies import semisupervised as study
from sslcourse.training import recipes
from sslcourse.views.randaugment import LAWS

LITTLE = {
    "pseudo_label": {"mu": 2},
    "vat": {"mu": 2},
    "uda": {"mu": 2},
    "fixmatch": {"mu": 2, "threshold": 0.7},
}


def small(classes: int = 4) -> nn.Sequential:
    return nn.Sequential(encoder("small", 16, width=8), nn.Linear(32, classes))


def batch() -> tuple[torch.Tensor, ...]:
    return torch.rand(6, 3, 16, 16), torch.tensor([0, 1, 2, 3, 0, 1]), torch.rand(12, 3, 16, 16)


class Probe(nn.Sequential):
    """A linear network on pixels, whose inputs are remembered."""

    def __init__(self, side: int = 4, classes: int = 3):
        super().__init__(nn.Flatten(), nn.Linear(3 * side * side, classes))
        self.seen = []

    def forward(self, images):
        self.seen.append(images.detach())
        return super().forward(images)


# ------------------------------------------------------------------ VAT


def test_vats_direction_is_the_finite_difference_of_its_kl():
    """In float64: g is the gradient of KL at xi d, by central differences in every coordinate."""
    net, u = Probe().double(), torch.rand(2, 3, 4, 4, dtype=torch.float64)
    p = net(u).softmax(1).detach()
    torch.manual_seed(3)
    r = adversary(net, u, p, eps=0.7, xi=0.3)
    torch.manual_seed(3)
    d = torch.randn_like(u)
    d = 0.3 * d / d.flatten(1).norm(dim=1)[:, None, None, None]
    g, h = torch.zeros_like(u), 1e-5
    for i in range(2):
        for j in range(48):
            step = torch.zeros_like(u)
            step[i].view(-1)[j] = h
            up, down = (kl(p[i : i + 1], net((u + d + s)[i : i + 1])) for s in (step, -step))
            g[i].view(-1)[j] = (up - down) / (2 * h)
    expected = 0.7 * g / g.flatten(1).norm(dim=1)[:, None, None, None]
    torch.testing.assert_close(r, expected.detach(), atol=1e-6, rtol=0)


def test_one_power_iteration_multiplies_by_the_fisher_matrix():
    """Of a linear network KL's Hessian in the image is W' (diag p - p p') W."""
    net, u = Probe().double(), torch.rand(2, 3, 4, 4, dtype=torch.float64)
    W, p = net[1].weight, net(u).softmax(1).detach()
    torch.manual_seed(0)
    r = adversary(net, u, p, eps=1.0, xi=1e-4).flatten(1)
    torch.manual_seed(0)
    d = F.normalize(torch.randn_like(u).flatten(1), dim=1)
    hessian = W.T @ (torch.diag_embed(p) - p[:, :, None] * p[:, None]) @ W  # (2, 48, 48)
    torch.testing.assert_close(
        r, F.normalize((hessian @ d[..., None])[..., 0], dim=1).detach(), atol=1e-4, rtol=0
    )


def test_float32_finds_the_direction_that_float64_finds():
    net, u = small().train(), torch.rand(8, 3, 16, 16)
    found = []
    for dtype in (torch.float32, torch.float64):
        net, u = net.to(dtype), u.to(dtype)
        torch.manual_seed(0)
        noise = torch.randn(8, 3, 16, 16)
        with quiet(net), pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "randn_like", lambda like, noise=noise: noise.to(like.dtype))
            found.append(adversary(net, u, net(u).softmax(1).detach(), 1.0, VAT().xi).double())
    assert F.cosine_similarity(*(r.flatten(1) for r in found)).min() > 0.99


def test_autocast_does_not_touch_the_finite_difference():
    """At xi = 1e-3 bfloat16 would round p(u + xi d) - p(u) away."""
    net, u, found = small().train(), torch.rand(8, 3, 16, 16), []
    for enabled in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            found.append(lds(net, u, 2.0))
    assert torch.equal(*found) and found[0].dtype == torch.float32


def test_vat_passes_the_unlabelled_images_apart_and_remembers_the_labelled(monkeypatch):
    """As in the authors' code: p(u) is one pass, for entropy and target; running statistics are x's alone."""
    net, baseline, (x, y, u) = small().train(), VAT(weight=2.0, entropy=0.5), batch()
    baseline.weak = lambda v: v
    alone = copy.deepcopy(net)
    passes = []
    net.register_forward_hook(lambda module, given, out: passes.append(len(given[0])))
    torch.manual_seed(0)
    loss = baseline.loss(net, x, y, u, 0.0)["loss"]
    assert passes == [6, 12, 12, 12]
    torch.manual_seed(0)
    known = F.cross_entropy(alone(x), y)
    with quiet(alone):
        logits = alone(u)
    torch.testing.assert_close(loss, known + 2 * lds(alone, u, baseline.eps) + 0.5 * entropy(logits))
    for ours, theirs in zip(net.buffers(), alone.buffers(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_adversary_is_worse_than_chance_and_has_its_length():
    torch.manual_seed(0)
    net, u = Probe(), torch.rand(64, 3, 4, 4)
    p = net(u).softmax(1).detach()
    r = adversary(net, u, p, 0.5, 1e-2)
    noise = torch.randn_like(u)
    noise = 0.5 * noise / noise.flatten(1).norm(dim=1)[:, None, None, None]
    torch.testing.assert_close(r.flatten(1).norm(dim=1), torch.full((64,), 0.5))
    assert kl(p, net(u + r)) > 3 * kl(p, net(u + noise))
    net.seen.clear()
    lds(net, u, eps=2.0)  # at 4 px, an eighth of 32, the length is an eighth
    torch.testing.assert_close(
        (net.seen[-1] - u).flatten(1).norm(dim=1), torch.full((64,), 0.25), atol=1e-4, rtol=0
    )


def test_extra_passes_leave_batch_norm_as_it_was_and_agree_with_each_other():
    net, u = small().train(), torch.rand(16, 3, 16, 16)
    before = copy.deepcopy(net.state_dict())
    value = lds(net, u, 2.0)
    assert all(torch.equal(before[name], now) for name, now in net.state_dict().items())
    assert (
        value > 0 and abs(lds(net, u, 0.0)) < 1e-6
    )  # the same batch norm in all passes: no r, no difference
    assert all(m.track_running_stats for m in net.modules() if isinstance(m, nn.BatchNorm2d))
    net(u)
    assert not torch.equal(before["0.stem.1.running_mean"], net[0].stem[1].running_mean)


def test_vat_sends_no_gradient_to_its_target():
    net, u = Probe().double(), torch.rand(5, 3, 4, 4, dtype=torch.float64)
    torch.manual_seed(1)
    lds(net, u, 1.0).backward()
    got = net[1].bias.grad.clone()
    r = net.seen[-1] - u
    with torch.no_grad():
        p, q = net(u).softmax(1), net(u + r).softmax(1)
    torch.testing.assert_close(got, (q - p).mean(0))  # d KL(p || q) / d bias with p fixed


def test_entropy_of_known_distributions():
    assert entropy(torch.zeros(3, 8)) == pytest.approx(math.log(8))
    assert entropy(torch.tensor([[100.0, 0.0]])) == pytest.approx(0, abs=1e-6)
    p = torch.tensor([[0.2, 0.5, 0.3]])
    assert entropy(p.log()) == pytest.approx(-(p * p.log()).sum().item())


# ------------------------------------------------------------------ UDA, FixMatch, pseudo-label


def test_udas_target_is_sharpened_and_masked():
    clean, other = torch.tensor([[2.0, 0.0, 0.0], [0.5, 0.0, 0.0]]), torch.randn(2, 3, requires_grad=True)
    clean.requires_grad_()
    p = [math.exp(5.0) / (math.exp(5.0) + 2), 1 / (math.exp(5.0) + 2)]  # softmax of [2, 0, 0] / .4
    logq = other[0].log_softmax(0)
    first = p[0] * (math.log(p[0]) - logq[0]) + p[1] * (2 * math.log(p[1]) - logq[1] - logq[2])
    loss, kept = consistent(clean, other, 0.4, 0.6)  # max p is 0.787 and 0.452: unsharpened, they decide
    assert kept == 0.5 and loss.item() == pytest.approx(first.item() / 2, rel=1e-5)
    loss.backward()
    assert clean.grad is None and other.grad[0].abs().sum() > 0 and other.grad[1].abs().sum() == 0
    assert consistent(clean, other, 0.4, 0.8)[0] == 0
    assert consistent(torch.zeros(1, 2), torch.rand(1, 2), 0.4, 0.5)[1] == 0  # above the threshold, not at it


@pytest.mark.parametrize(
    "schedule, alpha",
    [("log", [0, 1 - math.exp(-2.5), 1 - math.exp(-5)]), ("linear", [0, 0.5, 1]), ("exp", [math.exp(-5), math.exp(-2.5), 1])],
)  # fmt: skip
def test_training_signal_annealing(schedule, alpha):
    uda = UDA(annealing=schedule)
    for t, a in zip((0.0, 0.5, 1.0), alpha, strict=True):
        assert uda.eta(t, 10) == pytest.approx(0.1 + 0.9 * a)
    assert UDA().eta(0.0, 10) == UDA(annealing="").eta(0.0, 10) == 1
    with pytest.raises(UserError, match="annealing 'cubic' of uda"):
        UDA(annealing="cubic")


def test_annealing_leaves_out_what_is_known_already():
    p = torch.tensor([[0.9, 0.1], [0.3, 0.7], [0.6, 0.4]])
    logits, y = p.log().requires_grad_(), torch.tensor([0, 0, 0])
    loss, used = annealed(logits, y, 0.7)
    assert used == pytest.approx(2 / 3) and loss.item() == pytest.approx(-(math.log(0.3) + math.log(0.6)) / 2)
    loss.backward()
    assert logits.grad[0].abs().sum() == 0
    assert annealed(logits, y, 0.1)[0] == 0  # all known: no loss, and not 0 / 0


def test_fixmatchs_threshold_and_stopped_gradient():
    weak = torch.tensor([[0.96, 0.02, 0.02], [0.94, 0.03, 0.03], [0.01, 0.01, 0.98]]).log().requires_grad_()
    strong = torch.randn(3, 3, requires_grad=True)
    loss, kept = fixed(weak, strong, 0.95)
    logq = strong.log_softmax(1)
    assert kept == pytest.approx(2 / 3) and loss.item() == pytest.approx(
        -(logq[0, 0] + logq[2, 2]).item() / 3
    )
    loss.backward()
    assert weak.grad is None and strong.grad[1].abs().sum() == 0 and strong.grad[[0, 2]].abs().sum() > 0


def test_fixmatch_labels_the_strong_view_by_the_weak_one():
    torch.manual_seed(0)
    net, baseline = Probe(16, 4), FixMatch(threshold=0.0)
    baseline.weak, baseline.strong = (lambda v: v), (lambda v: 1 - v)
    x, y, u = batch()
    loss = baseline.loss(net, x, y, u, 0.3)["loss"]
    assert len(net.seen) == 1 and torch.equal(net.seen[0], torch.cat([x, u, 1 - u]))
    expected = F.cross_entropy(net(x), y) + F.cross_entropy(net(1 - u), net(u).argmax(1))
    torch.testing.assert_close(loss, expected)
    assert baseline.rate(0) == 1 and baseline.rate(1) == pytest.approx(math.cos(7 * math.pi / 16))
    assert Supervised().rate(0.5) == pytest.approx(0.5) and Supervised().rate(1) == pytest.approx(0)


@pytest.mark.parametrize("name", BASELINES)
def test_running_statistics_move_once_a_step(name):
    (x, y, u), net, baseline = batch(), small().train(), BASELINES[name][0]()
    baseline.begin(net)
    baseline.loss(net, x, y, u if baseline.mu else None, 0.5)
    moved = {m.num_batches_tracked.item() for m in net.modules() if isinstance(m, nn.BatchNorm2d)}
    assert moved == {1}


@pytest.mark.parametrize("baseline", [FixMatch(), UDA()], ids=["fixmatch", "uda"])
def test_fixmatch_and_uda_pass_one_joint_batch_and_fix_its_weak_part(baseline):
    """Labelled, weak and strong images share batch norm; the gradient is that of a fixed target."""
    (x, y, u), net = batch(), small().double().train()
    x, u = x.double(), u.double()
    joint = copy.deepcopy(net)
    baseline.weak, baseline.strong = (lambda v: v), (lambda v: 1 - v)
    of_x, weak, strong = joint(torch.cat([x, u, 1 - u])).split([6, 12, 12])
    baseline.threshold = weak.softmax(1).amax(1).mean().item()  # some are sure, some are not
    out = baseline.loss(net, x, y, u, 0.5)
    out["loss"].backward()
    if isinstance(baseline, UDA):
        unsupervised, kept = consistent(weak.detach(), strong, baseline.temperature, baseline.threshold)
    else:
        unsupervised, kept = fixed(weak.detach(), strong, baseline.threshold)
    assert 0 < kept < 1 and out["kept"] == kept
    expected = F.cross_entropy(of_x, y) + unsupervised
    torch.testing.assert_close(out["loss"], expected)
    expected.backward()
    for ours, theirs in zip(net.parameters(), joint.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
    for ours, theirs in zip(net.buffers(), joint.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_views_and_schedules_are_the_authors():
    fixmatch, uda = FixMatch(), UDA()
    names = [[type(v).__name__ for v in b.strong.views] for b in (fixmatch, uda)]
    assert names[0] == ["ShiftCrop", "HorizontalFlip", "RandAugment", "Cutout"]
    assert names[1] == ["RandAugment", "Cutout", "ShiftCrop", "HorizontalFlip"]
    assert fixmatch.strong.views[2].law is LAWS["fixmatch"] and uda.strong.views[0].law is LAWS["uda"]
    assert (uda.mu, uda.threshold, uda.temperature, uda.annealing, uda.ema) == (7, 0.8, 0.4, "", 0.9999)
    assert [uda.rate(t) for t in (0, 0.5, 1)] == [fixmatch.rate(t) for t in (0, 0.5, 1)]
    white = torch.ones(64, 3, 16, 16)
    assert torch.equal(fixmatch.weak(white), white)  # reflected at the border


def test_pseudo_labels_ramp_and_loss():
    baseline = PseudoLabel(T1=0.2, T2=0.6, alpha=3.0, threshold=0.3)
    assert [baseline.weight(t) for t in (0.0, 0.2, 0.3, 0.4, 0.6, 1.0)] == pytest.approx(
        [0, 0, 0.75, 1.5, 3, 3]
    )
    net, (x, y, u) = Probe(16, 4), batch()
    baseline.weak = lambda v: v
    p, known = net(u).softmax(1), F.cross_entropy(net(x), y)
    sure = p.amax(1) >= 0.3
    assert 0 < sure.sum() < 12
    guessed = -(p.amax(1).log() * sure).sum() / 12
    torch.testing.assert_close(baseline.loss(net, x, y, u, 0.1)["loss"], known)
    out = baseline.loss(net, x, y, u, 0.4)
    torch.testing.assert_close(out["loss"], known + 1.5 * guessed)
    assert out["kept"] == pytest.approx(sure.float().mean().item())


# ------------------------------------------------------------------ S4L


def s4l_parts(net, baseline, x, y, u):
    """By hand: the four losses on all four turns, rotation's as the mean of two means."""
    images = torch.cat([v.rot90(k, (2, 3)) for k in range(4) for v in (x, u)])
    features = net[0](images).view(4, len(x) + len(u), -1)
    of_x, of_u = (part.flatten(0, 1) for part in (features[:, : len(x)], features[:, len(x) :]))
    turns = [torch.arange(4).repeat_interleave(n) for n in (len(x), len(u))]
    rotation = [F.cross_entropy(baseline.rotation(f), t) for f, t in zip((of_x, of_u), turns, strict=True)]
    known = F.cross_entropy(net[1](of_x), y.repeat(4))
    return known, sum(rotation) / 2, entropy(net[1](of_u))


def test_s4ls_weights_are_moams_and_everything_is_on_four_turns(monkeypatch):
    net, baseline, (x, y, u) = small().eval(), S4L(), batch()
    baseline.begin(net)
    net[1].weight.data.mul_(30)  # or all entropies are alike
    baseline.weak, seen = (lambda v: v), []
    monkeypatch.setattr(s4l, "lds", lambda net, v, eps, xi: seen.append((v, eps)) or v.new_tensor(7.0))
    loss = baseline.loss(net, x, y, u, 0.0)["loss"]
    known, rotation, H = s4l_parts(net, baseline, x, y, u)
    torch.testing.assert_close(loss, 0.3 * known + 0.4 * rotation + 0.3 * 7 + 0.3 * H)
    (given, eps), turned = seen[0], torch.cat([u.rot90(k, (2, 3)) for k in range(4)])
    assert len(seen) == 1 and torch.equal(given, turned)
    assert eps == pytest.approx(32 / 2 * 32 / 224)  # 32 at 224 px and colours in [-1, 1]


def test_s4l_rotation_alone_is_the_papers_first_method(monkeypatch):
    net, (x, y, u) = small().eval(), batch()
    baseline = S4L(supervised=1, w=1, vat=0, entropy=0, ema=0)
    baseline.begin(net)
    baseline.weak = lambda v: v
    monkeypatch.setattr(s4l, "lds", None)  # is not called
    known, rotation, _ = s4l_parts(net, baseline, x, y, u)
    torch.testing.assert_close(baseline.loss(net, x, y, u, 0.0)["loss"], known + rotation)


# ------------------------------------------------------------------ all of them


@pytest.mark.parametrize("name", BASELINES)
def test_every_parameter_learns_and_chance_is_where_it_starts(name):
    (x, y, u), net, baseline = batch(), small(), BASELINES[name][0]()
    nn.init.zeros_(net[1].weight), nn.init.zeros_(net[1].bias)
    baseline.begin(net)
    assert baseline.loss(net, x, y, u if baseline.mu else None, 0.0)["loss"] >= math.log(4) - 1e-4
    nn.init.normal_(net[1].weight)
    logs = baseline.loss(net, x, y, u if baseline.mu else None, 1.0)
    logs["loss"].backward()
    assert logs["loss"].isfinite() and all(v.dim() == 0 for v in logs.values())
    for parameter in [*net.parameters(), *baseline.parameters()]:
        assert parameter.grad is not None and parameter.grad.isfinite().all()


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("precision", ["64", "bf16"])
def test_every_loss_runs_in_every_precision(name, precision):
    """One step; in float64 everything stays there, under autocast the loss is float32."""
    (x, y, u), net, baseline = batch(), small().train(), BASELINES[name][0]()
    baseline.begin(net)
    if precision == "64":
        net, baseline, x, u = net.double(), baseline.double(), x.double(), u.double()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        logs = baseline.loss(net, x, y, u if baseline.mu else None, 1.0)
    dtype = torch.float64 if precision == "64" else torch.float32
    assert all(v.dtype == dtype and v.isfinite() for v in logs.values())
    logs["loss"].backward()
    assert all(p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("name", BASELINES)
def test_each_learns_more_than_chance(name, tiny_data):
    net = encoder("small", 16, width=8)
    before, state = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    score = semisupervised(
        name, tiny_data, fraction=0.25, encoder=net, steps=60, batch_size=12, seed=0, device="cpu",
        beside_supervised=False, **LITTLE.get(name, {}),
    )  # fmt: skip
    assert score.value > 0.45 and score.n_train == 24 and score.n_test == 32 and score.seed == 0
    assert score.seconds > 0 and score.metric == "top-1 @ 25%" and score.random is None
    history = score.details["history"]
    assert [h["progress"] for h in history] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


def test_the_same_seed_gives_the_same_score_and_supervised_stands_beside(tiny_data):
    settings = {"fraction": 0.25, "steps": 6, "batch_size": 8, "device": "cpu", "mu": 1}
    first, again = (semisupervised("fixmatch", tiny_data, **settings) for _ in range(2))
    assert first.value == again.value and first.details == again.details
    settings.pop("mu")
    alone = semisupervised("supervised", tiny_data, **settings)
    assert first.details["supervised"] == alone.value and "supervised" not in alone.details


LOOP = {
    "steps": 5,
    "batch_size": 8,
    "lr": 1e-3,
    "weight_decay": 0.0,
    "seed": 0,
    "device": torch.device("cpu"),
}


@pytest.fixture
def tasks(monkeypatch):
    """The labels and labelled rows of every training."""
    seen = []

    def spy(baseline, net, data, rows, *args, **settings):
        seen.append((data.train.labels, rows))
        return train(baseline, net, data, rows, *args, **settings)

    monkeypatch.setattr(protocol, "train", spy)
    return seen


def test_only_the_chosen_labels_are_read(tiny_data, tasks):
    """They are finetune's, and what the other labels say changes nothing."""
    settings = {"fraction": 0.25, "steps": 5, "batch_size": 8, "seed": 3, "device": "cpu"}
    first = semisupervised("s4l", tiny_data, **settings, beside_supervised=False)
    rows = subset(tiny_data.train.labels, fraction=0.25, seed=3)
    assert torch.equal(tasks[0][1], rows)
    labels = tiny_data.train.labels.clone()
    labels[torch.ones(96, dtype=torch.bool).index_fill(0, rows, False)] = 0
    scrambled = replace(tiny_data, train=replace(tiny_data.train, labels=labels))
    start = random_like(encoder("small", 16), 3)
    found = [train(S4L(), start, data, rows, 4, **LOOP)[1] for data in (tiny_data, scrambled)]
    assert found[0] == found[1] and first.n_train == 24


def test_moams_three_steps(tiny_data, monkeypatch):
    """Joint training; the same again from its weights with guesses as labels; the labelled images alone."""
    runs = []

    def spy(baseline, encoder, data, rows, classes, **settings):
        out = train(baseline, encoder, data, rows, classes, **settings)
        runs.append((baseline, encoder, data.train.labels, rows, settings, out))
        return out

    monkeypatch.setattr(protocol, "train", spy)
    settings = {"fraction": 0.25, "batch_size": 8, "device": "cpu", "beside_supervised": False}
    score = semisupervised("s4l", tiny_data, steps=20, retrain=True, lr=0.01, weight_decay=0.02, **settings)
    (one, two, three), truth = runs, tiny_data.train.labels
    assert [run[4]["steps"] for run in runs] == [20, 18, 2]
    assert [run[4]["lr"] for run in runs] == pytest.approx([0.01, 0.01, 0.01 / 200])
    assert [run[4]["weight_decay"] for run in runs] == pytest.approx([0.02, 0.02, 0.3])
    assert two[0] is one[0] and isinstance(three[0], Supervised)
    assert len(one[3]) == 24 and torch.equal(one[3], three[3]) and torch.equal(two[3], torch.arange(96))
    assert torch.equal(one[2], truth) and torch.equal(three[2], truth)
    for before, after in ((one, two), (two, three)):  # each begins where the one before ended
        assert after[1] is before[5][0][0] and after[4]["classifier"] is before[5][0][1]
    net = one[5][0].eval()
    images = tiny_data.train.floats()
    turned = torch.stack([net(images.rot90(k, (2, 3))) for k in range(4)]).mean(0)
    assert torch.equal(two[2], turned.argmax(1)) and not torch.equal(two[2], truth)
    stages = score.details["stages"]
    assert [row["stage"] for row in stages] == ["joint", "retrained", "fine-tuned"]
    assert score.value == stages[-1]["value"] and score.details["history"] == stages[0]["history"]
    alone = semisupervised("s4l", tiny_data, steps=20, lr=0.01, weight_decay=0.02, **settings)
    assert alone.value == stages[0]["value"] and "stages" not in alone.details
    for row, run in zip(stages, runs[:3], strict=True):
        right = run[5][0].eval()(tiny_data.test.floats()).argmax(1) == tiny_data.test.labels
        assert row["value"] == pytest.approx(right.float().mean().item()) and row["history"] == run[5][1]


def test_the_steps_can_be_chosen_and_other_baselines_take_them(tiny_data):
    settings = {"fraction": 0.25, "steps": 4, "batch_size": 8, "device": "cpu", "beside_supervised": False}
    chosen = Retraining(steps=0.5, tuning_steps=0.25, tuning_lr=0.1, tuning_decay=1)
    score = semisupervised("fixmatch", tiny_data, retrain=chosen, mu=1, **settings)
    assert len(score.details["stages"]) == 3 and score.details["retrain"] == asdict(chosen)
    json.dumps(score.details)


def test_training_goes_on_from_a_classifier(tiny_data):
    start = encoder("small", 16, width=8)
    net, _ = train(Supervised(), start, tiny_data, torch.arange(24), 4, **LOOP)
    again, _ = train(
        Supervised(), net[0], tiny_data, torch.arange(24), 4, **{**LOOP, "lr": 0.0}, classifier=net[1]
    )
    assert torch.equal(again[1].weight, net[1].weight) and again[1] is not net[1]


def test_the_average_of_the_weights_is_judged(tiny_data):
    """The average lags a little: it is neither the start nor the end."""
    rows, start = subset(tiny_data.train.labels, fraction=0.5), encoder("small", 16, width=8)
    baseline = FixMatch(mu=1)
    ends = []
    for m in (0.0, 0.999):
        baseline.ema = m
        net, history = train(baseline, start, tiny_data, rows, 4, **{**LOOP, "lr": 0.02})
        right = net.eval()(tiny_data.val.floats()).argmax(1) == tiny_data.val.labels
        assert history[-1]["accuracy"] == pytest.approx(right.float().mean().item())
        ends.append(net[0])
    first, last, mean = (net.stem[0].weight.detach() for net in (start, *ends))
    assert 0 < (mean - last).norm() < 0.5 * (first - last).norm()  # for a young average is short
    assert torch.equal(ends[0].stem[1].running_mean, ends[1].stem[1].running_mean)


class Nothing(Baseline):
    """A loss that asks for nothing, so that all that moves is moved by the loop."""

    def __init__(self, rates=1.0):
        super().__init__(mu=2)
        self.rates, self.own, self.sizes = rates, nn.Linear(3, 3), []

    def rate(self, progress):
        return self.rates

    def loss(self, net, x, y, u, progress):
        self.sizes.append((len(x), len(u)))
        return {"loss": 0 * sum(p.sum() for p in [*net.parameters(), *self.own.parameters()])}


def test_weights_decay_norms_and_biases_do_not_and_the_baselines_own_learn_too(tiny_data):
    baseline, start = Nothing(0.5), encoder("small", 16, width=8)
    before = baseline.own.weight.detach().clone()
    settings = {**LOOP, "lr": 0.1, "weight_decay": 0.2}
    net, _ = train(baseline, start, tiny_data, torch.arange(24), 4, **settings)
    kept = (1 - 0.1 * 0.5 * 0.2) ** 5
    torch.testing.assert_close(net[0].stem[0].weight, start.stem[0].weight * kept)
    torch.testing.assert_close(baseline.own.weight, before * kept)
    assert torch.equal(net[0].stem[1].weight, start.stem[1].weight)
    assert set(baseline.sizes) == {(8, 16)}


def test_frozen_encoders_are_trained_and_see_their_norms_in_training(tiny_data):
    start = encoder("small", 16, width=8).eval().requires_grad_(False)
    net, _ = train(Supervised(), start, tiny_data, torch.arange(24), 4, **LOOP)
    assert not torch.equal(net[0].stem[0].weight, start.stem[0].weight)
    assert not torch.equal(net[0].stem[1].running_mean, start.stem[1].running_mean)


def test_the_study_asks_every_baseline_the_same(tiny_data, monkeypatch):
    monkeypatch.setattr(study, "load", lambda name: tiny_data)
    short = replace(recipes.LAPTOP["simclr"], epochs=1, batch=32)
    monkeypatch.setattr(recipes, "recipe", lambda *a: short)
    monkeypatch.setattr(study, "STEPS", 2)
    monkeypatch.setattr(study, "FRACTIONS", (0.25,))
    tuned, rows = [], []
    for row in study.study(1):
        (tuned if row["protocol"] == "finetune" else rows).append(row)
    assert [row["method"] for row in tuned] == ["simclr", "scratch"]
    assert {row["n_train"] for row in tuned} == {24}
    assert [row["method"] for row in rows] == list(BASELINES) == list(study.LAPTOP)
    assert {(row["fraction"], row["n_train"], row["steps"], len(row["curve"])) for row in rows} == {
        (0.25, 24, 2, 2)
    }
    stages = ("joint", "retrained", "fine-tuned")
    for row in rows:  # MOAM's three steps are recorded, and the last one counts
        assert [name for name in stages if name in row] == (list(stages) if row["method"] == "s4l" else [])
        assert row["value"] == row.get("fine-tuned", row["value"])


def test_endless_orders_and_wrong_names(tiny_data):
    order = endless(torch.tensor([3, 5, 8]), 8, torch.Generator().manual_seed(0))
    assert len(order) == 8 and sorted(order[:3].tolist()) == sorted(order[3:6].tolist()) == [3, 5, 8]
    with pytest.raises(UserError, match="baseline 'mixmatch' is unknown: choose from supervised"):
        semisupervised("mixmatch", tiny_data)
