"""Views one after another, and the recipes of the papers.

Order of the recipes: crop, flip, jitter, grey, blur, solarise; MoCo v1 and what it took over from NPID turn
grey before the jitter. Blur destroys images of 32 px, so by default the recipes blur only what is larger.
"""

import torch
from torch import Tensor

from sslcourse.errors import UserError
from sslcourse.views.blur import GaussianBlur
from sslcourse.views.colour import ColourJitter, Greyscale, Solarise
from sslcourse.views.crops import HorizontalFlip, MultiCrop, RandomResizedCrop, ShiftCrop
from sslcourse.views.distort import Cutout, GaussianNoise, RandomQuarterTurn, Sobel
from sslcourse.views.view import View


class Compose(View):
    """The views in order."""

    def __init__(self, views):
        self.views = list(views)

    def draw(self, images: Tensor, generator: torch.Generator | None) -> tuple:
        return tuple(view.draw(images, generator) for view in self.views)

    def apply(self, images: Tensor, *parameters) -> Tensor:
        given = images
        for view, p in zip(self.views, parameters, strict=True):
            images = view.apply(images.clone() if view.in_place and images is given else images, *p)
        return images


def weak_view(size: int | None = None, padding: int = 4, mode: str = "constant") -> Compose:
    """Shift by up to `padding` pixels and flip: the CIFAR augmentation of supervised training and of RotNet.

    It keeps the images' size; `size` is accepted so that recipes can be exchanged. What a shift uncovers is black, or by
    `mode` "reflect" the image's mirror image: for methods whose targets are colours or edges, as black is neither.
    """
    return Compose([ShiftCrop(padding, mode), HorizontalFlip(0.5)])


def simclr_view(
    size: int | None = 32,
    strength: float = 0.5,
    blur: bool = False,
    min_scale: float = 0.08,
    flip: bool = True,
    colour: bool = True,
    grey: float = 0.2,
    hue: float | None = None,
) -> Compose:
    """SimCLR (Chen et al. 2020, 2002.05709). CIFAR: strength 0.5 without blur; ImageNet: 1 with blur.

    `colour=False` leaves out jitter and grey: the ablation whose crops are told apart by their colours. `hue` None is
    the paper's, a fifth of the strength.
    """
    return _recipe(
        size,
        (min_scale, 1.0),
        flip,
        _strong_jitter(strength, hue) if colour else None,
        grey if colour else 0.0,
        0.5 if blur else 0.0,
    )


DISTORTIONS = ("crop", "cutout", "colour", "sobel", "noise", "blur", "rotate")


def distorted_view(names: list[str], min_scale: float = 0.08) -> Compose:
    """The transforms of SimCLR's Figure 5 by name, one after another; images keep their size.

    A pair is compared at full strength: colour is jitter of strength 1 and grey, cutout hides a square of half
    the side, blur reaches an eighth of it.
    """
    views = {
        "crop": lambda: RandomResizedCrop(None, scale=(min_scale, 1.0), flip=0.5),
        "cutout": Cutout,
        "colour": lambda: Compose([ColourJitter(0.8, 0.8, 0.8, 0.2, p=0.8), Greyscale(0.2)]),
        "sobel": Sobel,
        "noise": GaussianNoise,
        "blur": lambda: GaussianBlur(1.0, fraction=0.25),
        "rotate": RandomQuarterTurn,
    }
    if unknown := [name for name in names if name not in views]:
        raise UserError(f"no distortion {', '.join(unknown)}: choose from {', '.join(views)}")
    return Compose([views[name]() for name in names])


def moco_v1_view(size: int | None = 32, min_scale: float = 0.2) -> Compose:
    """MoCo (He et al. 2020, 1911.05722) and NPID (Wu et al. 2018, 1805.01978): jitter always, no blur.

    As in both codes the grey ones turn grey first: theirs is the grey of the image's own colours, of whatever hue.
    """
    crop = RandomResizedCrop(size, scale=(min_scale, 1.0), flip=0.5)
    return Compose([crop, Greyscale(0.2), ColourJitter(0.4, 0.4, 0.4, 0.4, p=1.0)])


