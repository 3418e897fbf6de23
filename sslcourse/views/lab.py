"""sRGB to CIE Lab and back: lightness L in 0..100, and two axes of colour, a (green to red) and b (blue to yellow).

D65 white, 2 degree observer (CIE 15; IEC 61966-2-1). Both ways are differentiable and ignore autocast, for half
precision would quantise colours.
"""

import torch
from torch import Tensor

from sslcourse.views.view import check_images, constant

PRIMARIES = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))  # chromaticities x, y of sRGB's red, green and blue
WHITE = (0.95047, 1.0, 1.08883)  # X, Y, Z of D65
DELTA = 6 / 29  # below the cube of this, Lab replaces the cube root by a straight line


def _rgb_to_xyz() -> Tensor:
    """(3, 3): linear red, green, blue -> X, Y, Z, each as a share of the white's. Equal parts give (1, 1, 1)."""
    white = torch.tensor(WHITE, dtype=torch.float64)
    xyz = torch.tensor([[x / y, 1, (1 - x - y) / y] for x, y in PRIMARIES], dtype=torch.float64).T
    return xyz * torch.linalg.solve(xyz, white) / white[:, None]


TO_XYZ = tuple(map(tuple, _rgb_to_xyz().tolist()))
TO_RGB = tuple(map(tuple, torch.linalg.inv(_rgb_to_xyz()).tolist()))


def rgb_to_lab(images: Tensor) -> Tensor:
    """sRGB images (B, 3, H, W) in [0, 1] -> L in 0..100, a and b in about -110..100: (B, 3, H, W)."""
    check_images(images, "rgb_to_lab")
    with torch.autocast(images.device.type, enabled=False):
        linear = torch.where(
            images > 0.04045, ((images.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4, images / 12.92
        )
        xyz = torch.einsum("ij,bjhw->bihw", constant(TO_XYZ, linear.device, linear.dtype), linear)
        root = xyz.clamp_min(DELTA**3) ** (1 / 3)
        x, y, z = torch.where(xyz > DELTA**3, root, xyz / (3 * DELTA**2) + 4 / 29).unbind(1)
        return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """(B, 3, H, W) -> sRGB (B, 3, H, W); what no screen can show is clamped to [0, 1]."""
    with torch.autocast(lab.device.type, enabled=False):
        L, a, b = lab.unbind(1)
        y = (L + 16) / 116
        f = torch.stack([y + a / 500, y, y - b / 200], 1)
        xyz = torch.where(f > DELTA, f**3, 3 * DELTA**2 * (f - 4 / 29))
        linear = torch.einsum("ij,bjhw->bihw", constant(TO_RGB, xyz.device, xyz.dtype), xyz)
        root = 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
        return torch.where(linear > 0.0031308, root, 12.92 * linear).clamp(0, 1)
