import pytest
import torch
from torch import nn

from sslcourse import nets
from sslcourse.methods.parts.multicrop import across_crops, encode_crops


def test_every_crop_is_compared_with_every_target_but_its_own():
    P, log_Q = torch.rand(2, 5, 7, dtype=torch.float64), torch.randn(4, 5, 7, dtype=torch.float64)
    pairs = [
        -sum(float(P[u, b, k] * log_Q[v, b, k]) for k in range(7))
        for u in range(2) for v in range(4) for b in range(5) if u != v
    ]  # fmt: skip
    assert len(pairs) == 2 * 3 * 5
    assert across_crops(P, log_Q).item() == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)


def test_crops_of_one_size_are_one_batch():
    encoder = nets.encoder("small", 16, width=4)
    crops = [torch.rand(3, 3, size, size) for size in (16, 16, 8, 8, 8)]
    f = encode_crops(encoder, crops)
    assert f.shape == (15, encoder.dim)
    norm = next(m for m in encoder.modules() if isinstance(m, nn.BatchNorm2d))
    assert norm.num_batches_tracked == 2
    torch.testing.assert_close(f[:6], encoder(torch.cat(crops[:2])))
    torch.testing.assert_close(f[6:], encoder(torch.cat(crops[2:])))
    assert torch.equal(encode_crops(encoder, crops[:2]), f[:6])
