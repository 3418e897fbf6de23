"""Projection heads: what stands between the features and the loss, and is thrown away."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm


def projection_head(
    inputs: int, hidden: int, outputs: int, layers: int = 2, *, last_norm: bool = True
) -> nn.Sequential:
    """A perceptron of `layers` linear maps, each without bias and followed by batch norm (SimCLR's code).

    Hidden norms have scale, offset and a ReLU; the last (if `last_norm`) has neither offset nor ReLU.
    """
    widths = [inputs] + [hidden] * (layers - 1) + [outputs]
    parts: list[nn.Module] = []
    for i in range(layers):
        last = i == layers - 1
        parts.append(nn.Linear(widths[i], widths[i + 1], bias=last and not last_norm))
        if not last:
            parts += [nn.BatchNorm1d(widths[i + 1]), nn.ReLU(inplace=True)]
        elif last_norm:
            norm = nn.BatchNorm1d(outputs)
            norm.bias.requires_grad_(False)
            parts.append(norm)
    return nn.Sequential(*parts)


def bare_head(
    inputs: int, hidden: int, outputs: int, layers: int = 2, *, last_norm: bool = False
) -> nn.Sequential:
    """`projection_head` whose end learns neither scale nor offset: a linear map, or (`last_norm`) a batch norm after it."""
    made = projection_head(inputs, hidden, outputs, layers)
    made[-1] = nn.BatchNorm1d(outputs, affine=False)
    return made if last_norm else made[:-1]


class DINOHead(nn.Module):
    """(..., inputs) -> (..., outputs): a perceptron, unit length, and a linear map to as many outputs as prototypes.

    `layers` linear maps, GELU between them (and with `norm` batch norm), the last to `bottleneck` numbers; `last` has no
    bias and its weights are g v / |v|, g = 1 fixed unless `norm_last_layer` is False (Caron et al. 2021, 2104.14294).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: int = 2048,
        bottleneck: int = 256,
        layers: int = 3,
        norm: bool = False,
        norm_last_layer: bool = True,
    ):
        super().__init__()
        widths, parts = [inputs] + [hidden] * (layers - 1) + [bottleneck], []
        for i in range(layers):
            if i > 0:
                parts += [nn.BatchNorm1d(hidden)] if norm else []
                parts.append(nn.GELU())
            parts.append(nn.Linear(widths[i], widths[i + 1]))
            nn.init.trunc_normal_(parts[-1].weight, std=0.02)
            nn.init.zeros_(parts[-1].bias)
        self.mlp = nn.Sequential(*parts)
        self.last = weight_norm(nn.Linear(bottleneck, outputs, bias=False))
        g = self.last.parametrizations.weight.original0  # (K, 1)
        nn.init.ones_(g)
        g.requires_grad_(not norm_last_layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.normalize(self.mlp(x), dim=-1))
