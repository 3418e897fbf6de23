"""What a real lens leaks: colours that are magnified differently, and corners that are darker."""

import torch
import torch.nn.functional as F
from torch import Tensor

from sslcourse.errors import UserError
from sslcourse.views.view import View, constant, uniform

Strength = float | tuple[float, float]


class Lens(View):
    """Lateral chromatic aberration and vignetting; each strength is a number, or a range drawn from for every
    image.

    aberration: red is magnified by 1 + aberration about the image's centre, blue by 1 - aberration, green not;
    a patch's colour fringes then tell where in the image it was (Doersch, Gupta & Efros 2015).
    vignetting: brightness falls as cos^4 of the angle from the axis; the corners keep the share 1 -
    vignetting.
    Zero leaves the images as they are, bit for bit.
    """

    def __init__(self, aberration: Strength = 0.01, vignetting: Strength = 0.0):
        self.aberration, self.vignetting = as_range(aberration), as_range(vignetting)
        if max(map(abs, self.aberration)) >= 0.5:
            raise UserError(f"Lens aberration {aberration} is out of range: use -0.5 to 0.5 (a lens: 0.002)")
        if min(self.vignetting) < 0 or max(self.vignetting) >= 1:
            raise UserError(f"Lens vignetting {vignetting} is out of range: use 0 (none) to less than 1")

    def draw(self, images: Tensor, generator: torch.Generator | None) -> tuple:
        return tuple(
            uniform((len(images),), *strength, images, generator)
            if strength[0] < strength[1]
            else torch.full((len(images),), strength[0], device=images.device, dtype=images.dtype)
            for strength in (self.aberration, self.vignetting)
        )

    def apply(self, images: Tensor, aberration: Tensor, vignetting: Tensor) -> Tensor:
        if any(self.aberration):
            images = aberrate(images, aberration)
        return vignette(images, vignetting) if any(self.vignetting) else images.clone()


def as_range(strength: Strength) -> tuple[float, float]:
    low, high = strength if isinstance(strength, tuple | list) else (strength, strength)
    return float(low), float(high)


def aberrate(images: Tensor, aberration: Tensor) -> Tensor:
    """images (B, 3, H, W), aberration (B,): red magnified by 1 + aberration, blue by 1 - aberration;
    bicubic."""
    b, _, h, w = images.shape
    sign = constant((1.0, -1.0), images.device, images.dtype)
    # (B, 2) -> (B * 2,): where a pixel's light came from
    scale = (1 / (1 + sign * aberration.unsqueeze(1))).flatten()
    theta = torch.zeros(2 * b, 2, 3, device=images.device, dtype=images.dtype)
    theta[:, 0, 0] = theta[:, 1, 1] = scale
    grid = F.affine_grid(theta, [2 * b, 1, h, w], align_corners=False)
    red_blue = images[:, ::2].reshape(2 * b, 1, h, w)  # (B, 2, H, W) -> (B * 2, 1, H, W)
    moved = F.grid_sample(red_blue, grid, "bicubic", "reflection", align_corners=False)
    out = images.clone()
    out[:, ::2] = moved.view(b, 2, h, w).clamp(0, 1)
    return out


def vignette(images: Tensor, vignetting: Tensor) -> Tensor:
    """images (B, 3, H, W), vignetting (B,) the share of light the corners lose; cos^4 law."""
    h, w = images.shape[2:]
    y, x = (((torch.arange(n, device=images.device, dtype=images.dtype) + 0.5) / n * 2 - 1) for n in (h, w))
    # (H, W): squared distance from the axis, 1 in the corners
    square = (x.square() + y.square().unsqueeze(1)) / 2
    tangent = (1 - vignetting).rsqrt() - 1  # squared tangent of the corner's angle: cos^4 = (1 + tan^2)^-2
    return images / (1 + tangent.view(-1, 1, 1, 1) * square).square()
