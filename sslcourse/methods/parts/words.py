"""Visual words: local features of a teacher, each named by the nearest of a vocabulary, and put in a bag."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.methods.parts.bank import Queue
from sslcourse.methods.parts.gathered import global_sum, world_size
from sslcourse.methods.parts.kmeans import nearest
from sslcourse.methods.parts.precision import full_precision


def local_features(layer: Tensor) -> Tensor:
    """A feature for each place of a layer, row-major: (B, C, h, w), or a transformer's (B, T, C) -> (B, T, C)."""
    return layer.flatten(2).transpose(1, 2) if layer.ndim == 4 else layer  # (B, C, h, w) -> (B, h * w, C)


@full_precision
def counted_bag(features: Tensor, vocabulary: Tensor, binary: bool = False) -> Tensor:
    """How often each word is the nearest, or (`binary`) whether it ever is, as shares of 1: (B, T, C), (K, C) -> (B, K).

    Hard assignment, q^u = argmin_k |f^u - v_k|, of the T features of each image (Gidaris et al. 2020, 2002.12247).
    """
    q = nearest(features.flatten(0, 1), vocabulary)[0].view(len(features), -1)  # (B * T,) -> (B, T)
    y = features.new_zeros(len(features), len(vocabulary)).scatter_add_(
        1, q, torch.ones_like(features[..., 0])
    )
    return F.normalize(y.clamp(max=1) if binary else y, p=1, dim=1)


class OnlineVocabulary(nn.Module):
    """K visual words that follow the teacher: the latest of its local features, raw, in a queue.

    Soft assignment (Gidaris et al. 2021, 2012.11552): q_k(u) = softmax_k(-(inv_delta / mu) |x(u) - v_k|^2). mu, the
    moving average of the mean squared distance to the nearest word, makes the temperature relative; it begins at .5.
    An image gives one word: one place, at random, of the 3x3 means of its map. The queue begins with rectified normal
    noise. The map's border of one pixel is left out where five rows or more leave room for the means.
    """

    def __init__(self, words: int, dim: int, inv_delta: float, decay: float = 0.99):
        super().__init__()
        self.inv_delta, self.decay = inv_delta, decay
        self.queue = Queue(words, dim, unit=False)
        self.register_buffer("mu", torch.tensor(0.5))

    @property
    def words(self) -> Tensor:
        """v, the vocabulary as it is: (K, C)."""
        return self.queue.keys

    @full_precision
    def distances(self, features: Tensor) -> Tensor:
        """Squared, of the features at all places to all words: (B, C, h, w) -> (B, T, K)."""
        x, v = local_features(without_border(features)), self.words
        return (x.square().sum(2, keepdim=True) + v.square().sum(1) - 2 * x @ v.T).clamp_(min=0)

    @torch.no_grad()
    def bag(self, features: Tensor) -> Tensor:
        """y_k proportional to max_u q_k(u), as shares of 1: (B, C, h, w) -> (B, K). In training mu moves before its use."""
        d = self.distances(features)
        if self.training:
            self.mu.lerp_(global_sum(d.amin(2).mean()) / world_size(), 1 - self.decay)
        q = (d * (-self.inv_delta / self.mu)).softmax(2)
        return F.normalize(q.amax(1), p=1, dim=1)

    @torch.no_grad()
    def draw(self, features: Tensor) -> Tensor:
        """A new word from each image: (B, C, h, w) -> (B, C)."""
        x = without_border(features)
        means = local_features(F.avg_pool2d(x, min(3, *x.shape[2:]), stride=1))  # (B, T', C)
        u = (torch.rand(len(x), device=x.device) * means.shape[1]).long()
        return means[torch.arange(len(x), device=x.device), u]

    def push(self, words: Tensor) -> None:
        """Words (B, C) of all processes take the place of the oldest; for `after_step`: no bag may change in a step."""
        self.queue.push(words)


def without_border(features: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C, h - 2, w - 2), or as it is where h or w is below 5."""
    return features[:, :, 1:-1, 1:-1] if min(features.shape[2:]) >= 5 else features


@torch.no_grad()
def perplexity(bags: Tensor) -> Tensor:
    """exp of the entropy of the mean bag over the global batch: how many words are in use, of K. (B, K) -> scalar."""
    share = global_sum(bags.sum(0))
    return torch.special.entr(share / share.sum()).sum().exp()


def entropy(bags: Tensor) -> Tensor:
    """Mean entropy of the bags (B, K), in nats: what a cross-entropy with them cannot fall below."""
    return torch.special.entr(bags).sum(1).mean()
