import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from sslcourse import nets
from sslcourse.errors import UserError
from sslcourse.methods import CMC
from sslcourse.nets.channels import seen
from sslcourse.views.colour import rgb_to_ycbcr


def make(**arguments):
    torch.manual_seed(0)
    method = CMC(
        nets.encoder("small", 16, width=8), **{"images": 30, "negatives": 5, "dim": 6, **arguments}
    ).double()
    method.view = lambda images: images
    return method


def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(4, 3, 16, 16, generator=generator, dtype=torch.float64), torch.tensor([3, 29, 0, 11])


def test_loss_is_the_formula_both_ways():
    method, (images, index) = make().eval(), batch()
    drawn = torch.tensor([1, 8, 3, 20, 8])
    method.banks[0].draw = lambda count: drawn
    n, m, tau = 30, 5, 0.07
    L, ab = (
        F.normalize(head(part(images)), dim=1).detach()
        for head, part in zip(method.heads, method.encoder.parts, strict=True)
    )
    total = 0.0
    for z, bank in ((L, method.banks[1].rows), (ab, method.banks[0].rows)):
        e = [[math.exp(z[i] @ bank[k] / tau) for k in (index[i], *drawn)] for i in range(4)]
        Z = n * sum(sum(row) for row in e) / (4 * (m + 1))
        for row in e:
            h = [x / Z / (x / Z + m / n) for x in row]
            total -= (math.log(h[0]) + sum(math.log(1 - x) for x in h[1:])) / 4
    assert method.loss(images, index)["loss"].item() == pytest.approx(total, rel=1e-9)


def test_the_normaliser_is_that_of_the_first_batch_for_ever():
    method, (images, index) = make(), batch()
    assert torch.equal(method.Z, torch.zeros(2).double())
    method.loss(images, index)
    first = method.Z.clone()
    assert (first > 0).all() and first[0] != first[1]
    method.loss(images.flip(0), index)
    assert torch.equal(method.Z, first)
    again = make()
    again.load_state_dict(method.state_dict())
    assert torch.equal(again.Z, first)


def test_chance_is_log_of_the_negatives_and_one():
    scores = torch.full((3, 201), 4.0).double()
    chance = math.log(201) + 200 * math.log1p(1 / 200)
    torch.testing.assert_close(make(negatives=200).nce(scores, 0), torch.full((3,), chance).double())
    method = make(negatives=200, temperature=2.0)
    images, index = batch()
    assert method.loss(images, index)["loss"].item() == pytest.approx(2 * chance, abs=0.5)


def test_each_bank_remembers_its_own_half():
    method, (images, index) = make(momentum=0.25), batch()
    before = [bank.rows.clone() for bank in method.banks]
    method.loss(images, index)
    assert all(torch.equal(bank.rows, rows) for bank, rows in zip(method.banks, before, strict=True))
    z = method.seen[0][1]
    method.after_step()
    for bank, rows, own in zip(method.banks, before, z, strict=True):
        rows[index] = F.normalize(0.25 * rows[index] + 0.75 * own, dim=1)
        torch.testing.assert_close(bank.rows, rows)
    assert not method.seen


@pytest.mark.parametrize(("space", "channels"), [("lab", ["L", "ab"]), ("ycbcr", ["Y", "CbCr"])])
def test_halves_of_half_the_width_are_kept_side_by_side(space, channels):
    method = make(space=space)
    assert [part.channels for part in method.kept.parts] == channels
    assert method.kept.dim == nets.encoder("small", 16, width=8).dim
    images, index = batch()
    method.loss(images, index)["loss"].backward()
    assert all(p.grad is not None for p in method.parameters())
    with pytest.raises(UserError, match="no space 'hsv'"):
        make(space="hsv")


def test_ycbcr_is_that_of_jpeg_and_tells_light_from_colour():
    pixels = torch.randint(0, 256, (1, 3, 8, 8), generator=torch.Generator().manual_seed(0)).byte()
    theirs = np.asarray(Image.fromarray(pixels[0].permute(1, 2, 0).numpy()).convert("YCbCr")) / 255
    ours = rgb_to_ycbcr(pixels / 255)[0].permute(1, 2, 0)
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1.1 / 255)
    grey = torch.rand(2, 1, 8, 8).expand(-1, 3, -1, -1)
    torch.testing.assert_close(seen(grey, "CbCr"), torch.full_like(grey, 0.5), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen(grey, "Y"), grey.contiguous(), atol=1e-3, rtol=0)
