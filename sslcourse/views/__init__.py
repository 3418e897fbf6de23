"""Views: random, batched transforms of images in which every image has its own parameters."""

from sslcourse.views.blur import GaussianBlur, gaussian_blur
from sslcourse.views.colour import ColourJitter, Greyscale, Solarise, luminance
from sslcourse.views.compose import (
    DISTORTIONS,
    Compose,
    byol_views,
    dino_views,
    distorted_view,
    moco_v1_view,
    moco_v2_view,
    obow_views,
    simclr_view,
    swav_views,
    weak_view,
)
from sslcourse.views.crops import HorizontalFlip, MultiCrop, RandomResizedCrop, ShiftCrop, resized_crop
from sslcourse.views.distort import Cutout, GaussianNoise, RandomQuarterTurn, Sobel, sobel
from sslcourse.views.exemplar import ExemplarView, principal_colours
from sslcourse.views.lab import lab_to_rgb, rgb_to_lab
from sslcourse.views.lens import Lens
from sslcourse.views.mix import cutmix
from sslcourse.views.patches import (
    cut,
    degrade,
    drop_colours,
    grid_corners,
    halve,
    jitter_channels,
    overlapping_patches,
    patch_grid,
    project_colours,
    quarters,
    standardise,
    tiles,
)
from sslcourse.views.randaugment import RandAugment, strong_view
from sslcourse.views.rotate import four_rotations, rotate90
from sslcourse.views.view import View

__all__ = [
    "DISTORTIONS",
    "ColourJitter",
    "Compose",
    "Cutout",
    "ExemplarView",
    "GaussianBlur",
    "GaussianNoise",
    "Greyscale",
    "HorizontalFlip",
    "Lens",
    "MultiCrop",
    "RandAugment",
    "RandomQuarterTurn",
    "RandomResizedCrop",
    "ShiftCrop",
    "Sobel",
    "Solarise",
    "View",
    "byol_views",
    "cut",
    "cutmix",
    "degrade",
    "dino_views",
    "distorted_view",
    "drop_colours",
    "four_rotations",
    "gaussian_blur",
    "grid_corners",
    "halve",
    "jitter_channels",
    "lab_to_rgb",
    "luminance",
    "moco_v1_view",
    "moco_v2_view",
    "obow_views",
    "overlapping_patches",
    "patch_grid",
    "principal_colours",
    "project_colours",
    "quarters",
    "resized_crop",
    "rgb_to_lab",
    "rotate90",
    "simclr_view",
    "sobel",
    "standardise",
    "strong_view",
    "swav_views",
    "tiles",
    "weak_view",
]
