"""k-NN against a hand-computed case, the majority vote and lightly."""

import importlib
import math

import pytest
import torch
from lightly.utils.benchmarking.knn import knn_predict as lightly_knn
from torch import nn
from torch.nn import functional as F

from sslcourse.data.images import ImageSet
from sslcourse.errors import UserError
from sslcourse.evaluate import knn, knn_predict, knn_scores, nearest, neighbours
from sslcourse.evaluate.knn import largest


def at(*degrees):
    return torch.tensor([[math.cos(math.radians(d)), math.sin(math.radians(d))] for d in degrees])


def test_by_hand():
    """A query at 0 degrees, T = .5: one neighbour at 0 against two at 60 degrees (cosine .5)."""
    bank, labels = 3 * at(0, 60, -60, 180), torch.tensor([0, 1, 1, 2])
    scores = knn_scores(at(0), bank, labels, 3, k=3, temperature=0.5)
    expected = torch.tensor([[math.exp(2), 2 * math.exp(1), 0.0]]) / math.exp(2)
    assert torch.allclose(scores, expected, atol=1e-5)
    assert knn_predict(at(0), bank, labels, 3, k=3, temperature=0.5).item() == 0  # e^2 > 2 e
    assert knn_predict(at(0), bank, labels, 3, k=3, temperature=1.0).item() == 1  # e < 2 sqrt(e)
    assert knn_predict(at(0), bank, labels, 3, k=1, temperature=1.0).item() == 0


def random_case(n=300, m=150, d=16, classes=5):
    g = torch.Generator().manual_seed(0)
    return (
        torch.randn(m, d, generator=g),
        torch.randn(n, d, generator=g),
        torch.randint(0, classes, (n,), generator=g),
    )


def test_infinite_temperature_is_a_majority_vote():
    queries, bank, labels = random_case()
    votes = knn_scores(queries, bank, labels, 5, k=7, temperature=math.inf)
    rows = (F.normalize(queries) @ F.normalize(bank).T).argsort(1, descending=True)[:, :7]
    assert torch.equal(votes, F.one_hot(labels[rows], 5).sum(1).float())
    large = knn_scores(queries, bank, labels, 5, k=7, temperature=1e6)
    assert torch.allclose(large, votes, atol=1e-3)


@pytest.mark.parametrize("k, temperature", [(1, 0.07), (20, 0.07), (200, 0.1)])
def test_equals_lightly(k, temperature):
    queries, bank, labels = random_case()
    theirs = lightly_knn(F.normalize(queries), F.normalize(bank).T, labels, 5, k, temperature)[:, 0]
    assert torch.equal(knn_predict(queries, bank, labels, 5, k=k, temperature=temperature), theirs)


def test_small_temperatures_do_not_overflow_and_large_k_is_cut():
    queries, bank, labels = random_case(n=12)
    scores = knn_scores(queries, bank, labels, 5, k=50, temperature=1e-4)
    assert scores.isfinite().all()
    assert torch.equal(scores.argmax(1), labels[nearest(queries, bank, 1)[1][:, 0]])


def test_chunks_do_not_matter(monkeypatch):
    queries, bank, labels = random_case()
    whole = knn_scores(queries, bank, labels, 5)
    monkeypatch.setattr(importlib.import_module("sslcourse.evaluate.knn"), "CHUNK", 1000)
    assert torch.allclose(knn_scores(queries, bank, labels, 5), whole, atol=1e-5)


@pytest.mark.parametrize("n, k", [(1003, 1), (1003, 30), (1003, 62), (1000, 500), (5, 5)])
def test_largest_is_topk(n, k):
    values = torch.randn(7, n, generator=torch.Generator().manual_seed(n))
    found, columns = largest(values, k)
    assert torch.equal(found, values.topk(k).values) and torch.equal(values.gather(1, columns), found)


def test_protocol(tiny_data):
    score = knn(nn.Flatten(), tiny_data, k=5)
    assert score.value > 0.9 and score.n_train == 96 and score.n_test == 32 and score.metric == "top-1"
    assert score.details == {"k": 5, "temperature": 0.07} and score.data == "tiny"
    with pytest.raises(UserError, match="1 or more"):
        knn(nn.Flatten(), tiny_data, k=0)
    with pytest.raises(UserError, match="above 0"):
        knn(nn.Flatten(), tiny_data, temperature=0.0)


def test_neighbours_of_rows_images_and_sets(tiny_data):
    rows, similarity = neighbours(nn.Flatten(), tiny_data, [3, 5], k=4)
    assert rows.shape == similarity.shape == (2, 4) and (similarity.diff(dim=1) <= 0).all()
    assert (tiny_data.train.labels[rows] == tiny_data.test.labels[[3, 5]][:, None]).float().mean() > 0.7
    for queries in (tiny_data.test[[3, 5]], tiny_data.test.floats([3, 5]), tiny_data.test.images[[3, 5]]):
        assert torch.equal(neighbours(nn.Flatten(), tiny_data, queries, k=4)[0], rows)
    assert torch.equal(
        neighbours(nn.Flatten(), tiny_data.train, torch.tensor([7, 9]), k=1)[0], torch.tensor([[7], [9]])
    )
    unlabelled = ImageSet(tiny_data.train.images)
    assert neighbours(nn.Flatten(), unlabelled, [0], k=2)[0][0, 0] == 0
