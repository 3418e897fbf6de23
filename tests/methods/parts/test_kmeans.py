import math

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from sslcourse.errors import UserError
from sslcourse.methods.parts.kmeans import concentration, kmeans, nearest


def blobs(n=600, k=8, dim=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centres = 6 * torch.randn(k, dim, generator=generator)
    return centres[torch.arange(n) % k] + torch.randn(n, dim, generator=generator)


@pytest.mark.parametrize("k", [1, 8, 40])
def test_inertia_is_sklearns_from_the_same_start(k):
    x = blobs()
    start = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(3))[:k]]
    theirs = KMeans(k, init=start.numpy(), n_init=1, max_iter=15, tol=0, algorithm="lloyd").fit(x.numpy())
    centroids, place, distance = kmeans(x, k, iterations=15, start=start)
    assert distance.square().sum().item() == pytest.approx(theirs.inertia_, rel=1e-3)
    assert (place.numpy() == theirs.labels_).mean() > 0.99
    assert distance.square().sum().item() <= nearest(x, start)[1].square().sum().item()
    torch.testing.assert_close(distance, (x - centroids[place]).norm(dim=1))


def test_a_random_start_is_about_as_good_as_sklearns_best_of_ten():
    x = blobs(k=5)
    best = KMeans(25, n_init=10, random_state=0).fit(x.numpy()).inertia_
    assert kmeans(x, 25)[2].square().sum().item() < 1.15 * best


def test_the_seed_decides():
    x = blobs()
    assert torch.equal(kmeans(x, 10, seed=4)[0], kmeans(x, 10, seed=4)[0])
    assert not torch.equal(kmeans(x, 10, seed=4)[0], kmeans(x, 10, seed=5)[0])


def test_empty_clusters_begin_again_where_the_error_is_largest():
    x = torch.tensor([[0.0], [0.1], [0.2], [10.0], [10.1], [50.0]])
    start = torch.tensor([[0.1], [1e6], [2e6]])  # two that nothing is near to
    centroids, place, _ = kmeans(x, 3, iterations=1, start=start)
    assert centroids[1:].flatten().tolist() == [50.0, pytest.approx(10.1)]
    centroids, place, _ = kmeans(x, 3, iterations=5, start=start)
    assert place.tolist() == [0, 0, 0, 2, 2, 1]
    assert torch.bincount(kmeans(blobs(), 60)[1], minlength=60).min() > 0


def test_chunks_change_nothing(monkeypatch):
    x = blobs()
    whole = kmeans(x, 7)
    monkeypatch.setattr("sslcourse.methods.parts.kmeans.CHUNK", 7 * 13)
    torch.testing.assert_close(kmeans(x, 7), whole)


def test_too_many_clusters_are_refused():
    with pytest.raises(UserError, match="use 1 to 600"):
        kmeans(blobs(), 601)


def test_concentration_is_the_formula_with_all_its_details():
    place = torch.tensor([0] * 6 + [1] * 3 + [2] + [3] * 2)  # cluster 2 has one row, cluster 4 none
    distance = torch.rand(len(place), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    phi = np.zeros(5)
    for j in range(5):
        d = distance[place == j].numpy()
        if len(d) > 1:
            phi[j] = d.sum() / (len(d) * math.log(len(d) + 10))
    for j in (2, 4):
        phi[j] = phi.max()
    phi = phi.clip(np.percentile(phi, 10), np.percentile(phi, 90))
    phi = 0.2 * phi / phi.mean()
    ours = concentration(place, distance, 5, 10.0, 0.2)
    np.testing.assert_allclose(ours.numpy(), phi, rtol=1e-9)


def test_concentration_of_singletons_is_the_temperature():
    ours = concentration(torch.arange(4), torch.zeros(4), 4, 10.0, 0.2)
    torch.testing.assert_close(ours, torch.full((4,), 0.2))
