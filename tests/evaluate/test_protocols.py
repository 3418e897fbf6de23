"""Extraction, the probes, low-shot, fine-tuning, factors, and their errors."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from sslcourse.data.images import Data, ImageSet
from sslcourse.errors import UserError
from sslcourse.evaluate import (
    PROTOCOLS,
    extract,
    factors,
    finetune,
    knn,
    linear,
    lowshot,
    remember,
    run_protocols,
    subset,
)
from sslcourse.evaluate.factors import r_squared, readable, target
from sslcourse.methods.parts.frozen import frozen
from sslcourse.nets import encoder as build


class Stub(nn.Module):
    """A small convolutional encoder with all that evaluation mode must silence; counts its calls."""

    def __init__(self, dim=16):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, dim, 5, 2), nn.BatchNorm2d(dim)
        self.drop, self.pool = nn.Dropout(0.5), nn.AdaptiveAvgPool2d(2)
        self.calls = 0

    def layers(self, images):
        stem = self.stem(images)
        return {
            "stem": stem,
            "tokens": self.norm(stem).relu().flatten(2).transpose(1, 2),
        }  # (B, C, hw) -> (B, hw, C)

    def forward(self, images):
        self.calls += 1
        return self.pool(self.drop(self.norm(self.stem(images)).relu())).flatten(1)


def state(net):
    return {name: value.clone() for name, value in net.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def test_extract_is_silent_and_restores_modes(tiny_data):
    net = Stub()
    net.train()
    net.norm.eval()  # a frozen batch norm within a training network
    before, modes = state(net), [module.training for module in net.modules()]
    random_state = torch.get_rng_state()
    features = extract(net, tiny_data.train, batch_size=40, device="cpu")
    assert features.shape == (96, 64) and features.dtype == torch.float32 and not features.requires_grad
    assert [module.training for module in net.modules()] == modes and same(before, state(net))
    assert torch.equal(torch.get_rng_state(), random_state)
    net.eval()
    assert torch.allclose(features, net(tiny_data.train.floats()), atol=1e-5)  # rows in order, no dropout


def test_extract_restores_modes_after_an_error(tiny_data):
    class Broken(Stub):
        def forward(self, images):
            raise RuntimeError("broken")

    net = Broken().train()
    with pytest.raises(RuntimeError, match="broken"):
        extract(net, tiny_data.val, device="cpu")
    assert all(module.training for module in net.modules())


def test_extract_ignores_autocast_and_names_wrong_shapes(tiny_data):
    net = Stub().eval()
    plain = extract(net, tiny_data.val, device="cpu")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(extract(net, tiny_data.val, device="cpu"), plain)
    with pytest.raises(UserError, match="batch, features"):
        extract(nn.Conv2d(3, 4, 3), tiny_data.val, device="cpu")
    with pytest.raises(UserError, match="empty"):
        extract(net, tiny_data.val[:0], device="cpu")
    clips = ImageSet(torch.zeros(4, 2, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(UserError, match="clips"):
        extract(nn.Flatten(), clips, device="cpu")


def test_features_are_shared_only_while_remembered(tiny_data):
    net = Stub()
    with remember(net):
        knn(net, tiny_data, device="cpu", beside_random=False)
        linear(net, tiny_data, device="cpu", beside_random=False)
    assert net.calls == 3  # train, val, test: one batch each
    first = knn(net, tiny_data, device="cpu", beside_random=False)
    assert net.calls == 5
    with torch.no_grad():
        net.stem.weight.zero_()
    assert knn(net, tiny_data, device="cpu", beside_random=False).value != first.value


def test_random_baseline_does_not_depend_on_training(tiny_data):
    net = build("small", 16)
    first = linear(net, tiny_data, device="cpu")
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    second = linear(net, tiny_data, device="cpu")
    assert first.random == second.random == first.value or first.random == second.random
    assert second.value == pytest.approx(0.25, abs=0.01) and second.random > 0.5
    assert linear(net, tiny_data, device="cpu", beside_random=False).random is None
    assert linear(lambda images: images.flatten(1), tiny_data, device="cpu").random is None


def test_linear_chooses_on_val_not_on_test():
    """Where val rewards strong regularisation and test weak, or the other way round, val decides."""
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(240) % 2
    pixels = torch.randint(0, 256, (240, 3, 8, 8), generator=g, dtype=torch.uint8)
    pixels[:, 0] = (pixels[:, 0] // 2 + 60 * labels[:, None, None]).to(torch.uint8)
    noisy = torch.where(torch.rand(240, generator=g) < 0.3, 1 - labels, labels)
    train = ImageSet(pixels[:120], noisy[:120], ("a", "b"))
    clean = ImageSet(pixels[120:], labels[120:], ("a", "b"))
    memorised = replace(train, labels=noisy[:120])
    strong_is_best = linear(nn.Flatten(), Data("x", train, clean, memorised), l2=(1e-5, 1.0), device="cpu")
    weak_is_best = linear(nn.Flatten(), Data("x", train, memorised, clean), l2=(1e-5, 1.0), device="cpu")
    assert strong_is_best.details["l2"] == 1.0 and strong_is_best.value < 0.95
    assert weak_is_best.details["l2"] == 1e-5
    assert weak_is_best.details["val"][1e-5] == 1.0


def test_linear_probes_layers(tiny_data):
    net = Stub()
    for name in ("stem", "tokens"):
        score = linear(net, tiny_data, layer=name, device="cpu")
        assert score.metric == f"top-1 of {name}" and score.value > 0.5 and score.random is not None
    with pytest.raises(UserError, match="stem, tokens"):
        linear(net, tiny_data, layer="head", device="cpu")


def test_subsets_are_stratified_nested_and_seeded():
    labels = torch.tensor([0] * 50 + [1] * 100 + [2] * 7)[torch.randperm(157)]
    previous = set()
    for shots in (1, 2, 5, 7):
        rows = subset(labels, shots=shots, seed=3)
        assert labels[rows].bincount().tolist() == [shots] * 3
        assert previous <= set(rows.tolist())
        previous = set(rows.tolist())
    small, large = subset(labels, fraction=0.02, seed=3), subset(labels, fraction=0.1, seed=3)
    assert labels[small].bincount().tolist() == [1, 2, 1] and labels[large].bincount().tolist() == [5, 10, 1]
    assert set(small.tolist()) <= set(large.tolist())
    assert torch.equal(subset(labels, fraction=0.1, seed=3), large)
    assert not torch.equal(subset(labels, fraction=0.1, seed=4), large)
    assert len(subset(labels, fraction=1.0)) == 157
    with pytest.raises(UserError, match="one of the two"):
        subset(labels)
    with pytest.raises(UserError, match="fraction"):
        subset(labels, fraction=1.5)


def test_lowshot(tiny_data):
    scores = lowshot(nn.Flatten(), tiny_data, shots=(1, 5), fractions=(0.1,), draws=3, device="cpu")
    assert [s.metric for s in scores] == ["top-1 @ 1 per class", "top-1 @ 5 per class", "top-1 @ 10%"]
    assert [s.n_train for s in scores] == [4, 20, 8]
    for score in scores:
        assert len(score.details["values"]) == 3 and 0 <= score.details["std"] < 0.5
        assert score.value == pytest.approx(sum(score.details["values"]) / 3)
    assert scores[1].value > 0.9
    rows = torch.cat([(tiny_data.train.labels == c).nonzero()[: 2 + 10 * c, 0] for c in range(4)])
    few = replace(tiny_data, train=tiny_data.train[rows])  # 2 images of the first class
    scores = lowshot(nn.Flatten(), few, shots=(2, 5), fractions=(), draws=1, device="cpu")
    assert [(s.metric, s.n_train) for s in scores] == [
        ("top-1 @ 2 per class", 8),
        ("top-1 @ up to 5 per class", 17),
    ]


def test_finetune_learns_and_leaves_the_encoder(tiny_data):
    net = frozen(build("small", 16, width=8)).module  # no gradient, as a teacher comes
    before, random_state, told = state(net), torch.get_rng_state(), []
    score = finetune(
        net, tiny_data, epochs=8, lr=3e-3, device="cpu", on_epoch=told.append, beside_random=False
    )
    assert (
        same(before, state(net)) and not any(p.requires_grad for p in net.parameters()) and not net.training
    )
    assert torch.equal(torch.get_rng_state(), random_state)
    assert score.value > 0.6 and score.random is None and score.n_train == 96
    assert score.details["curve"] == [t["accuracy"] for t in told] and len(told) == 8
    assert told[-1]["loss"] < told[0]["loss"]
    again = finetune(net, tiny_data, epochs=8, lr=3e-3, device="cpu", beside_random=False)
    assert again.value == score.value and again.details["curve"] == score.details["curve"]


def test_finetune_scratch_fraction_and_lr_grid(tiny_data):
    net = build("small", 16, width=8)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1.5)
    score = finetune(net, tiny_data, fraction=0.25, epochs=2, lr=(1e-9, 3e-3), device="cpu", seed=1)
    scratch = finetune(
        net, tiny_data, fraction=0.25, epochs=2, lr=(1e-9, 3e-3), device="cpu", seed=1, scratch=True
    )
    assert score.metric == "top-1 @ 25%" and score.n_train == 24
    assert scratch.value == score.random and scratch.random is None
    with pytest.raises(UserError, match="an nn"):
        finetune(lambda x: x.flatten(1), tiny_data)


def world(n, seed):
    """Images whose first pixels are a brightness, the cosine and sine of twice a yaw, and a kind."""
    g = torch.Generator().manual_seed(seed)
    light, yaw, hidden = (torch.rand(n, generator=g) for _ in range(3))
    yaw, kind = (yaw - 0.5) * 6.28, torch.randint(0, 3, (n,), generator=g)
    symmetry = torch.where(torch.arange(n) % 4 == 0, 0.0, 2.0)
    images = torch.randint(0, 256, (n, 3, 4, 4), generator=g, dtype=torch.uint8)
    images[:, 0, 0, 0] = (light * 255).to(torch.uint8)
    images[:, 0, 0, 1] = (127 + 120 * (2 * yaw).cos()).to(torch.uint8)
    images[:, 0, 0, 2] = (127 + 120 * (2 * yaw).sin()).to(torch.uint8)
    images[:, 0, 1] = (images[:, 0, 1] // 2 + 60 * kind[:, None]).to(torch.uint8)
    known = {"light": light, "yaw": yaw, "kind": kind, "hidden": hidden, "symmetry": symmetry}
    return ImageSet(images, kind, ("a", "b", "c"), factors=known)


def test_factors():
    data = Data("world", world(800, 1), world(200, 2), world(300, 3))
    found = {s.details["factor"]: s for s in factors(nn.Flatten(), data, device="cpu")}
    assert set(found) == {"light", "yaw", "kind", "hidden"}
    assert found["light"].value > 0.99 and found["light"].metric == "R2 light"
    assert found["yaw"].value > 0.98 and found["yaw"].n_test == 225  # symmetry 0 has no yaw
    assert found["kind"].value > 0.8 and found["kind"].metric == "accuracy kind"
    assert found["hidden"].value < 0.1
    assert [s.details["factor"] for s in factors(nn.Flatten(), data, names=["light"], device="cpu")] == [
        "light"
    ]
    with pytest.raises(UserError, match="'size'"):
        factors(nn.Flatten(), data, names=["size"])
    with pytest.raises(UserError, match="no factors"):
        factors(nn.Flatten(), Data("plain", *(ImageSet(s.images) for s in (data.train, data.val, data.test))))


def test_factor_targets():
    images = world(8, 0)
    y, rows = target(images, "yaw")
    assert y.shape == (6, 2) and rows.tolist() == [1, 2, 3, 5, 6, 7]
    assert torch.allclose(y[:, 0], (2 * images.factors["yaw"][rows]).cos(), atol=1e-5)
    hue = replace(images, factors={"floor_hue": torch.tensor([0.0, 0.25, 1.0])})
    assert torch.allclose(target(hue, "floor_hue")[0], torch.tensor([[1.0, 0], [0, 1], [1, 0]]), atol=1e-5)
    scenes = replace(
        images, factors={"present": torch.ones(8, 3).bool(), "size": torch.rand(8, 3), "count": torch.ones(8)}
    )
    assert readable(scenes) == ["count"]
    true = torch.tensor([[0.0], [1.0], [2.0]])
    assert r_squared(true, true) == 1 and r_squared(true.mean(0).expand(3, 1), true) == 0
    assert r_squared(torch.stack([true, true + 1]), true).tolist() == pytest.approx([1, -0.5])


def test_run_protocols_and_rows(tiny_data):
    net = build("small", 16, width=8)
    scores = run_protocols(net, tiny_data, ["knn", "lowshot"], device="cpu", seed=2)
    assert [s.protocol for s in scores] == ["knn"] + ["lowshot"] * 5
    row = scores[0].to_dict()
    assert {"data", "protocol", "metric", "value", "n_train", "n_test", "seconds", "device"} <= set(row)
    assert (
        row["data"] == "tiny" and row["seed"] == 2 and row["device"] == "cpu" and 0 <= scores[0].random <= 1
    )
    text = repr(replace(scores[0], value=0.7123, random=0.341, n_train=10_000, n_test=2_000, seconds=2.1))
    assert text == "knn top-1 0.712 (random init 0.341), 10,000 train / 2,000 test images, seed 2, 2.1 s"
    assert float(scores[0]) == scores[0].value
    with pytest.raises(UserError, match="'clustering' is unknown"):
        run_protocols(net, tiny_data, ["clustering"])


def test_protocols_that_cannot_be_used_are_named_before_the_first_is_run(tiny_data, monkeypatch):
    monkeypatch.setitem(PROTOCOLS, "knn", lambda *_, **__: pytest.fail("knn ran"))
    with pytest.raises(UserError, match="factors on 'tiny'"):
        run_protocols(nn.Flatten(), tiny_data, ["knn", "factors"], device="cpu")
    unlabelled = replace(tiny_data, val=replace(tiny_data.val, labels=None))
    with pytest.raises(UserError, match="knn on 'tiny': its val part has no labels"):
        run_protocols(nn.Flatten(), unlabelled, ["knn"], device="cpu")


def test_features_that_are_not_finite_are_refused(tiny_data):
    net = build("small", 16, width=4)
    with torch.no_grad():
        net.stem[0].weight[0, 0, 0, 0] = math.inf
    with pytest.raises(UserError, match="features are not finite"):
        knn(net, tiny_data, device="cpu")


@pytest.mark.parametrize("protocol", [knn, linear, lowshot, finetune])
def test_bad_labels_are_one_line(protocol, tiny_data):
    unlabelled = replace(tiny_data, train=replace(tiny_data.train, labels=None))
    one_class = replace(tiny_data, train=replace(tiny_data.train, labels=torch.zeros(96, dtype=torch.long)))
    empty = replace(tiny_data, test=tiny_data.test[:0])
    for data, what in (
        (unlabelled, "no labels"),
        (one_class, "one class only"),
        (empty, "test part is empty"),
    ):
        with pytest.raises(UserError, match=what) as error:
            protocol(Stub(), data, device="cpu")
        assert "\n" not in str(error.value) and "'tiny'" in str(error.value)


def test_encoder_is_untouched_by_every_protocol(tiny_data):
    net = Stub().train()
    before, twin = state(net), copy.deepcopy(net)
    run_protocols(net, tiny_data, ["knn", "linear", "lowshot"], device="cpu")
    assert same(before, state(net)) and [m.training for m in net.modules()] == [
        m.training for m in twin.modules()
    ]
