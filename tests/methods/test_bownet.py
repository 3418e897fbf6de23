"""BoWNet: its loss against double loops, its vocabulary, and that only the student learns."""

import math

import pytest
import torch

from sslcourse import nets
from sslcourse.data.images import Data
from sslcourse.methods import BoWNet, RotNet
from sslcourse.methods.distillation.bownet import next_rows
from sslcourse.methods.parts.kmeans import kmeans
from sslcourse.views import cutmix
from tests.conftest import planted


def make(encoder=None, teacher=None, words: int = 6, **arguments) -> BoWNet:
    torch.manual_seed(0)
    teacher = RotNet(teacher or nets.encoder("small", 32, width=8))
    return BoWNet(encoder or nets.encoder("small", 32, width=4), teacher, words=words, **arguments)


@pytest.mark.parametrize("cosine", [False, True])
def test_the_loss_is_that_of_double_loops(cosine):
    method = make(cutmix=0.0, stage="stage2", cosine=cosine, gamma=3.0).double()
    images = torch.rand(5, 3, 32, 32, dtype=torch.float64)
    method.view = lambda x: x.flip(3)
    method.vocabulary.copy_(method.local(images)[:, 5, :].repeat(2, 1)[:6] * 1.01)
    logged = method.loss(images)
    f, teacher, total = method.encoder(images.flip(3)), method.teacher.module.layers(images)["stage2"], 0.0
    for b in range(5):
        y = [0.0] * 6
        for i in range(4):
            for j in range(4):
                distances = [float((teacher[b, :, i, j] - word).norm()) for word in method.vocabulary]
                y[distances.index(min(distances))] += 1 / 16
        z = f[b] / f[b].norm() if cosine else f[b]
        logits = [(method.scale * (z @ w) / w.norm()).item() for w in method.weight]
        normaliser = sum(math.exp(logit) for logit in logits)
        total = total - sum(
            share * math.log(math.exp(logit) / normaliser) for share, logit in zip(y, logits, strict=True)
        )
    assert logged["loss"].item() == pytest.approx(float(total) / 5, abs=1e-9)
    logged["loss"].backward()
    assert method.scale.grad.abs() > 0 and method.weight.grad.abs().min() >= 0
    assert method.teacher.module.stem[0].weight.grad is None


def test_a_student_that_knows_nothing_costs_log_k():
    method = make(words=64, gamma=0.0)
    assert method.loss(torch.rand(8, 3, 32, 32))["loss"].item() == pytest.approx(math.log(64), abs=1e-5)


def test_kl_is_the_loss_above_the_entropy_of_the_targets():
    method = make(cutmix=0.0, binary=True, stage="stage2")
    images = torch.rand(8, 3, 32, 32)
    method.prepare(Data("noise", planted(40, 32), planted(8, 32), planted(8, 32)))
    logged, y = method.loss(images), method.bag(images)
    of_targets = -sum(float(p) * math.log(p) for row in y for p in row if p > 0) / 8
    assert logged["kl"].item() == pytest.approx(logged["loss"].item() - of_targets, abs=1e-5)


def test_words_of_a_pasted_box_count_by_its_area(monkeypatch):
    method = make(stage="stage2")
    images = torch.rand(6, 3, 32, 32)
    method.prepare(Data("noise", planted(40, 32), planted(8, 32), planted(8, 32)))
    method.view = lambda x: x
    seen = []
    monkeypatch.setattr(
        "sslcourse.methods.distillation.bownet.F.cross_entropy", lambda a, y: seen.append(y) or a.sum()
    )
    torch.manual_seed(5)
    method.loss(images)
    torch.manual_seed(5)
    share = cutmix(images, images)[1]
    y = method.bag(images)
    for b in range(6):
        torch.testing.assert_close(seen[0][b], share[b] * y[b] + (1 - share[b]) * y[(b + 1) % 6])
    assert 0 < share.min() < share.max() <= 1
    assert torch.equal(next_rows(images), images[[1, 2, 3, 4, 5, 0]])


def test_the_vocabulary_is_that_of_k_means_over_all_places_of_clean_images(monkeypatch):
    method, data = make(words=5, stage="stage2"), Data("p", planted(40, 32), planted(8, 32), planted(8, 32))
    method.train()
    before = {name: value.clone() for name, value in method.teacher.state_dict().items()}
    seeds = []
    monkeypatch.setattr(
        "sslcourse.methods.distillation.bownet.kmeans",
        lambda u, k, iterations, seed: seeds.append((u, seed)) or kmeans(u, k, iterations, seed),
    )
    method.prepare(data)
    ((u, seed),) = seeds
    assert u.shape == (40 * 16, 16)
    torch.testing.assert_close(method.vocabulary, kmeans(u, 5, 20, seed)[0])
    everything = (
        method.teacher.module.layers(data.train.floats())["stage2"].flatten(2).transpose(1, 2).flatten(0, 1)
    )
    torch.testing.assert_close(u.sum(0), everything.sum(0), rtol=1e-4, atol=1e-3)
    assert all(torch.equal(value, before[name]) for name, value in method.teacher.state_dict().items())
    few = make(words=5, stage="stage2", sampled=3)
    few.prepare(data)
    assert seeds[1][0].shape == (3 * 16, 16)


def test_more_words_than_features_are_never_used():
    method, data = make(words=50), Data("p", planted(4, 32), planted(4, 32), planted(4, 32))
    method.prepare(data)  # 4 images of 2 x 2 places
    y = method.bag(data.train.floats())
    assert method.vocabulary.isfinite().all() and not y[:, 16:].any()
    torch.testing.assert_close(y.sum(1), torch.ones(4))
    assert math.isfinite(method.loss(data.train.floats())["loss"])


def test_a_transformer_can_teach_and_learn():
    vit = {"dim": 24, "depth": 2, "heads": 2, "patch": 8}
    method = make(nets.encoder("vit", 32, **vit), nets.encoder("vit", 32, **vit), stage="block1")
    assert method.local(torch.rand(2, 3, 32, 32)).shape == (2, 16, 24)
    method.loss(torch.rand(4, 3, 32, 32))["loss"].backward()


def test_of_its_teacher_the_kept_network_stays_and_a_later_run_needs_no_more():
    teacher = nets.encoder("small", 32, width=8)
    method = make(teacher=teacher)
    torch.testing.assert_close(method.teacher.module.state_dict(), teacher.state_dict())
    assert not any(p.requires_grad for p in method.teacher.parameters())
    held = {name.split(".")[0] for name in method.state_dict()}
    assert held == {"encoder", "teacher", "vocabulary", "weight", "scale"}
