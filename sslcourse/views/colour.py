"""Changes of colour. Functions that end in _ write into the images they are given."""

import torch
from torch import Tensor

from sslcourse.views.view import View, coins, constant, uniform


class ColourJitter(View):
    """Brightness, contrast, saturation and hue by random amounts, with probability p per image.

    Factors are uniform in [max(0, 1 - x), 1 + x], the hue's shift in [-hue, hue] turns of the colour circle.
    Each part equals torchvision's adjust_*. The order of the four parts is drawn once per batch, everything
    else per image; an image whose coin says no gets the factors that change nothing.
    """

    in_place = True

    def __init__(
        self,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.4,
        hue: float = 0.1,
        p: float = 0.8,
    ):
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue
        self.p = p

    def draw(self, images: Tensor, generator: torch.Generator | None) -> tuple:
        chosen = coins(self.p, images, generator)
        amounts = []
        for width, neutral in ((self.brightness, 1), (self.contrast, 1), (self.saturation, 1), (self.hue, 0)):
            low, high = neutral - min(width, 1), neutral + width
            amount = uniform(chosen.shape, low, high, images, generator)
            amounts.append(torch.where(chosen, amount, neutral))
        home = (
            "cpu" if generator is None else generator.device
        )  # the order becomes a list: no GPU is asked for it
        return torch.randperm(4, generator=generator, device=home).tolist(), *amounts

    def apply(self, images: Tensor, order: list[int], *amounts: Tensor) -> Tensor:
        parts = (
            (brightness_, self.brightness),
            (contrast_, self.contrast),
            (saturation_, self.saturation),
            (hue_, self.hue),
        )
        for i in order:
            part, width = parts[i]
            if width:
                images = part(images, amounts[i])
        return images


def brightness_(images: Tensor, factor: Tensor) -> Tensor:
    """images (B, 3, H, W) times factor (B, 1, 1, 1), in place."""
    return images.mul_(factor).clamp_(0, 1)


def contrast_(images: Tensor, factor: Tensor) -> Tensor:
    """Distance from each image's mean grey, times factor (B, 1, 1, 1), in place."""
    mean = luminance(images.mean((2, 3), keepdim=True))  # (B, 3, H, W) -> (B, 1, 1, 1)
    return images.mul_(factor).add_(mean * (1 - factor)).clamp_(0, 1)


def saturation_(images: Tensor, factor: Tensor) -> Tensor:
    """Distance from each pixel's grey, times factor (B, 1, 1, 1), in place."""
    return torch.lerp(luminance(images), images, factor, out=images).clamp_(0, 1)


def luminance(images: Tensor) -> Tensor:
    """Perceived grey (ITU-R 601-2) of images (B, 3, H, W) -> (B, 1, H, W)."""
    red, green, blue = images.split(1, 1)
    return (red * 0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)


def rgb_to_ycbcr(images: Tensor) -> Tensor:
    """Images (B, 3, H, W) -> luma, and how far blue and red are from it (0.5 for grey): all in [0, 1]."""
    y = luminance(images)
    red, _, blue = images.split(1, 1)
    return torch.cat([y, (blue - y) * (0.5 / 0.886) + 0.5, (red - y) * (0.5 / 0.7011) + 0.5], 1)


def hue_(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the HSV hue of images (B, 3, H, W) by shift (B, 1, 1, 1) turns in [-0.5, 0.5], in place.

    Less its minimum and divided by its chroma, a colour lies on the closed path of six edges of the RGB cube
    on which one channel is 1 and one is 0, and the hue is how far along the path it is. So read the hue from
    1 - red and green - blue on that path; then each channel is a trapezoid of the hue around its own pure
    colour. This needs no cases, unlike the way through HSV, and gives the same.
    """
    red, green, blue = images.split(1, 1)  # (B, 1, H, W) each
    low, high = torch.minimum(red, green).minimum(blue), torch.maximum(red, green).maximum(blue)
    chroma = high - low
    scale = chroma.clamp(min=1e-8).reciprocal_()
    lack = high.sub_(red).mul_(scale)  # 1 - red on the path
    side = (green - blue).mul_(scale)  # towards green +, towards blue -
    away = side.abs()
    # Distance from pure red in sixths of a turn, away + lack (3 - 2 away): next to red lack is 0, opposite it
    # is 1 and away falls back to 0, and in between away is 1.
    distance = torch.add(away, lack, alpha=3).addcmul_(lack, away, value=-2)
    hue = distance.copysign_(side)
    base = low.sub_(chroma)
    # Turns from the opposite of pure red, green, blue, where a channel is lowest; 2 keeps them positive.
    opposite = shift + constant(((((2.0,),), ((5 / 3,),), ((4 / 3,),)),), images.device, images.dtype)
    turns = torch.add(opposite, hue, alpha=1 / 6, out=images).frac_().sub_(0.5).abs_().clamp_(1 / 6, 1 / 3)
    return torch.addcmul(base, chroma, turns, value=6, out=images).clamp_(0, 1)  # low to low + chroma


class Greyscale(View):
    """Grey in all three channels with probability p."""

    in_place = True

    def __init__(self, p: float = 0.2):
        self.p = p

    def draw(self, images: Tensor, generator: torch.Generator | None) -> tuple:
        return (coins(self.p, images, generator).to(images.dtype),)

    def apply(self, images: Tensor, chosen: Tensor) -> Tensor:
        return images.lerp_(luminance(images), chosen)


class Solarise(View):
    """Invert every value that reaches the threshold, with probability p."""

    def __init__(self, p: float = 0.2, threshold: float = 128 / 255):
        self.p, self.threshold = p, threshold

    def draw(self, images: Tensor, generator: torch.Generator | None) -> tuple:
        return (coins(self.p, images, generator),)

    def apply(self, images: Tensor, chosen: Tensor) -> Tensor:
        return torch.where(chosen & (images >= self.threshold), 1 - images, images)
