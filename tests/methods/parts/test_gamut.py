import math

import pytest
import torch

from sslcourse.methods.parts.gamut import Gamut, rebalancing
from sslcourse.views import rgb_to_lab


@pytest.fixture(scope="module")
def gamut():
    return Gamut(step=10)


def colours(n=64, seed=0):
    """ab of random colours: (1, 2, n, 1)"""
    return rgb_to_lab(torch.rand(1, 3, n, 1, generator=torch.Generator().manual_seed(seed)))[:, 1:]


def test_bins_are_as_many_as_the_papers(gamut):
    assert 300 <= len(gamut) <= 330 and len(gamut) == 306  # the paper: 313
    assert len(Gamut(step=20)) == 99
    assert torch.equal(gamut.centres, gamut.centres.unique(dim=0)) and (gamut.centres % 10 == 0).all()
    assert gamut.centres.amin(0).tolist() == [-90, -110] and gamut.centres.amax(0).tolist() == [100, 100]


def test_every_colour_lies_within_its_cell(gamut):
    ab = colours(2000)
    centre = gamut.centres[gamut.nearest(ab)[0, :, 0]]  # (n, 2)
    assert (
        centre - ab[0, :, :, 0].T
    ).abs().max() <= 5 + 1e-4  # half a step: no edge of the gamut is left out


def test_soft_code_is_the_gaussian_of_the_nearest(gamut):
    ab = colours(20)
    for K in (5, 10):
        index, weight = gamut.soft_encode(ab, K, sigma=5)
        assert index.shape == weight.shape == (1, K, 20, 1)
        for i, (a, b) in enumerate(ab[0, :, :, 0].T.tolist()):
            d = {q: math.dist((a, b), c) for q, c in enumerate(gamut.centres.tolist())}
            nearest = sorted(d, key=d.get)[:K]
            w = [math.exp(-(d[q] ** 2) / 50) for q in nearest]
            assert index[0, 0, i, 0] == nearest[0]
            assert set(index[0, :, i, 0].tolist()) == set(nearest)
            torch.testing.assert_close(weight[0, :, i, 0], torch.tensor(w) / sum(w), atol=1e-4, rtol=0)


def test_nearest_is_first_of_the_soft_code_and_knows_its_own_centres(gamut):
    ab = colours()
    assert torch.equal(gamut.nearest(ab), gamut.soft_encode(ab)[0][:, 0])
    assert torch.equal(gamut.nearest(gamut.centres.T[None, :, :, None])[0, :, 0], torch.arange(306))


def test_annealed_mean_lies_between_mean_and_mode(gamut):
    logits = torch.randn(2, 306, 3, 4, generator=torch.Generator().manual_seed(0)) * 3
    p = logits.double().softmax(1)
    for T in (1.0, 0.38):
        annealed = p ** (1 / T) / (p ** (1 / T)).sum(1, keepdim=True)  # T applies to log p
        expected = torch.stack([(annealed * c[:, None, None]).sum(1) for c in gamut.centres.T], 1)
        torch.testing.assert_close(gamut.annealed_mean(logits, T).double(), expected, atol=1e-3, rtol=0)
    mode = gamut.centres[p.argmax(1)].movedim(3, 1)
    assert torch.equal(gamut.annealed_mean(logits, 0), mode)
    torch.testing.assert_close(gamut.annealed_mean(logits, 1e-3), mode, atol=1e-2, rtol=0)


def test_rebalancing_by_hand():
    p = torch.tensor([0.7, 0.2, 0.1, 0.0])
    w = rebalancing(p, lam=0.5)
    raw = [1 / (0.5 * x + 0.125) for x in p.tolist()]
    scale = sum(x * r for x, r in zip(p.tolist(), raw, strict=True))
    torch.testing.assert_close(w, torch.tensor(raw) / scale)
    assert (p * w).sum().item() == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(rebalancing(p, lam=1.0), torch.ones(4))
    even = rebalancing(p[:3], lam=0.0)
    torch.testing.assert_close(p[:3] * even, torch.full((3,), 1 / 3))


def test_smoothing_spreads_a_bin_over_its_neighbours(gamut):
    grey = int(gamut.nearest(torch.zeros(1, 2, 1, 1)))
    p = gamut.smooth(torch.eye(306)[grey], sigma=5)
    assert p.sum().item() == pytest.approx(1, abs=1e-5) and p.argmax() == grey
    beside = int(gamut.nearest(torch.tensor([10.0, 0.0]).view(1, 2, 1, 1)))
    assert (p[beside] / p[grey]).item() == pytest.approx(math.exp(-100 / 50), rel=1e-3)
