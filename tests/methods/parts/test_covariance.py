import numpy as np
import torch

from sslcourse.methods.parts.covariance import centred, covariance, off_diagonal


def test_covariance_is_numpys():
    x, y = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 3
    for correction in (0, 1):
        both = np.cov(x.T.numpy(), y.T.numpy(), ddof=correction)  # (8, 8): x's dimensions, then y's
        found = covariance(centred(x), centred(y), correction)
        np.testing.assert_allclose(found.numpy(), both[:4, 4:], atol=1e-12)


def test_off_diagonal_is_all_but_the_diagonal():
    c = torch.arange(9.0).view(3, 3) + 1  # (9,) -> (3, 3)
    assert off_diagonal(c).tolist() == [[0, 2, 3], [4, 0, 6], [7, 8, 0]]
