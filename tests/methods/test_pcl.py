import math

import pytest
import torch
from torch.nn import functional as F

from sslcourse import nets
from sslcourse.errors import UserError
from sslcourse.methods import METHODS, PCL
from sslcourse.methods.contrastive.pcl import proto_nce, prototype_logits
from sslcourse.methods.parts.kmeans import concentration
from sslcourse.training.pretraining import pretrain
from sslcourse.training.recipes import Recipe

ARGUMENTS = {"length": 40, "dim": 8, "clusters": [3, 6], "negatives": 4, "momentum": 0.9}
SMALL = Recipe(encoder_arguments={"width": 4}, epochs=3, batch=32, optimizer="adamw", lr=2e-3, warmup=0)


def make(data, **arguments):
    torch.manual_seed(0)
    given = {**PCL.arguments_from(data), **ARGUMENTS, **arguments}
    return PCL(nets.encoder("small", 16, width=4), **given)


def test_prototype_logits_hold_the_own_one_and_r_others():
    torch.manual_seed(0)
    v, c = F.normalize(torch.randn(9, 4), dim=1), F.normalize(torch.randn(7, 4), dim=1)
    own, phi = torch.randint(7, (9,)), torch.rand(7) + 0.1
    every = v @ c.T / phi
    met = set()
    for r in (1, 3, 6, 100):
        for _ in range(20):
            logits = prototype_logits(v, own, c, phi, r)
            for i in range(9):
                assert logits[i, 0] == pytest.approx(float(every[i, own[i]]), abs=1e-5)
                others = logits[i, 1:][logits[i, 1:].isfinite()].tolist()
                found = [int((every[i] - x).abs().argmin()) for x in others]
                assert len(set(found)) == len(found) == min(r, 6) and int(own[i]) not in found
                assert all(
                    float(every[i, j]) == pytest.approx(x, abs=1e-5)
                    for j, x in zip(found, others, strict=True)
                )
                met |= set(found)
    assert met == set(range(7))


def test_loss_is_infonce_and_the_mean_over_clusterings(tiny_data):
    method = make(tiny_data, negatives=100, warmup=0)
    method.start_epoch(tiny_data)
    method.train()
    images, index, _ = next(tiny_data.train.batches(16))
    method.view = lambda x: x
    logged = method.loss(images, index)
    v, terms = F.normalize(method.queries(images), dim=1), []
    for m, (start, k) in enumerate(((0, 3), (3, 6))):
        c, phi = method.centroids[start : start + k], method.phi[start : start + k]
        logits = v @ c.T / phi
        terms.append(F.cross_entropy(logits, method.cluster[m, index]))
    assert logged["proto"].item() == pytest.approx((sum(terms) / 2).item(), abs=1e-4)
    assert logged["loss"].item() == pytest.approx((logged["infonce"] + logged["proto"]).item(), abs=1e-5)
    before = method.eval().loss(images, index)  # held out: no prototypes
    assert "proto" not in before


def test_an_epoch_begins_with_clusters_of_the_slow_features(tiny_data):
    method = make(tiny_data, warmup=1)
    old = method.centroids.clone()
    method.train()
    method.start_epoch(tiny_data)
    assert torch.equal(method.centroids, old) and method.training
    images, index, _ = next(tiny_data.train.batches(16))
    assert method.loss(images, index)["proto"] == 0
    method.start_epoch(tiny_data)
    assert method.training
    method.eval()
    v = F.normalize(method.keys(tiny_data.train.floats()), dim=1)
    torch.testing.assert_close(method.memory(tiny_data), v)
    for m, (k, c, phi) in enumerate(method.prototypes()):
        torch.testing.assert_close(c.norm(dim=1), torch.ones(k))
        means = torch.stack([v[method.cluster[m] == j].mean(0) for j in range(k)])
        distance = (v - means[method.cluster[m]]).norm(dim=1)
        torch.testing.assert_close(F.normalize(means, dim=1), c, atol=1e-4, rtol=0)
        torch.testing.assert_close(
            concentration(method.cluster[m], distance, k, 10.0, 0.2), phi, atol=1e-4, rtol=1e-3
        )


