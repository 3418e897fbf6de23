"""A method that uses every part of the protocol and writes down what happens to it."""

import torch
from torch import nn
from torch.nn import functional as F

from sslcourse.methods import Method, Paper


class Stub(Method):
    """`kept`: the moving average of the encoder."""

    name, chapter = "stub", "tests"
    paper = Paper("A stub", "Nobody", "Nowhere", 2000)
    uses_labels = True

    def __init__(self, encoder, *, momentum: float = 0.9, fail_at: int = -1):
        super().__init__(encoder)
        from sslcourse.methods.parts.frozen import frozen
        from sslcourse.nets import random_like

        self.momentum, self.fail_at = momentum, fail_at
        self.head = nn.Linear(encoder.dim, 4)
        self.teacher = frozen(random_like(encoder))
        self.register_buffer("queue", torch.zeros(8, encoder.dim))
        self.register_buffer("prior", torch.zeros(1))
        self.events: list[str] = []
        self.seen: list[torch.Tensor] = []

    @property
    def kept(self):
        return self.teacher.module

    def parameter_groups(self):
        return [
            {"params": list(self.encoder.parameters())},
            {"params": list(self.head.parameters()), "lr_scale": 10.0, "weight_decay": 0.0},
        ]

    def prepare(self, data):
        self.events.append("prepare")
        self.prior += len(data.train)

    def start_epoch(self, data):
        self.events.append("start_epoch")

    def loss(self, images, index=None, labels=None):
        self.events.append("loss")
        self.seen.append(index.clone())
        images = images + 0.05 * torch.randn_like(images)
        h = self.encoder(images)
        self.latest = h.detach()
        loss = F.cross_entropy(self.head(h), labels)
        if len(self.seen) == self.fail_at:
            loss = loss * float("nan")
        return {"loss": loss, "queue": self.queue.norm()}

    def before_step(self):
        assert self.head.weight.grad is not None
        self.events.append("before_step")

    def after_step(self):
        assert not torch.is_grad_enabled()
        self.events.append("after_step")
        self.queue.copy_(torch.cat([self.latest, self.queue])[:8])
        for slow, fast in zip(self.teacher.parameters(), self.encoder.parameters(), strict=True):
            slow.lerp_(fast, 1 - self.momentum)
