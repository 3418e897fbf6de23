"""Bags of words: hard assignment against double loops, and how many words are in use."""

import math

import pytest
import torch
from torch.nn import functional as F

from sslcourse.methods.parts.words import counted_bag, entropy, local_features, perplexity


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
