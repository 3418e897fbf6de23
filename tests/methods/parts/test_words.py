"""Bags of words: hard assignment against double loops, and how many words are in use."""

import math

import pytest
import torch
from torch.nn import functional as F

from sslcourse.methods.parts.words import (
    OnlineVocabulary,
    counted_bag,
    entropy,
    local_features,
    perplexity,
    without_border,
)


def test_places_are_row_major():
    x = torch.arange(2 * 3 * 2 * 4).view(2, 3, 2, 4)
    assert local_features(x)[1, 5].tolist() == x[1, :, 1, 1].tolist()
    tokens = torch.rand(2, 8, 3)
    assert local_features(tokens) is tokens


@pytest.mark.parametrize("binary", [False, True])
def test_a_bag_counts_the_nearest_word_of_every_place(binary):
    torch.manual_seed(1)
    u, v = torch.randn(4, 9, 5, dtype=torch.float64), torch.randn(6, 5, dtype=torch.float64)
    bags = counted_bag(u, v, binary)
    for b in range(4):
        counts = [0] * 6
        for place in u[b]:
            distances = [float((place - word).square().sum()) for word in v]
            counts[distances.index(min(distances))] += 1
        counts = [min(c, 1) for c in counts] if binary else counts
        assert bags[b].tolist() == pytest.approx([c / sum(counts) for c in counts], abs=1e-12)


def test_the_order_of_places_and_words_does_not_matter():
    u, v = torch.randn(3, 7, 4), torch.randn(5, 4)
    bags, order = counted_bag(u, v), torch.randperm(5)
    torch.testing.assert_close(counted_bag(u[:, torch.randperm(7)], v), bags)
    torch.testing.assert_close(counted_bag(u, v[order]), bags[:, order])
    torch.testing.assert_close(bags.sum(1), torch.ones(3))


def test_half_precision_is_counted_in_full():
    u, v = torch.randn(2, 300, 4).bfloat16(), torch.randn(3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        bags = counted_bag(u, v)
    assert bags.dtype == torch.float32
    torch.testing.assert_close(bags, counted_bag(u.float(), v))


def test_perplexity_is_the_number_of_words_in_use():
    bags = F.one_hot(torch.tensor([0, 3, 3, 0]), 8).float()
    assert perplexity(bags).item() == pytest.approx(2)
    assert perplexity(torch.full((2, 8), 1 / 8)).item() == pytest.approx(8, rel=1e-6)
    assert entropy(bags).item() == 0
    assert entropy(torch.full((2, 8), 1 / 8)).item() == pytest.approx(math.log(8), rel=1e-6)


def online(words: int = 6, dim: int = 4, mu: float = 2.0) -> OnlineVocabulary:
    vocabulary = OnlineVocabulary(words, dim, inv_delta=3.0).double()
    vocabulary.mu.fill_(mu)
    return vocabulary


def test_a_soft_bag_is_that_of_double_loops_and_mu_moves_before_its_use():
    vocabulary, x = online(), torch.randn(3, 4, 2, 3, dtype=torch.float64)
    distances = torch.zeros(3, 6, 6, dtype=torch.float64)
    for b in range(3):
        for u in range(6):
            for k in range(6):
                distances[b, u, k] = (x[b, :, u // 3, u % 3] - vocabulary.words[k]).square().sum()
    for training, mu in ((False, 2.0), (True, 0.99 * 2 + 0.01 * distances.min(2).values.mean().item())):
        y = vocabulary.train(training).bag(x)
        assert vocabulary.mu.item() == pytest.approx(mu, abs=1e-12)
        for b in range(3):
            most = [0.0] * 6
            for u in range(6):
                powers = [math.exp(-3.0 / mu * d) for d in distances[b, u].tolist()]
                most = [max(m, p / sum(powers)) for m, p in zip(most, powers, strict=True)]
            assert y[b].tolist() == pytest.approx([m / sum(most) for m in most], abs=1e-9)


def test_a_soft_bag_sums_to_one_whatever_the_order_of_words_and_places():
    vocabulary, x, order = online().eval(), torch.randn(3, 4, 2, 3, dtype=torch.float64), torch.randperm(6)
    y = vocabulary.bag(x)
    torch.testing.assert_close(y.sum(1), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(vocabulary.bag(x.flip(2, 3)), y)
    vocabulary.queue.keys.copy_(vocabulary.words[order])
    torch.testing.assert_close(vocabulary.bag(x), y[:, order])


def test_the_temperature_is_relative():
    """Features and words five times as long, with mu 25 times as large, name the same words."""
    vocabulary, x = online().eval(), torch.randn(3, 4, 2, 3, dtype=torch.float64)
    y = vocabulary.bag(x)
    vocabulary.queue.keys.mul_(5)
    vocabulary.mu.mul_(25)
    torch.testing.assert_close(vocabulary.bag(5 * x), y)


def test_a_border_is_left_out_where_room_for_means_remains():
    for side, left in ((1, 1), (2, 2), (4, 4), (5, 3), (7, 5), (14, 12)):
        x = torch.rand(2, 3, side, side)
        assert without_border(x).shape == (2, 3, left, left)
    assert torch.equal(without_border(x), x[:, :, 1:13, 1:13])


@pytest.mark.parametrize("side", [1, 2, 4, 6])
def test_a_new_word_is_the_mean_of_a_place_and_its_neighbours(side):
    x = torch.rand(400, 3, side, side)
    inner, drawn = without_border(x), OnlineVocabulary(5, 3, 10.0).draw(x)
    reach, found = min(3, inner.shape[2]), set()
    for b in range(400):
        means = {
            (i, j): inner[b, :, i : i + reach, j : j + reach].mean((1, 2))
            for i in range(inner.shape[2] - reach + 1)
            for j in range(inner.shape[3] - reach + 1)
        }
        near = [place for place, mean in means.items() if torch.allclose(mean, drawn[b], atol=1e-6)]
        assert near
        found.add(near[0])
    assert found == set(means)  # all places are reached


def test_new_words_push_out_the_oldest_and_stay_raw():
    vocabulary, words = OnlineVocabulary(5, 3, 10.0), 7 * torch.rand(7, 3)
    assert (vocabulary.words >= 0).all() and vocabulary.mu == 0.5
    vocabulary.push(words[:4])
    vocabulary.push(words[4:])
    assert torch.equal(vocabulary.words, words[[5, 6, 2, 3, 4]])
    assert set(vocabulary.state_dict()) == {"mu", "queue.keys", "queue.pointer"}
