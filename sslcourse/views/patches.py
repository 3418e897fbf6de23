"""Patches of images, and what keeps a network from solving puzzles of patches by their surface.

Patches are (..., 3, s, s) float in [0, 1], most often (B, 9, 3, s, s) with the nine places of a 3x3 grid in
row-major order. Every function draws anew for each patch; a strength of zero changes nothing.
"""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from sslcourse.errors import UserError
from sslcourse.views.crops import resample
from sslcourse.views.view import check_images, constant, uniform

KERNELS = ("nearest-exact", "bilinear", "bicubic", "area")


def cut(images: Tensor, corners: Tensor, side: int) -> Tensor:
    """images (B, C, H, W), corners (B, P, 2) top and left in whole pixels -> (B, P, C, side, side)."""
    b, c, _, w = images.shape
    step = torch.arange(side, device=images.device)
    rows, columns = (corners[:, :, i, None] + step for i in (0, 1))  # (B, P, side)
    pixels = rows[:, :, :, None] * w + columns[:, :, None]  # (B, P, side, side): places in a flat image
    pixels = pixels.flatten(1)[:, None].expand(b, c, -1)  # (B, P, side, side) -> (B, C, P * side * side)
    patches = images.flatten(2).gather(2, pixels)  # (B, C, H * W) -> (B, C, P * side * side)
    patches = patches.view(b, c, -1, side, side)  # (B, C, P * side * side) -> (B, C, P, side, side)
    return patches.transpose(1, 2)  # (B, C, P, side, side) -> (B, P, C, side, side)


def patch_grid(
    images: Tensor, patch: int, gap: int, jitter: int, generator: torch.Generator | None = None
) -> Tensor:
    """Nine patches on a 3x3 grid at a random place: images (B, 3, H, W) -> (B, 9, 3, patch, patch).

    Neighbours are `gap` pixels apart, give or take: each patch is moved by up to `jitter` pixels along each
    axis on its own, and stays inside the image (Doersch et al. 2015, 1505.05192: patch 96, gap 48, jitter 7).
    """
    return cut(images, grid_corners(images, patch, gap, jitter, generator), patch)


def grid_corners(
    images: Tensor, patch: int, gap: int, jitter: int, generator: torch.Generator | None = None
) -> Tensor:
    """Where `patch_grid` cuts: (B, 9, 2) top and left, whole pixels."""
    check_images(images, "patch_grid")
    span, lattice = 3 * patch + 2 * gap, _lattice(patch + gap, images.device)
    free = _free(images, span, f"a grid of patches of {patch} px with gaps of {gap}")
    origin = _whole((len(images), 1, 2), free + 1, images, generator)
    moves = _whole((len(images), 9, 2), 2 * jitter + 1, images, generator) - jitter
    return (origin + lattice + moves).clamp(min=0).minimum(free + span - patch)


def tiles(images: Tensor, cell: int, tile: int, generator: torch.Generator | None = None) -> Tensor:
    """Nine tiles, each at a random place of its cell: images (B, 3, H, W) -> (B, 9, 3, tile, tile).

    The 3x3 cells touch; where they do not fill the image, they lie at a random place in it. The gap between
    tiles is `cell - tile` on average (Noroozi & Favaro 2016, 1603.09246: cell 75, tile 64).
    """
    check_images(images, "tiles")
    if not 0 < tile <= cell:
        raise UserError(f"tiles of {tile} px do not fit cells of {cell} px: use 1 <= tile <= cell")
    free = _free(images, 3 * cell, f"3x3 cells of {cell} px")
    origin = _whole((len(images), 1, 2), free + 1, images, generator)
    moves = _whole((len(images), 9, 2), cell - tile + 1, images, generator)
    return cut(images, origin + _lattice(cell, images.device) + moves, tile)


