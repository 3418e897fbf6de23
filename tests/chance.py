"""Chance that knows the image: what is drawn for an image is the same, whichever process holds it."""

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

GOLDEN = (
    0.6180339887,
    0.7548776662,
    0.5698402910,
)  # steps between calls, images, columns: they fill [0, 1) evenly


class SameChance(TorchFunctionMode):
    """Within it, torch's random numbers depend on the call, on the image's number in the global batch, and the column.

    `batch`: images of this process; an axis of that length is taken for the images, so no other axis may have it. An
    axis of a multiple of it (two views, the tiles of each image) is drawn alike for all. A given generator is obeyed.
    """

    def __init__(self, batch: int, rank: int):
        super().__init__()
        self.batch, self.rank, self.calls = batch, rank, 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func not in DRAWS or kwargs.get("generator") is not None:
            return func(*args, **kwargs)
        self.calls += 1
        return DRAWS[func](self, *args, **kwargs)

    def uniform(self, shape) -> Tensor:
        """Numbers in [0, 1) of any shape, float64."""
        shape = tuple(shape)
        x = torch.full(shape, self.calls * GOLDEN[0], dtype=torch.float64)
        images = next((i for i, n in enumerate(shape) if n == self.batch), None)
        for axis, first, step in (
            (images, self.rank * self.batch, GOLDEN[1]),
            (len(shape) - 1, 0, GOLDEN[2]),
        ):
            if axis is None or not shape or (step == GOLDEN[2] and shape[-1] % self.batch == 0):
                continue
            along = [1] * len(shape)
            along[axis] = -1
            x = x + ((first + torch.arange(shape[axis], dtype=torch.float64)) * step).view(along)
        return x.frac()

    def rand(self, *size, dtype=None, device=None, **_) -> Tensor:
        return self.uniform(_sides(size)).to(device, dtype or torch.get_default_dtype())

    def randn(self, *size, dtype=None, device=None, **_) -> Tensor:
        normal = torch.special.ndtri(self.uniform(_sides(size)).clamp(1e-6, 1 - 1e-6))
        return normal.to(device, dtype or torch.get_default_dtype())

    def randint(self, *bounds_and_size, device=None, **_) -> Tensor:
        *bounds, size = bounds_and_size
        low, high = bounds if len(bounds) == 2 else (0, bounds[0])
        return (low + self.uniform(size) * (high - low)).long().to(device)

    def randperm(self, n: int, device=None, **_) -> Tensor:
        return torch.randperm(n, generator=torch.Generator().manual_seed(self.calls)).to(device)

    def rand_like(self, x: Tensor, **_) -> Tensor:
        return self.uniform(x.shape).to(x)

    def randn_like(self, x: Tensor, **_) -> Tensor:
        return self.randn(x.shape, dtype=x.dtype)

    def multinomial(self, weights: Tensor, count: int, replacement: bool = False, **_) -> Tensor:
        assert replacement, "drawing without replacement is not needed yet"
        share = weights.double().cumsum(-1) / weights.double().sum(-1, keepdim=True)
        asked = ((torch.arange(count) + 0.5) / count).double().expand(*weights.shape[:-1], count)
        return torch.searchsorted(share, asked.contiguous())


def _sides(size) -> tuple:
    return tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else size


DRAWS = {
    torch.rand: SameChance.rand,
    torch.randn: SameChance.randn,
    torch.randint: SameChance.randint,
    torch.randperm: SameChance.randperm,
    torch.rand_like: SameChance.rand_like,
    torch.randn_like: SameChance.randn_like,
    torch.multinomial: SameChance.multinomial,
}
