"""CPC's autoregressive network over a grid of features: nothing masked, only shifted down by a row."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class RowsAbove(nn.Module):
    """g_ar: z (B, D, h, w) -> contexts c (B, D, h, w); row i of c knows rows <= i of z and all that is beside.

    The residual blocks of CPC v2's appendix. Only the 2x1 convolution looks at another row, the one above; so
    `depth` blocks see `depth` rows up, and as many columns to either side.
    """

    def __init__(self, dim: int, hidden: int, depth: int):
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(
                *(nn.Conv2d(dim, hidden, 1), nn.ReLU(inplace=True)),
                nn.Conv2d(hidden, hidden, (1, 3), padding=(0, 1)),
                *(nn.ZeroPad2d((0, 0, 1, 0)), nn.Conv2d(hidden, hidden, (2, 1)), nn.ReLU(inplace=True)),
                nn.Conv2d(hidden, dim, 1),
            )
            for _ in range(depth)
        )

    def forward(self, z: Tensor) -> Tensor:
        for block in self.blocks:
            z = z + block(z)
        return F.relu(z)