def overlapping_patches(
    images: Tensor, side: int, jitter: int, count: int, generator: torch.Generator | None = None
) -> Tensor:
    """`count` of the nine patches of a 3x3 grid over all of each image: (B, 3, H, W) -> (B, count, 3, side, side).

    Each lies 0 to `jitter` pixels below and right of its place, at random; which and in what order is drawn for each
    image. They overlap unless they are small (Gidaris et al. 2021, 2012.11552: 5 of 96 px in 256, jitter 24).
    """
    check_images(images, "overlapping_patches")
    free = images.shape[2] - side - jitter
    if free < 0 or not 1 <= count <= 9:
        raise UserError(
            f"{count} patches of {side} px with jitter {jitter} do not fit images of {images.shape[2]} px: use 1 to 9 of"
            f" {images.shape[2] - jitter} px at most"
        )
    moves = _whole((len(images), 9, 2), jitter + 1, images, generator)
    corners = _lattice(free // 2, images.device) + moves
    chosen = uniform((len(images), 9), 0.0, 1.0, images, generator).argsort(1)[:, :count]
    return cut(images, corners.gather(1, chosen[:, :, None].expand(-1, -1, 2)), side)


def quarters(images: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, 4, C, H / 2, W / 2): upper left, upper right, lower left, lower right."""
    b, c, h, w = images.shape
    cells = images.view(b, c, 2, h // 2, 2, w // 2)
    return cells.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)  # (B, C, 2, h, 2, w) -> (B, 2 * 2, C, h, w)


def halve(images: Tensor, generator: torch.Generator | None = None, kernels=KERNELS) -> Tensor:
    """(B, C, H, W) -> (B, C, H / 2, W / 2), each image by a kernel drawn from `kernels`.

    No one kernel's traces can then tell an image made smaller from one that always was small.
    """
    size = (images.shape[2] // 2, images.shape[3] // 2)
    ways = [F.interpolate(images, size, mode=m, antialias=m[0] == "b") for m in kernels]
    which = _whole((len(images),), len(kernels), images, generator)
    return torch.stack(ways)[which, torch.arange(len(images), device=images.device)].clamp_(0, 1)


def standardise(
    patches: Tensor, per_channel: bool = True, mean: float = 0.5, std: float = 0.25, least: float = 1 / 255
) -> Tensor:
    """Each patch by its own mean and deviation, per channel or over all three: same shape.

    `mean` and `std` are what it gets instead; `Encoder.adapted` makes of the defaults what an encoder takes for 0
    and 1. A deviation below `least` counts as `least`, so that a blank patch is not blown up to noise.
    """
    axes = (-2, -1) if per_channel else (-3, -2, -1)
    centred = patches - patches.mean(axes, keepdim=True)
    deviation = centred.square().mean(axes, keepdim=True).sqrt().clamp(min=least)
    return centred * (std / deviation) + mean


def drop_colours(
    patches: Tensor,
    generator: torch.Generator | None = None,
    noise: float = 0.01,
    mean: float | Tensor = 0.5,
) -> Tensor:
    """Keep one random channel of each patch, and Gaussian noise of 1/100 of its deviation in the other two.

    All channels are centred on `mean`, a number or (3, 1, 1) (Doersch et al. 2015 subtract their mean); standardise
    afterwards over all channels, never `per_channel`, which would blow up the noise.
    """
    kept = _whole(patches.shape[:-3], 3, patches, generator)
    kept = F.one_hot(kept, 3)[..., None, None].bool()  # (...) -> (..., 3, 1, 1)
    centred = patches - patches.mean((-2, -1), keepdim=True)
    deviation = centred.square().mean((-2, -1), keepdim=True).sqrt()  # (..., 3, 1, 1)
    deviation = torch.where(kept, deviation, 0).sum(-3, keepdim=True)  # of the kept channel: (..., 1, 1, 1)
    home = patches.device if generator is None else generator.device
    grain = torch.randn(patches.shape, generator=generator, device=home).to(patches)
    return torch.where(kept, centred, noise * deviation * grain) + mean


def project_colours(patches: Tensor) -> Tensor:
    """x (I - a a^T / a^T a) with a = (-1, 2, -1): the axis from green to magenta is gone, greys stay.

    Lenses bring red and blue out of line with green, so that is where most of the aberration shows
    (Doersch et al. 2015).
    """
    a = constant((((-1.0,),), ((2.0,),), ((-1.0,),)), patches.device, patches.dtype)  # (3, 1, 1)
    return patches - (patches * a).sum(-3, keepdim=True) * a / 6


def jitter_channels(patches: Tensor, pixels: int, generator: torch.Generator | None = None) -> Tensor:
    """Shift every colour channel of every patch on its own, by up to `pixels` along each axis.

    What a shift uncovers repeats the edge. The fringes of a lens drown in it (Noroozi & Favaro 2016: 2 px).
    """
    if not pixels:
        return patches
    h, w = patches.shape[-2:]
    planes = patches.reshape(-1, h, w)  # (..., 3, h, w) -> (M, h, w)
    shifts = _whole((len(planes), 2), 2 * pixels + 1, patches, generator) - pixels
    rows, columns = (
        (shifts[:, i, None] + torch.arange(n, device=patches.device)).clamp_(0, n - 1)
        for i, n in ((0, h), (1, w))
    )
    planes = planes.gather(1, rows[:, :, None].expand(-1, h, w))
    planes = planes.gather(2, columns[:, None].expand(-1, h, w))
    return planes.view(patches.shape)  # (M, h, w) -> (..., 3, h, w)


def degrade(
    patches: Tensor, p: float = 1 / 3, smallest: int = 0, generator: torch.Generator | None = None
) -> Tensor:
    """Shrink a share p of the patches to few pixels, from `smallest` x `smallest` on, and enlarge them again.

    So nothing can rely on the finest detail or on how sharp a patch is. Uniform is the number of pixels, not the
    side: a quarter of the shrunken patches have less than half the side (Doersch et al. 2015 and their code: 100 to
    9,025 pixels of 96 x 96; `smallest` 0: in proportion). Both steps are bilinear, the first one without aliases.
    """
    if not p:
        return patches
    side = patches.shape[-1]
    images = patches.reshape(-1, *patches.shape[-3:])  # (..., 3, s, s) -> (M, 3, s, s)
    sides = low_sides(len(images), side, smallest, images.device, generator)
    chosen = uniform((len(images),), 0, 1, images, generator) < p
    least = least_side(side, smallest)
    matrices = coarser(side, least, images.device).to(images.dtype)
    matrices = matrices[torch.where(chosen, sides, side) - least]
    with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
        return resample(images, matrices, matrices).view(patches.shape)  # (M, 3, s, s) -> (..., 3, s, s)


def least_side(side: int, smallest: int) -> int:
    """What `smallest` stands for in patches of `side` px: 10 of 96 where it is 0."""
    return smallest or max(1, round(side * 10 / 96))


def low_sides(
    count: int, side: int, smallest: int, device: torch.device, generator: torch.Generator | None = None
) -> Tensor:
    """Sides (count,) of patches whose area is uniform from `smallest`^2 to (95/96 `side`)^2, in whole pixels."""
    home = device if generator is None else generator.device
    low, high = ((smallest or side * 10 / 96) / side) ** 2, (95 / 96) ** 2
    area = low + (high - low) * torch.rand(count, generator=generator, device=home).to(device)
    return (area.sqrt() * side).long().clamp(min=least_side(side, smallest), max=side)


@functools.lru_cache(8)
def coarser(side: int, smallest: int, device: torch.device) -> Tensor:
    """(K, side, side): the matrices that shrink `side` pixels to smallest, ..., side ones and enlarge them again."""
    eye = torch.eye(side, device=device)[None, None]
    shrunk = [
        F.interpolate(eye, (n, side), mode="bilinear", antialias=True) for n in range(smallest, side + 1)
    ]
    enlarged = [F.interpolate(s, (side, side), mode="bilinear") for s in shrunk]
    return torch.cat(enlarged)[:, 0]  # (K, 1, side, side) -> (K, side, side)


def _lattice(pitch: int, device: torch.device) -> Tensor:
    """(9, 2): row and column of the nine places, row-major, in pixels."""
    place = torch.arange(9, device=device)
    return torch.stack((place // 3, place % 3), 1) * pitch


def _free(images: Tensor, span: int, what: str) -> Tensor:
    """(2,): by how many pixels `span` can be moved in the images, down and to the right."""
    h, w = images.shape[2:]
    if span > min(h, w):
        raise UserError(
            f"{what} spans {span} px, the images have {h}x{w}: enlarge them, or use smaller patches"
        )
    return constant((h - span, w - span), images.device, torch.int64)


def _whole(shape, below: int | Tensor, images: Tensor, generator: torch.Generator | None) -> Tensor:
    """Whole numbers, uniform in 0 ... below - 1 (below may differ along the last axis), on the images' device."""
    home = images.device if generator is None else generator.device
    draw = torch.rand(shape, generator=generator, device=home).to(images.device)
    return (draw * below).long().clamp(max=below - 1)
