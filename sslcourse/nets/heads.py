"""Projection heads: what stands between the features and the loss, and is thrown away."""

from __future__ import annotations

from torch import nn


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
