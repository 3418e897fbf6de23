"""DINO: a student of many crops finds the distribution that its own slow copy gives the whole image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sslcourse.data.images import Data
from sslcourse.methods.method import Method, Paper
from sslcourse.methods.parts.blurs import blurs
from sslcourse.methods.parts.centre import Centre
from sslcourse.methods.parts.clip import clip_each
from sslcourse.methods.parts.count import Count
from sslcourse.methods.parts.gathered import global_sum, world_size
from sslcourse.methods.parts.momentum import follow, rising, teacher_copy
from sslcourse.methods.parts.multicrop import across_crops, encode_crops
from sslcourse.methods.parts.precision import full_precision
from sslcourse.nets import DINOHead, Encoder
from sslcourse.views import dino_views


@full_precision
def self_distillation(g_s: Tensor, g_t: Tensor, c: Tensor, tau_s: float, tau_t: float) -> dict[str, Tensor]:
    """`loss`, the mean of H(P_t(x), P_s(x')) over the pairs of a teacher's crop x and another crop x'; three measures.

    Raw outputs of the student for all crops g_s (V, B, K) and of the teacher for the first of them g_t (U, B, K), crop
    by crop in the same order; the centre c (K,). P_t = softmax((g_t - c) / tau_t), P_s = softmax(g_s / tau_s).
    Equation (3). `entropy`: the mean h(P_t), log K if all outputs are alike; `kl`: the mean D(P_t | P_s) = loss - entropy;
    `mean_entropy`: h of the mean P_t, 0 if one output wins for every image.
    """
    P_t = ((g_t.detach() - c) / tau_t).softmax(-1)
    loss = across_crops(P_t, (g_s / tau_s).log_softmax(-1))
    mean = global_sum(P_t.mean((0, 1))) / world_size()
    entropy, mean_entropy = (torch.special.entr(P).sum(-1).mean() for P in (P_t, mean))
    return {"loss": loss, "entropy": entropy, "kl": loss.detach() - entropy, "mean_entropy": mean_entropy}


class DINO(Method):
    """Self-distillation without labels: the student's answers to all crops match the teacher's to the large ones.

    L = mean over x of the two large crops and x' of all others of H(P_t(x), P_s(x')), P_t = softmax((g_t - c) /
    tau_t), P_s = softmax(g_s / tau_s), g an encoder and a head of K outputs. The teacher is a slow copy of the
    student, theta_t <- lambda theta_t + (1 - lambda) theta_s, lambda rising from `momentum` to 1 on a cosine,
    without dropout. Two things keep it from saying the same of every image. `centring`: c, the slow mean of g_t, is
    taken away, so that no output wins for all; without it c stays 0. `sharpening`: tau_t, rising from
    `teacher_temperature` to `final_teacher_temperature` over the first `teacher_warmup` epochs, is below tau_s, so
    that not all outputs are alike; without it tau_t = tau_s. Logged, for curves of a collapse as in Figure 7: see
    `self_distillation`. Two large crops of at least `min_scale` of the image, `n_local` small ones of
    `local_scale`, of `local_size` pixels (None: half of the encoder's size), for the student alone. `head_norm`:
    batch norm in the head. `norm_last_layer`: the last layer's weights keep unit length; it has no gradient in the
    first `freeze_last_layer` epochs. Each gradient is shortened to `clip`. Weight decay goes to
    `final_weight_decay` (None: stays). `kept`: the teacher's encoder.

    A step: crops; g_t, g_s; loss with c as it was; c moves; clipped gradients; optimiser; theta_t follows.
    Symbols: K -> `outputs`, tau_s -> `temperature`, tau_t -> `tau_t`, m -> `centre_momentum`, c -> `centre.value`;
    lambda -> `momentum` at the start; theta_s -> `encoder`, `head`; theta_t -> `teacher`, `teacher_head`.
    Differs: the learning rate falls to 0, theirs to 1e-6. In their ViTs positions are learned. No blur at 32 px or
    less. Their small crops have 96 of 224 pixels. That no sharpening means tau_t = tau_s is our reading of Figure 7.
    """

    name = "dino"
    chapter = "distillation"
    paper = Paper(
        "Emerging Properties in Self-Supervised Vision Transformers",
        "Caron, Touvron, Misra, Jegou, Mairal, Bojanowski, Joulin", "ICCV", 2021, "2104.14294",
    )  # fmt: skip

    def __init__(
        self,
        encoder: Encoder,
        *,
        outputs: int = 65536,
        hidden: int = 2048,
        bottleneck: int = 256,
        head_norm: bool = False,
        norm_last_layer: bool = True,
        freeze_last_layer: int = 1,
        temperature: float = 0.1,
        teacher_temperature: float = 0.04,
        final_teacher_temperature: float = 0.07,
        teacher_warmup: int = 30,
        momentum: float = 0.996,
        centre_momentum: float = 0.9,
        centring: bool = True,
        sharpening: bool = True,
        clip: float = 3.0,
        final_weight_decay: float | None = 0.4,
        n_local: int = 8,
        local_size: int | None = None,
        min_scale: float = 0.4,
        local_scale: Sequence[float] = (0.05, 0.4),
        hue: float = 0.1,
        blur: bool | None = None,
    ):
        super().__init__(encoder)
        self.outputs, self.hidden, self.bottleneck = outputs, hidden, bottleneck
        self.head_norm = head_norm
        self.norm_last_layer, self.freeze_last_layer = norm_last_layer, freeze_last_layer
        self.temperature, self.teacher_temperature = temperature, teacher_temperature
        self.final_teacher_temperature, self.teacher_warmup = final_teacher_temperature, teacher_warmup
        self.momentum, self.centre_momentum = momentum, centre_momentum
        self.centring, self.sharpening = centring, sharpening
        self.clip, self.final_weight_decay = clip, final_weight_decay
        self.n_local, self.local_size = n_local, local_size
        self.min_scale, self.local_scale, self.hue, self.blur = min_scale, list(local_scale), hue, blur
        small = local_size or encoder.spec.get("size", 32) // 2
        self.crops = dino_views(
            None, small, n_local, (min_scale, 1.0), local_scale, blurs(encoder, blur), hue
        )
        self.head = DINOHead(
            encoder.dim, outputs, hidden, bottleneck, norm=head_norm, norm_last_layer=norm_last_layer
        )
        self.teacher, self.teacher_head = teacher_copy(encoder), teacher_copy(self.head)
        self.centre = Centre(outputs, centre_momentum)
        self.epochs = Count()

    @property
    def kept(self) -> Encoder:
        return self.teacher

    def tau_t(self) -> float:
        """The teacher's temperature in this epoch."""
        if not self.sharpening:
            return self.temperature
        start, end, n = self.teacher_temperature, self.final_teacher_temperature, self.teacher_warmup
        past = max(int(self.epochs) - 1, 0)  # epochs
        return end if past >= n else start + (end - start) * past / max(n - 1, 1)

    def parameter_groups(self) -> list[dict]:
        groups = super().parameter_groups()
        if self.final_weight_decay is None:
            return groups
        end = {"final_weight_decay": self.final_weight_decay}
        return [group if "weight_decay" in group else group | end for group in groups]

    def start_epoch(self, data: Data) -> None:
        self.epochs.add()

    def loss(
        self, images: Tensor, index: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        x = self.crops(images)
        with torch.no_grad():
            g_t = self.teacher_head(encode_crops(self.teacher, x[:2])).unflatten(0, (2, -1))
        g_s = self.head(encode_crops(self.encoder, x)).unflatten(0, (len(x), -1))  # (V B, K) -> (V, B, K)
        logged = self_distillation(g_s, g_t, self.centre.value, self.temperature, self.tau_t())
        if self.training and self.centring:
            self.centre.update(g_t)
        return logged

    def before_step(self) -> None:
        clip_each(self.parameters(), self.clip)
        if int(self.epochs) <= self.freeze_last_layer:
            for p in self.head.last.parameters():
                p.grad = None

    def after_step(self) -> None:
        m = rising(self.momentum, self.progress)
        follow(self.teacher, self.encoder, m)
        follow(self.teacher_head, self.head, m)
