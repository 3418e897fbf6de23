"""What every view has in common: it checks its input, draws parameters for every image, and applies them."""

import functools

import torch
from torch import Tensor

from sslcourse.errors import UserError
from sslcourse.memory import keep_freed_memory

CHUNK = 256 * 3 * 32 * 32  # numbers: at most 256 images of 32 px at a time, so that a CPU's cache holds them


class View:
    """A random transform of a batch of images, with its own parameters for every image.

    `view(images, generator=None)`: images (B, 3, H, W) float in [0, 1] -> a new tensor of the same kind (the
    size may change), on the same device; the input is left as it was. The same generator state gives the same
    result; without a generator the global one of the device is used. A generator may live on another device
    than the images. Views carry no gradient and ignore autocast, and half-precision images are changed in float32:
    half precision would quantise colours and miscount pixels.

    A view overrides `draw`, which returns its parameters for the whole batch (tensors start with B), and
    `apply`, which takes some of the images with their part of the parameters. With `in_place`, `apply` may
    write into the images it is given.
    """

    in_place = False

    def draw(self, images: Tensor, generator: torch.Generator | None) -> tuple:
        raise NotImplementedError(f"{type(self).__name__} does not say what it draws")

    def apply(self, images: Tensor, *parameters) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not say what it does to images")

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        check_images(images, type(self).__name__)
        if images.dtype in (torch.float16, torch.bfloat16):
            return self(images.float(), generator).to(images.dtype)
        parameters = self.draw(images, generator)
        step = len(images)
        if images.device.type == "cpu":
            keep_freed_memory()
            step = min(step, max(1, CHUNK // images[0].numel()))
        done = []
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            for start in range(0, len(images), step):
                rows = slice(start, start + step)
                part = images[rows].clone() if self.in_place else images[rows]
                done.append(self.apply(part, *slice_rows(parameters, rows)))
            return torch.cat(done) if len(done) > 1 else done[0]


def slice_rows(parameters, rows: slice):
    """The same rows of every tensor in (nested) tuples of parameters."""
    if isinstance(parameters, tuple):
        return tuple(slice_rows(p, rows) for p in parameters)
    return parameters[rows] if isinstance(parameters, Tensor) else parameters


def check_images(images: Tensor, caller: str) -> None:
    """UserError unless `images` is a float tensor (B, 3, H, W) with B > 0."""
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point() or not len(images):
        raise UserError(
            f"{caller} wants images (B, 3, H, W) float in [0, 1], not {tuple(images.shape)} "
            f"{images.dtype}: take them from ImageSet.batches(), or stack and divide by 255"
        )


@functools.lru_cache(64)
def constant(values: tuple, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """The tensor of (nested) tuples of numbers, made once per device: a copy in every step would stall a GPU."""
    with torch.inference_mode(False):  # or no training could use what an evaluation made first
        return torch.tensor(values, device=device, dtype=dtype)


def uniform(shape, low: float, high: float, images: Tensor, generator: torch.Generator | None) -> Tensor:
    """Uniform numbers in [low, high), of the images' dtype, on the images' device."""
    device = images.device if generator is None else generator.device
    draw = torch.rand(shape, generator=generator, device=device, dtype=torch.float32)
    return draw.mul_(high - low).add_(low).to(images.device, images.dtype)


def coins(p: float, images: Tensor, generator: torch.Generator | None) -> Tensor:
    """One coin per image: (B, 1, 1, 1) bool, True with probability p."""
    return uniform((len(images), 1, 1, 1), 0.0, 1.0, images, generator) < p
