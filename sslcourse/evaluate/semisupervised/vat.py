"""VAT: the answer should not change where changing the image a little would change it most."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslcourse.evaluate.semisupervised.baseline import Baseline
from sslcourse.methods.method import Paper


class VAT(Baseline):
    """L = CE(x, y) + weight mean KL(p(u) || p(u + r)) + entropy mean H(p(u)).

    r is the perturbation of length `eps` that changes p(u) most, to second order: see `adversary`. `entropy`
    1 is the talk's row (VAT + EntMin; Grandvalet & Bengio, NeurIPS 2004), 0 is VAT alone. As in the authors'
    code: x passes alone, and only it moves batch norm's running statistics; one pass of u gives p(u), for the
    entropy and, without gradient, for the target. `eps` is in units of [0, 1] at 32 px and grows with the
    side, so that each pixel's share stays: 2 here is 8, theirs for CIFAR-10 with augmentation (10 without), for
    colours that were divided by a deviation of 0.25. Theirs for SVHN, 3.5 and 2.5, are in these units.

    Differs: see `Baseline`. Their CIFAR-10 is ZCA-whitened, so that 8 does not mean quite the same. `xi` is
    1e-3, not 1e-6: see `adversary`. The unlabelled passes are float32 or better also under autocast. The talk's
    number is S4L's authors', whose VAT differs: weight 0.5, eps 40 at 224 px for colours in [-1, 1], on
    labelled images too, x and u in one batch that moves the statistics.
    """

    name = "vat"
    paper = Paper(
        "Virtual Adversarial Training: A Regularization Method for Supervised and Semi-Supervised Learning",
        "Miyato, Maeda, Koyama, Ishii", "TPAMI", 2018, "1704.03976",
    )  # fmt: skip

    def __init__(
        self, *, mu: int = 4, eps: float = 2.0, xi: float = 1e-3, weight: float = 1.0, entropy: float = 1.0
    ):
        super().__init__(mu)
        self.eps, self.xi, self.weight, self.entropy = eps, xi, weight, entropy

    def loss(
        self, net: nn.Sequential, x: Tensor, y: Tensor, u: Tensor | None, progress: float
    ) -> dict[str, Tensor]:
        x, u = self.weak(x), self.weak(u)
        supervised = F.cross_entropy(net(x), y)
        with quiet(net):
            logits = net(u)  # (mu B, C)
        H, smooth = entropy(logits), lds(net, u, self.eps, self.xi, logits.detach())
        return {"loss": supervised + self.weight * smooth + self.entropy * H, "lds": smooth, "entropy": H}


def lds(net: nn.Module, u: Tensor, eps: float, xi: float = 1e-3, logits: Tensor | None = None) -> Tensor:
    """Local distributional smoothness of images u (N, 3, H, W): mean KL(p(u) || p(u + r)), p(u) fixed.

    All its passes see the batch norm of the same images, or KL would not be 0 at r = 0; no running
    statistic moves; autocast is off. `logits` (N, C): those of u, if such a pass is at hand.
    """
    with quiet(net):
        if logits is None:
            with torch.no_grad():
                logits = net(u)
        p = logits.softmax(1)
        r = adversary(net, u, p, eps * u.shape[-1] / 32, xi)
        return kl(p, net(u + r))


def adversary(net: nn.Module, u: Tensor, p: Tensor, eps: float, xi: float) -> Tensor:
    """r (N, 3, H, W) of length eps: one power iteration to the first eigenvector of KL's Hessian at r = 0.

    r = eps g / |g|, g the gradient of KL(p(u) || p(u + r)) at r = xi d, d a random unit vector. The authors'
    xi is 1e-6, but float32 rounds most of p(u + xi d) - p(u) away: g then agrees with float64's to a cosine
    of 0.2 (small network, 32 px), and at 1e-3, the default, to 0.999.
    """
    d = unit(torch.randn_like(u))
    r = (xi * d).requires_grad_()
    (g,) = torch.autograd.grad(kl(p, net(u + r), reduction="sum"), r)
    return eps * unit(g)


def unit(d: Tensor) -> Tensor:
    """Each image of (N, 3, H, W) divided by its length."""
    return F.normalize(d.flatten(1), dim=1).view_as(d)  # (N, 3, H, W) -> (N, 3 * H * W) -> (N, 3, H, W)


def kl(p: Tensor, logits: Tensor, reduction: str = "batchmean") -> Tensor:
    """KL(p || softmax(logits)) of (N, C) probabilities and logits, a mean over N."""
    return F.kl_div(logits.log_softmax(1), p, reduction=reduction)


def entropy(logits: Tensor) -> Tensor:
    """The mean over N of -sum p log p, p = softmax(logits (N, C))."""
    logp = logits.log_softmax(1)
    return -(logp.exp() * logp).sum(1).mean()


@contextlib.contextmanager
def quiet(net: nn.Module) -> Iterator[None]:
    """Within it batch norms that train use the batch's statistics as ever, but do not remember them.

    Autocast is off: bfloat16 rounds a finite difference away.
    """
    device = next((p.device.type for p in net.parameters()), "cpu")
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training]
    norms = [m for m in norms if m.track_running_stats]
    try:
        for norm in norms:
            norm.track_running_stats = False
        with torch.autocast(device, enabled=False):
            yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
