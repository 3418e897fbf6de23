import lightly.loss.swav_loss
import pytest
import torch
from torch.nn import functional as F

from sslcourse.methods.parts.sinkhorn import Prototypes, sinkhorn


def cosines(n: int = 60, k: int = 12, dim: int = 8) -> torch.Tensor:
    z, c = torch.randn(n, dim, dtype=torch.float64), torch.randn(k, dim, dtype=torch.float64)
    return F.normalize(z, dim=1) @ F.normalize(c, dim=1).T


def test_after_three_turns_each_sample_has_one_prototype_and_each_prototype_its_share():
    Q = sinkhorn(cosines(), eps=0.5)
    assert (Q >= 0).all()
    torch.testing.assert_close(Q.sum(1), torch.ones(60, dtype=torch.float64))
    torch.testing.assert_close(
        Q.sum(0) / 60, torch.full((12,), 1 / 12, dtype=torch.float64), atol=1e-3, rtol=0
    )
    uneven = cosines()
    uneven[:, 0] += 1  # the favourite of all
    shares = [sinkhorn(uneven, eps=0.1, iterations=i).sum(0) for i in (1, 3, 100)]
    assert [float((s - 5).abs().max()) for s in shares] == sorted(
        [float((s - 5).abs().max()) for s in shares], reverse=True
    )
    torch.testing.assert_close(shares[-1], torch.full((12,), 5.0, dtype=torch.float64), atol=1e-3, rtol=0)


def test_it_is_the_formula():
    S = cosines(7, 4)
    Q = (S / 0.3).exp().T  # (K, N)
    for _ in range(3):
        for k in range(4):
            Q[k] /= Q[k].sum() * 4
        for n in range(7):
            Q[:, n] /= Q[:, n].sum() * 7
    torch.testing.assert_close(sinkhorn(S, eps=0.3), 7 * Q.T, atol=1e-12, rtol=0)
    theirs = lightly.loss.swav_loss.sinkhorn(S.float(), epsilon=0.3)
    torch.testing.assert_close(sinkhorn(S.float(), eps=0.3), theirs, atol=1e-6, rtol=1e-5)


def test_the_order_of_samples_and_of_prototypes_does_not_matter():
    S, rows, columns = cosines(), torch.randperm(60), torch.randperm(12)
    torch.testing.assert_close(sinkhorn(S[rows][:, columns]), sinkhorn(S)[rows][:, columns])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_score_is_too_large_or_too_small(dtype):
    S = cosines().to(dtype)
    Q = sinkhorn(S, eps=1e-3)
    assert Q.dtype == torch.float32 and torch.isfinite(Q).all()
    torch.testing.assert_close(Q.sum(1), torch.ones(60))
    torch.testing.assert_close(sinkhorn(S.float() + 64), sinkhorn(S.float()), atol=1e-3, rtol=0)


def test_codes_carry_no_gradient():
    assert not sinkhorn(cosines().requires_grad_()).requires_grad


def test_prototypes_are_unit_vectors_after_every_step():
    c = Prototypes(8, 5)
    torch.testing.assert_close(c.weight.norm(dim=1), torch.ones(5))
    z = torch.randn(2, 3, 8)
    S = c(z)
    torch.testing.assert_close(S[1, 2, 4], F.cosine_similarity(z[1, 2], c.weight[4], dim=0))
    S.square().sum().backward()
    with torch.no_grad():
        c.weight -= 0.5 * c.weight.grad
    assert (c.weight.norm(dim=1) - 1).abs().max() > 0.05
    c.normalise()
    torch.testing.assert_close(c.weight.norm(dim=1), torch.ones(5))
