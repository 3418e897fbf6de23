"""CutMix: what is pasted, and the share that stays."""

import pytest
import torch

from sslcourse.views import cutmix


def test_a_box_of_the_other_image_is_pasted_and_the_rest_stays():
    images, others = torch.zeros(200, 3, 16, 24), torch.ones(200, 3, 16, 24)
    mixed, share = cutmix(images, others)
    pasted = mixed[:, 0] == 1
    assert torch.equal(mixed, pasted[:, None].expand(-1, 3, -1, -1).float()) and not images.any()
    torch.testing.assert_close(share, 1 - pasted.float().mean((1, 2)))
    for mask in pasted[:20]:  # a box: each row that has any has the same columns
        rows = mask[mask.any(1)]
        assert (rows == rows[:1]).all() and (mask.any(1).int().diff().abs().sum() <= 2)
    assert len(share.unique()) > 50  # each image its own


def test_its_place_and_size_are_uniform(generator):
    n = 4000
    mixed, share = cutmix(torch.zeros(n, 3, 32, 32), torch.ones(n, 3, 32, 32), generator=generator)
    often = mixed[:, 0].mean(0)
    torch.testing.assert_close(often, often.flip(0), atol=0.04, rtol=0)
    torch.testing.assert_close(often, often.T, atol=0.04, rtol=0)
    # of a box of area a whose centre is anywhere, (1 - sqrt(a) / 4)^2 of it stay inside: 1 - int a (1 - sqrt(a) / 4)^2 da
    assert share.mean().item() == pytest.approx(1 - (1 / 2 - 1 / 5 + 1 / 48), abs=0.02)


def test_with_probability_p(generator):
    images, others = torch.zeros(2000, 3, 8, 8), torch.ones(2000, 3, 8, 8)
    assert torch.equal(cutmix(images, others, 0.0)[0], images)
    touched = (cutmix(images, others, 0.3, generator)[1] < 1).float().mean().item()
    assert touched == pytest.approx(0.3, abs=0.04)
