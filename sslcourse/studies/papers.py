"""Numbers that papers print and the talk does not, so that lessons can lay ours beside them. Accuracies as shares."""

from __future__ import annotations

# SimCLR (Chen et al. 2020, 2002.05709), ImageNet, ResNet-50, linear evaluation, top-1. Table B.1, of which Figure 9 shows
# the first of each pair: learning rate scaled with the batch, and with its square root. {epochs: {batch: (a, b)}}
SIMCLR_BATCHES = {
    100: {256: (0.575, 0.628), 512: (0.607, 0.638), 1024: (0.628, 0.643),
          2048: (0.640, 0.647), 4096: (0.646, 0.645), 8192: (0.648, 0.648)},
    200: {256: (0.619, 0.643), 512: (0.640, 0.656), 1024: (0.653, 0.661),
          2048: (0.661, 0.668), 4096: (0.665, 0.668), 8192: (0.666, 0.670)},
    400: {256: (0.647, 0.657), 512: (0.662, 0.667), 1024: (0.672, 0.672),
          2048: (0.681, 0.679), 4096: (0.682, 0.680), 8192: (0.678, 0.683)},
    800: {256: (0.666, 0.665), 512: (0.678, 0.674), 1024: (0.685, 0.683),
          2048: (0.689, 0.688), 4096: (0.689, 0.691), 8192: (0.690, 0.691)},
}  # fmt: skip
# Table 1, 100 epochs: strength of the colour distortion -> top-1
SIMCLR_COLOUR = {0.125: 0.596, 0.25: 0.610, 0.5: 0.626, 1.0: 0.632}
# Table 5, 100 epochs: temperature -> (how often the partner is found, top-1)
SIMCLR_TEMPERATURES = {0.05: (0.905, 0.597), 0.1: (0.878, 0.644), 0.5: (0.682, 0.607), 1.0: (0.591, 0.580)}
# Table 3: what a small network reads in h and in z = g(h), and what guessing gives
SIMCLR_READ = {
    "grey or not": (0.800, 0.993, 0.974),
    "which quarter turn": (0.250, 0.676, 0.256),
    "noise added or not": (0.500, 0.995, 0.596),
    "Sobel filtered or not": (0.500, 0.966, 0.563),
}
