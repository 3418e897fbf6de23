"""Vision transformer (Dosovitskiy et al., ICLR 2021, arXiv 2010.11929) for images of any size."""

from __future__ import annotations

import torch
from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.errors import UserError
from sslcourse.nets.encoder import Encoder


def sincos_positions(rows: int, columns: int, dim: int, side: int | None = None) -> Tensor:
    """Fixed two-dimensional sine-cosine positions, row-major: (rows * columns, dim). Half the width tells the row.

    side: the places are spread as if they covered a grid of side x side, as when its positions are interpolated.
    """
    omega = 10000.0 ** -(torch.arange(dim // 4) / (dim // 4))
    along = [(torch.arange(n) + 0.5) * ((side or n) / n) - 0.5 for n in (rows, columns)]
    y, x = torch.meshgrid(*along, indexing="ij")
    angles = [place.reshape(-1, 1) * omega for place in (y, x)]  # (h, w) -> (h * w, 1) -> (h * w, dim / 4)
    return torch.cat([wave(a) for a in angles for wave in (torch.sin, torch.cos)], dim=1)


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        B, T, D = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        return q, k, v  # (B, T, 3D) -> three of (B, heads, T, D / heads)

    def weights(self, x: Tensor) -> Tensor:
        """Who looks where: (B, heads, T, T), each row sums to 1."""
        q, k, _ = self.split(x)
        return (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.scaled_dot_product_attention(*self.split(x))
        return self.proj(y.transpose(1, 2).flatten(2))  # (B, heads, T, d) -> (B, T, heads * d)


class TransformerBlock(nn.Module):
    """Pre-norm: attention, then a two-layer perceptron, each added to what came in.

    In training each is left out of an image with probability `drop_path` (stochastic depth).
    """

    def __init__(self, dim: int, heads: int, mlp_ratio: float = 4.0, drop_path: float = 0.0):
        super().__init__()
        hidden = int(dim * mlp_ratio)
        self.norm1, self.attention = nn.LayerNorm(dim, eps=1e-6), Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))
        self.drop = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop(self.attention(self.norm1(x)))
        return x + self.drop(self.mlp(self.norm2(x)))


class ViT(Encoder):
    """Patches, a CLS token, `depth` blocks, a last norm. Positions are computed, so any image size will do.

    The positions of an image of another size than `size` are spread over those of that size. Images whose sides are
    not multiples of `patch` are refused. `pool`: "cls", or "mean" over patches. `drop_path`: how often the last block
    is left out in training, less for those before it, never for the first.
    """

    def __init__(
        self,
        size: int = 32,
        patch: int = 4,
        dim: int = 192,
        depth: int = 6,
        heads: int = 3,
        pool: str = "cls",
        drop_path: float = 0.0,
    ):
        super().__init__()
        self.patch, self.dim, self.pool, self.side = patch, dim, pool, size // patch
        self.embed = nn.Conv2d(3, dim, patch, patch)
        self.cls = nn.Parameter(torch.zeros(1, 1, dim))
        drops = torch.linspace(0, drop_path, depth).tolist()
        self.blocks = nn.ModuleList(TransformerBlock(dim, heads, drop_path=drop) for drop in drops)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.apply(self._initialise)
        nn.init.normal_(self.cls, std=0.02)

    @staticmethod
    def _initialise(module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)

    def patches(self, images: Tensor) -> Tensor:
        """Embedded patches with their positions, row-major, without CLS: (B, T, dim)."""
        if images.shape[-1] % self.patch or images.shape[-2] % self.patch:
            raise UserError(
                f"images of {tuple(images.shape[-2:])} do not divide into patches of {self.patch} pixels"
            )
        x = self.embed(self.normalise(images))
        positions = sincos_positions(x.shape[-2], x.shape[-1], self.dim, self.side).to(x)
        return x.flatten(2).transpose(1, 2) + positions  # (B, D, h, w) -> (B, h * w, D)

    def with_cls(self, patches: Tensor) -> Tensor:
        return torch.cat(
            [self.cls.expand(len(patches), -1, -1), patches], dim=1
        )  # (B, T, D) -> (B, 1 + T, D)

    def encode(self, x: Tensor) -> Tensor:
        """Blocks and last norm over any tokens: (B, T, dim) -> (B, T, dim)."""
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def all_tokens(self, images: Tensor) -> Tensor:
        """CLS first, then the patches: (B, 1 + T, dim)."""
        return self.encode(self.with_cls(self.patches(images)))

    def tokens(self, images: Tensor) -> Tensor:
        return self.all_tokens(images)[:, 1:]

    def final_map(self, images: Tensor) -> Tensor:
        x = self.tokens(images)
        h, w = images.shape[-2] // self.patch, images.shape[-1] // self.patch
        return x.transpose(1, 2).unflatten(2, (h, w))  # (B, T, D) -> (B, D, h, w)

    def layers(self, images: Tensor) -> dict[str, Tensor]:
        """Patch tokens after every block, before the last norm: (B, T, dim) each."""
        x, found = self.with_cls(self.patches(images)), {}
        for i, block in enumerate(self.blocks):
            x = block(x)
            found[f"block{i + 1}"] = x[:, 1:]
        return found

    def attention(self, images: Tensor) -> Tensor:
        return self.attention_weights(images)[:, :, 0, 1:]  # (B, heads, 1 + T, 1 + T) -> (B, heads, T)

    def attention_weights(self, images: Tensor, block: int = -1) -> Tensor:
        """Who looks where in one block, CLS first, then the patches: (B, heads, 1 + T, 1 + T)."""
        x = self.with_cls(self.patches(images))
        chosen = list(self.blocks)[block]
        for each in self.blocks:
            if each is chosen:
                return each.attention.weights(each.norm1(x))
            x = each(x)
        raise AssertionError("unreachable: the chosen block is one of the blocks")

    def forward(self, images: Tensor) -> Tensor:
        x = self.all_tokens(images)
        return x[:, 0] if self.pool == "cls" else x[:, 1:].mean(1)
