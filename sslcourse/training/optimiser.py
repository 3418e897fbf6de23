"""Optimisers over a method's groups of parameters."""

from __future__ import annotations

import torch
from timm.optim import Lars

from sslcourse.errors import UserError
from sslcourse.methods.method import Method
from sslcourse.training.recipes import Recipe


def make_optimizer(method: Method, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD (with plain or Nesterov's momentum, as the recipe says), AdamW or LARS over the method's groups.

    A group's `base` is its own full learning rate; `constant_lr` says that it stays there. `decay` is its weight decay at
    the start and at the end.
    """
    groups = []
    for group in method.parameter_groups():
        lr = recipe.lr * group.pop("lr_scale", 1.0)
        group = {"weight_decay": recipe.weight_decay, "constant_lr": False, **group, "lr": lr, "base": lr}
        decay = group["weight_decay"]
        groups.append({**group, "decay": (decay, group.pop("final_weight_decay", decay))})
    if recipe.optimizer == "sgd":
        nesterov = recipe.nesterov and recipe.momentum > 0
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=nesterov)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.lr)
    if recipe.optimizer == "lars":
        # timm's, for lightly's asks the device for two norms of every weight, and a GPU would wait for each answer
        return Lars(groups, lr=recipe.lr, momentum=recipe.momentum)
    raise UserError(f"no optimiser {recipe.optimizer!r} in the recipe: choose sgd, adamw or lars")