def test_prototypes_at_random_cost_chance():
    torch.manual_seed(0)
    v, c = F.normalize(torch.randn(500, 64), dim=1), F.normalize(torch.randn(200, 64), dim=1)
    logits = prototype_logits(v, torch.randint(200, (500,)), c, torch.ones(200), 99)
    loss = F.cross_entropy(logits, torch.zeros(500, dtype=torch.long))
    assert loss.item() == pytest.approx(math.log(100), abs=0.05)


def test_resumed_equals_uninterrupted_bit_for_bit(tiny_data, tmp_path):
    recipe = Recipe(**{**SMALL.__dict__, "arguments": {**ARGUMENTS, "warmup": 1}})
    whole = pretrain("pcl", tiny_data, recipe=recipe, device="cpu")

    def stop(run):
        if len(run.history) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain("pcl", tiny_data, recipe=recipe, out=tmp_path, device="cpu", on_epoch=stop)
    again = pretrain("pcl", tiny_data, recipe=recipe, out=tmp_path, device="cpu")
    assert again.history[-1]["loss"] == whole.history[-1]["loss"] and whole.history[0]["proto"] == 0
    for name, value in whole.method.state_dict().items():
        assert torch.equal(value, again.method.state_dict()[name]), name
    assert whole.method.cluster.any() and whole.method.epoch == 3


def test_never_more_clusters_than_images(tiny_data):
    assert make(tiny_data, clusters=[1000]).sizes == [96]
    assert METHODS["pcl"] is PCL


def test_keys_are_normed_in_shuffled_groups(tiny_data):
    """MoCo's own mechanism: other groups than the queries', back in order."""
    method, x = make(tiny_data, rows=4), torch.rand(32, 3, 16, 16)
    seen, inner = [], method.key_encoder.forward
    method.key_encoder.forward = lambda x: seen.append(x) or inner(x)
    torch.manual_seed(1)
    shuffled = method.keys(x)
    order = [int((x == image).flatten(1).all(1).nonzero()) for image in seen[0]]
    assert sorted(order) == list(range(32)) and order != list(range(32))
    plain = make(tiny_data, rows=4, shuffle=False)
    torch.testing.assert_close(shuffled[order], plain.keys(x[order]))
    assert (plain.keys(x) - shuffled).abs().max() > 1e-3
    assert (make(tiny_data).keys(x) - plain.keys(x)).abs().max() > 1e-3  # one group of all
    with pytest.raises(UserError, match="pcl rows=4: a batch of 6"):
        method.loss(x[:6], torch.arange(6))


def test_prototypes_are_compared_in_full_precision():
    torch.manual_seed(0)
    q, c = torch.randn(50, 64), F.normalize(torch.randn(30, 64), dim=1)
    own, phi = torch.randint(30, (50,)), torch.full((30,), 0.02)  # a dense cluster's
    exact = proto_nce(q.double(), own, c.double(), phi.double(), 100)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = proto_nce(q, own, c, phi, 100)
    assert mixed.dtype == torch.float32 and mixed.item() == pytest.approx(exact.item(), abs=1e-4)


def test_a_step_in_mixed_precision_compares_what_the_query_is(tiny_data, monkeypatch):
    method = make(tiny_data, negatives=100, warmup=0)
    method.start_epoch(tiny_data)
    method.phi.fill_(0.02)
    method.train()
    images, index, _ = next(tiny_data.train.batches(16))
    met, contrast = [], method.contrast
    monkeypatch.setattr(method, "contrast", lambda *a: met.append(contrast(*a)) or met[0])
    with torch.autocast("cpu", torch.bfloat16):
        logged = method.loss(images, index)
    q, terms = met[0][0].double(), []
    for own, (_, c, phi) in zip(method.cluster[:, index], method.prototypes(), strict=True):
        logits = F.normalize(q, dim=1) @ c.double().T / phi.double()
        terms.append(F.cross_entropy(logits, own))
    assert logged["proto"].item() == pytest.approx((sum(terms) / 2).item(), abs=1e-4)
