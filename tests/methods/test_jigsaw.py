import itertools
import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from sslcourse import nets
from sslcourse.methods import Jigsaw
from sslcourse.methods.pretext.jigsaw import every_permutation, permutation_set


def make(**arguments):
    torch.manual_seed(0)
    small = {"permutations": 10, "tower": 8, "hidden": 16, **arguments}
    return Jigsaw(nets.encoder("small", 32, width=4, stem_stride=2), **small)


def mean_distance(orders) -> float:
    """The mean Hamming distance over all pairs, in places."""
    return pdist(np.asarray(orders), "hamming").mean() * orders.shape[1]


@pytest.mark.parametrize("pieces", [1, 4, 6])
def test_every_permutation_is_there_once(pieces):
    ours = sorted(map(tuple, every_permutation(pieces).tolist()))
    assert ours == sorted(itertools.permutations(range(pieces)))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_each_choice_is_as_far_as_any_could_be(seed):
    """Brute force over all 24 orders of 4 pieces, at every step of the greedy choice."""
    chosen = permutation_set(24, 4, seed).tolist()
    assert len({tuple(p) for p in chosen}) == 24
    for step in range(1, 24):
        sums = {
            p: sum(sum(a != b for a, b in zip(p, q, strict=True)) for q in chosen[:step])
            for p in itertools.permutations(range(4))
            if list(p) not in chosen[:step]
        }
        assert sums[tuple(chosen[step])] == max(sums.values())


def test_nine_pieces_are_far_apart():
    orders = permutation_set(100, 9)
    assert orders.shape == (100, 9) and len(orders.unique(dim=0)) == 100
    assert torch.equal(orders.sort(1).values, torch.arange(9).expand(100, 9))
    assert mean_distance(orders[:9]) == 9  # as long as it lasts, no two share a place
    generator = torch.Generator().manual_seed(0)
    random = torch.stack([torch.randperm(9, generator=generator) for _ in range(100)])
    assert mean_distance(orders) > 8.05 > mean_distance(random) + 0.02
    assert torch.equal(orders[:20], permutation_set(20, 9))
    assert not torch.equal(orders[0], permutation_set(1, 9, seed=1)[0])


def test_chance_is_the_log_of_the_number_of_orders():
    method = make(permutations=24)
    torch.nn.init.zeros_(method.fc7[-1].weight)
    torch.nn.init.zeros_(method.fc7[-1].bias)
    loss = method.loss(torch.rand(4, 3, 32, 32))["loss"].item()
    assert loss == pytest.approx(math.log(24), abs=1e-5)
    assert make(permutations=24).loss(torch.rand(8, 3, 32, 32))["loss"].item() < math.log(24) + 0.6


def test_slot_j_shows_the_tile_that_the_named_order_puts_there(monkeypatch):
    """Shuffling features names the same puzzle as shuffling tiles: a rule that reads tiles finds every order."""
    method = make(puzzles=3, channels=0, grey=0.0, normalise=False)
    image = torch.zeros(3, 30, 30)
    for j in range(9):
        image[:, j // 3 * 10 : j // 3 * 10 + 10, j % 3 * 10 : j % 3 * 10 + 10] = j / 10

    def rule(slots):  # (puzzles, 9): what each slot shows
        shown = (slots * 10).round().long()
        return (shown[:, None] == method.orders).all(2).float() * 20

    monkeypatch.setattr(method, "features_of", lambda t: t.mean((2, 3, 4))[:, :, None])
    monkeypatch.setattr(method.fc7, "forward", rule)
    assert method.loss(image.expand(8, 3, 30, 30))["accuracy"] == 1


def test_shuffled_features_are_the_features_of_shuffled_tiles():
    method = make().eval()
    t, order = torch.rand(2, 9, 3, 8, 8), permutation_set(1, 9, seed=5)[0]
    torch.testing.assert_close(method.features_of(t[:, order]), method.features_of(t)[:, order])
    logits = method.fc7(method.features_of(t)[:, order].flatten(1))
    torch.testing.assert_close(method.logits(t[:, order]), logits)


def test_puzzles_of_an_image_differ(monkeypatch):
    method, drawn = make(permutations=10, puzzles=5), []
    randint = torch.randint
    monkeypatch.setattr(torch, "randint", lambda *a, **k: drawn.append(randint(*a, **k)) or drawn[-1])
    method.loss(torch.rand(16, 3, 32, 32))
    assert drawn[0].shape == (16, 5) and len(drawn[0].unique()) == 10
    assert (drawn[0] != drawn[0][:, :1]).any(1).float().mean() > 0.9


@pytest.mark.parametrize("size, expected", [(255, (85, 64)), (96, (32, 24)), (64, (21, 16)), (32, (10, 8))])
def test_sizes_follow_the_papers_code(size, expected):
    assert make().geometry(size) == expected
    assert make(cell=10, tile=10).geometry(size) == (10, 10)  # no gap, where that is wanted


def test_tiles_are_normalised_each_by_itself():
    t = torch.rand(2, 9, 3, 8, 8)
    changed = t * torch.rand(2, 9, 3, 1, 1).add(0.5) + torch.rand(2, 9, 3, 1, 1)
    torch.testing.assert_close(
        make().eval().features_of(t), make().eval().features_of(changed), atol=1e-4, rtol=0
    )
    assert not torch.allclose(
        make(normalise=False).eval().features_of(t),
        make(normalise=False).eval().features_of(changed),
        atol=1e-2,
    )


def test_the_orders_are_saved_with_the_method():
    first, second = make(seed=0), make(seed=1)
    assert not torch.equal(first.orders, second.orders)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.orders, second.orders)


@pytest.mark.parametrize("name", ["small", "resnet18"])
def test_a_normalised_tile_has_mean_0_and_deviation_1_to_the_encoder(name, monkeypatch):
    torch.manual_seed(0)
    method = Jigsaw(nets.encoder(name, 32), permutations=10, tower=8, hidden=16)
    seen = []
    monkeypatch.setattr(
        method.encoder, "forward", lambda x: seen.append(x) or x.new_zeros(len(x), method.encoder.dim)
    )
    method.features_of(torch.rand(2, 9, 3, 8, 8))
    x = method.encoder.normalise(seen[0])
    torch.testing.assert_close(x.mean((2, 3)), torch.zeros(18, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.square().mean((2, 3)), torch.ones(18, 3), atol=1e-4, rtol=0)
