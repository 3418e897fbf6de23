"""Health of a representation: has it collapsed, how many directions does it use, how is it spread?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcourse.data.images import Data, ImageSet, pick_device
from sslcourse.evaluate.features import extract
from sslcourse.methods.parts.collapse import unit_std
from sslcourse.views import simclr_view


def effective_rank(features: Tensor) -> float:
    """exp H(p), p the singular values of features (N, D) over their sum: 1 (all on one line) to min(N, D).

    Roy & Vetterli 2007; for self-supervised features RankMe, Garrido et al. 2023 (2210.02885). Not centred.
    """
    values = torch.linalg.svdvals(features.double().cpu())
    p = values / values.sum().clamp_min(1e-12)
    return torch.special.entr(p).sum().exp().item()


def feature_std(features: Tensor) -> float:
    """Mean deviation of the dimensions of l2-normalised features (N, D), times sqrt(D).

    1 is isotropic, 0 collapsed. Chen & He 2021 (SimSiam, 2011.10566).
    """
    return unit_std(features).item()


def alignment(a: Tensor, b: Tensor) -> float:
    """mean |a - b|^2 of l2-normalised features (N, D) of two views: 0 is perfect, 2 is unrelated.

    Wang & Isola 2020 (2005.10242).
    """
    return (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1).mean().item()


def uniformity(features: Tensor) -> float:
    """log mean exp(-2 |x - y|^2) over pairs of l2-normalised features (N, D).

    0 is collapsed, lower is more uniform, -4 is reached in many dimensions. Wang & Isola 2020 (2005.10242).
    """
    distances = torch.pdist(F.normalize(features, dim=1)).square()
    return (torch.logsumexp(-2 * distances, 0) - torch.tensor(len(distances)).log()).item()


def health(
    encoder: Callable,
    data: Data,
    view: Callable | None = None,
    *,
    images: int = 2048,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, float]:
    """effective_rank, feature_std, alignment (of two `view`s, default SimCLR's) and uniformity on `.val`."""
    device = pick_device(device)
    part = data.val[torch.arange(min(images, len(data.val)))]
    view = simclr_view(part.size) if view is None else view
    generator = torch.Generator(device).manual_seed(seed)
    views = []
    for _ in range(2):
        seen = torch.cat([view(batch, generator) for batch, _, _ in part.batches(512, device=device)])
        views.append(extract(encoder, ImageSet(seen.mul(255).round().to(torch.uint8)), device=device))
    features = extract(encoder, part, device=device)
    return {
        "effective_rank": effective_rank(features),
        "feature_std": feature_std(features),
        "alignment": alignment(*views),
        "uniformity": uniformity(features),
    }