def moco_v2_view(
    size: int | None = 32, min_scale: float = 0.2, blur: bool | None = None, hue: float = 0.1
) -> Compose:
    """MoCo v2 (Chen et al. 2020, 2003.04297); the authors' CIFAR demo has min_scale 0.08."""
    jitter = ColourJitter(0.4, 0.4, 0.4, hue, p=0.8)
    return _recipe(size, (min_scale, 1.0), True, jitter, 0.2, _blur(0.5, size, blur))


def byol_views(
    size: int | None = 32, scale=(0.08, 1.0), blur: bool | None = None, hue: float = 0.1
) -> tuple[Compose, Compose]:
    """The two different views of BYOL (Grill et al. 2020, 2006.07733) and Barlow Twins."""
    return (
        _recipe(size, scale, True, _soft_jitter(hue), 0.2, _blur(1.0, size, blur)),
        _recipe(size, scale, True, _soft_jitter(hue), 0.2, _blur(0.1, size, blur), solarise=0.2),
    )


def dino_views(
    size: int | None = 32,
    local_size: int = 16,
    n_local: int = 4,
    global_scale=(0.4, 1.0),
    local_scale=(0.05, 0.4),
    blur: bool | None = None,
    hue: float = 0.1,
) -> MultiCrop:
    """DINO (Caron et al. 2021, 2104.14294): BYOL's two views and `n_local` small ones (ImageNet: 224, 96 px).

    iBOT and AttMask: global_scale (0.25, 1), local_scale (0.05, 0.25), 10 locals.
    """
    local = _recipe(local_size, local_scale, True, _soft_jitter(hue), 0.2, _blur(0.5, size, blur))
    return MultiCrop(byol_views(size, global_scale, blur, hue), local, n_local=n_local)


def obow_views(
    crop: int, grid: int, crop_scale=(0.08, 0.6), blur: bool | None = None, hue: float = 0.1
) -> tuple[Compose, Compose]:
    """Of OBoW's student (Gidaris et al. 2021, 2012.11552): crops of `crop` px, and what patches are cut from, `grid` px.

    ImageNet: 160 and 256 px of images of 224. Patches are never blurred.
    """
    jitter = ColourJitter(0.4, 0.4, 0.4, hue, p=0.8)
    return (
        _recipe(crop, crop_scale, True, jitter, 0.2, _blur(0.5, crop, blur)),
        _recipe(grid, (0.6, 1.0), True, jitter, 0.2),
    )


def swav_views(
    size: int | None = 32,
    local_size: int = 16,
    n_local: int = 4,
    global_scale=(0.14, 1.0),
    local_scale=(0.05, 0.14),
    strength: float = 1.0,
    blur: bool | None = None,
    hue: float | None = None,
) -> MultiCrop:
    """SwAV (Caron et al. 2020, 2006.09882): SimCLR's view twice, and `n_local` small ones (ImageNet: 6 of 96 px).

    `hue` None is the paper's, a fifth of the strength.
    """
    large, small = (
        _recipe(side, scale, True, _strong_jitter(strength, hue), 0.2, _blur(0.5, size, blur))
        for side, scale in ((size, global_scale), (local_size, local_scale))
    )
    return MultiCrop(large, small, n_local=n_local)


def _strong_jitter(s: float, hue: float | None) -> ColourJitter:
    return ColourJitter(0.8 * s, 0.8 * s, 0.8 * s, 0.2 * s if hue is None else hue, p=0.8)


def _soft_jitter(hue: float) -> ColourJitter:
    return ColourJitter(0.4, 0.4, 0.2, hue, p=0.8)


def _blur(p: float, size: int | None, blur: bool | None) -> float:
    """The blur's probability: `blur` says yes or no; None says yes above 32 px."""
    wanted = (size is None or size > 32) if blur is None else blur
    return p if wanted else 0.0


def _recipe(
    size,
    scale,
    flip: bool,
    jitter: ColourJitter | None,
    grey: float,
    blur: float = 0.0,
    solarise: float = 0.0,
) -> Compose:
    views = [RandomResizedCrop(size, scale=scale, flip=0.5 if flip else 0.0), jitter]
    views += [Greyscale(grey) if grey else None, GaussianBlur(blur) if blur else None]
    views += [Solarise(solarise) if solarise else None]
    return Compose([view for view in views if view is not None])
