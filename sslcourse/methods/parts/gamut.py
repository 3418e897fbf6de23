"""The colours a screen can show, as bins of the ab plane (Zhang, Isola & Efros 2016, 1603.08511)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sslcourse.views.lab import rgb_to_lab


def gamut_bins(step: float, samples: int = 64) -> Tensor:
    """Points of the ab grid with spacing `step` that surround a colour of sRGB: (Q, 2), sorted by a, then b.

    The sRGB cube is enumerated at samples^3 colours; a grid point is a bin if it is a corner of a cell that
    holds one. Step 10 gives 306 bins (the paper's file has 313, over the same range of a and b), step 20
    gives 99. Only 265 cells hold a colour: without their corners the most saturated colours lie outside.
    """
    level = torch.linspace(0, 1, samples, dtype=torch.float64)
    rgb = torch.cartesian_prod(level, level, level)[..., None, None]  # (S^3, 3) -> (S^3, 3, 1, 1)
    cells = (rgb_to_lab(rgb)[:, 1:, 0, 0] / step).floor().unique(dim=0)
    corners = torch.tensor([(0, 0), (0, 1), (1, 0), (1, 1)])
    return ((cells[:, None] + corners).flatten(0, 1).unique(dim=0) * step).float()  # (M, 4, 2) -> (M * 4, 2)


class Gamut(nn.Module):
    """Q bins of the ab plane: colours to bins, and beliefs about bins back to colours.

    `centres` (Q, 2) are their a and b.
    """

    centres: Tensor

    def __init__(self, step: float = 10):
        super().__init__()
        self.step = step
        self.register_buffer("centres", gamut_bins(step))

    def __len__(self) -> int:
        return len(self.centres)

    def distances(self, ab: Tensor) -> Tensor:
        """From every colour to every bin: (B, 2, h, w) -> (B, Q, h, w)."""
        B, _, h, w = ab.shape
        points = ab.permute(0, 2, 3, 1).reshape(-1, 2)  # (B, 2, h, w) -> (B * h * w, 2)
        d = torch.cdist(points.to(self.centres), self.centres, compute_mode="donot_use_mm_for_euclid_dist")
        return d.view(B, h, w, -1).permute(0, 3, 1, 2)  # (B * h * w, Q) -> (B, Q, h, w)

    def nearest(self, ab: Tensor) -> Tensor:
        """(B, 2, h, w) -> the bin of each colour: (B, h, w)."""
        return self.distances(ab).argmin(1)

    def soft_encode(self, ab: Tensor, neighbours: int = 5, sigma: float = 5.0) -> tuple[Tensor, Tensor]:
        """The `neighbours` nearest bins of each colour and their weights, nearest first: (B, K, h, w) each.

        Weights are Gaussian in the distance and sum to 1; all other bins have none. Scattered over Q bins they
        are the paper's Z. (Paper: 5 neighbours; its code: 10. sigma 5 in both.)
        """
        d, index = self.distances(ab).topk(min(neighbours, len(self)), dim=1, largest=False)
        return index, (-d.square() / (2 * sigma**2)).softmax(1)

    def annealed_mean(self, logits: Tensor, T: float = 0.38) -> Tensor:
        """Beliefs (B, Q, h, w) as logits -> ab (B, 2, h, w): the mean of f_T(z) = softmax(log z / T).

        T = 1 is the mean, which is greyish where the net hesitates; T = 0 the mode, which is vivid and spotty.
        """
        if T == 0:
            return self.centres[logits.argmax(1)].permute(0, 3, 1, 2)  # (B, h, w, 2) -> (B, 2, h, w)
        return torch.einsum("bqhw,qc->bchw", (logits.to(self.centres) / T).softmax(1), self.centres)

    def smooth(self, p: Tensor, sigma: float = 5.0) -> Tensor:
        """Frequencies of bins (Q,), each spread over its surroundings by a Gaussian in ab; their sum stays."""
        kernel = (-torch.cdist(self.centres, self.centres).square() / (2 * sigma**2)).exp()
        return (kernel / kernel.sum(0)) @ p


def rebalancing(p: Tensor, lam: float = 0.5) -> Tensor:
    """w proportional to ((1 - lam) p + lam / Q)^-1 with sum_q p_q w_q = 1: rare colours (Q,) count for more.

    lam = 1 weighs all alike, lam = 0 makes every colour matter as much as every other.
    """
    w = 1 / ((1 - lam) * p + lam / len(p)).clamp(
        min=1e-12
    )  # a colour that never occurs has weight, and no effect
    return w / (p * w).sum()
