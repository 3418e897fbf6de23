"""CutMix: a box of one image pasted over another (Yun et al. 2019, 1905.04899)."""

import torch
from torch import Tensor

from sslcourse.views.distort import square
from sslcourse.views.view import coins, uniform


@torch.no_grad()
def cutmix(
    images: Tensor, others: Tensor, p: float = 1.0, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Images (B, 3, H, W), each with a box of its other one in place of its own, and the share (B,) it keeps.

    The box has the image's shape and 1 - lambda of its area, lambda uniform in [0, 1]; its centre is anywhere in the
    image, and what hangs over is cut off: the share returned is what is left. With probability 1 - p nothing is done.
    """
    lam = uniform((len(images),), 0.0, 1.0, images, generator)
    centre = uniform((len(images), 2), 0.0, 1.0, images, generator)
    box = square(images, centre, (1 - lam).sqrt()) & coins(p, images, generator)  # (B, 1, H, W)
    return torch.where(box, others, images), 1 - box.to(images.dtype).mean((1, 2, 3))
