"""Views: random, batched transforms of images in which every image has its own parameters."""

from sslcourse.views.blur import GaussianBlur, gaussian_blur
from sslcourse.views.colour import ColourJitter, Greyscale, Solarise, luminance
from sslcourse.views.compose import (
    Compose,
    byol_views,
    dino_views,
    moco_v1_view,
    moco_v2_view,
    simclr_view,
    weak_view,
)
from sslcourse.views.crops import HorizontalFlip, MultiCrop, RandomResizedCrop, ShiftCrop, resized_crop
from sslcourse.views.lens import Lens
from sslcourse.views.rotate import four_rotations, rotate90
from sslcourse.views.view import View

__all__ = [
    "ColourJitter",
    "Compose",
    "GaussianBlur",
    "Greyscale",
    "HorizontalFlip",
    "Lens",
    "MultiCrop",
    "RandomResizedCrop",
    "ShiftCrop",
    "Solarise",
    "View",
    "byol_views",
    "dino_views",
    "four_rotations",
    "gaussian_blur",
    "luminance",
    "moco_v1_view",
    "moco_v2_view",
    "resized_crop",
    "rotate90",
    "simclr_view",
    "weak_view",
]
