"""One experiment for every shortcut: train each variant on a world and on a control, and probe what it learned."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sslcourse import evaluate, nets
from sslcourse.data.images import Data, ImageSet, pick_device
from sslcourse.errors import UserError
from sslcourse.methods import Method
from sslcourse.nets import Encoder
from sslcourse.shortcuts.controls import mapped
from sslcourse.training import recipes
from sslcourse.training.pretraining import pretrain
from sslcourse.training.recipes import Recipe


@dataclass(frozen=True)
class Variant:
    """One way to set the pretext task. `build(encoder)` makes the method; `kind` is "leaky", "cured", "between" or "baseline".

    world and control: data of its own, where the variants differ in the data and not in the method.
    """

    name: str
    kind: str
    build: Callable[[Encoder], Method]
    world: Callable[[int], Data] | None = None
    control: Callable[[int], Data] | None = None
    encoder: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Shortcut:
    """A leak, its cures, and how to measure them.

    warns: what the talk says, in our words. task: what pretext accuracy is. chance: of the task; control_chance: on
    the control, where it differs. world(seed): data to
    train and judge on; control(seed): data without content (None: none is possible). probe: labelled data, or a
    name. extra: name -> data on which the network that has seen nothing but the control is
    judged too. steps: of training, each. treat: makes whole images look like those of the task, for a second probe.
    closed: closes the leak of a trained method, where no control exists. batch_statistics: judge the task with
    each batch's own statistics, as in training.
    """

    name: str
    warns: str
    task: str
    chance: float
    variants: tuple[Variant, ...]
    world: Callable[[int], Data] | None
    control: Callable[[int], Data] | None = None
    control_name: str = ""
    control_chance: float | None = None
    probe: Callable[[], Data] | None = None
    extra: dict[str, Callable[[int], Data]] = field(default_factory=dict)
    steps: int = 200
    control_steps: int = 200
    batch: int = 64
    encoder: dict = field(default_factory=dict)
    treat: Callable[[Tensor], Tensor] | None = None
    closed: Callable[[Method], None] | None = None
    batch_statistics: bool = False


@torch.no_grad()
def heldout_accuracy(
    method: Method, part: ImageSet, seed: int = 0, batch: int = 256, batch_statistics: bool = False
) -> float:
    """How well a trained method solves its own task on images it has not seen: the mean of `accuracy` it logs."""
    training, device = method.training, next(method.parameters()).device
    before = {name: buffer.clone() for name, buffer in method.named_buffers()}
    method.train(batch_statistics)
    total = count = 0.0
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for images, index, labels in part.batches(min(batch, len(part)), device=device, drop_last=True):
            total += float(method.loss(images, index, labels)["accuracy"]) * len(images)
            count += len(images)
    method.train(training)
    for (
        name,
        buffer,
    ) in method.named_buffers():  # training mode moves running statistics: test images must not
        buffer.copy_(before[name])
    return total / count


def train(
    build: Callable[[Encoder], Method],
    shortcut: Shortcut,
    variant: Variant,
    data: Data,
    steps: int,
    seed: int,
    device: str,
) -> Method:
    """A method trained for about `steps` steps on data.train."""
    smoke = recipes.profile() == "smoke"
    steps, batch = (3, 16) if smoke else (steps, shortcut.batch)
    spec = {"name": "small", **shortcut.encoder, **variant.encoder}
    if smoke and spec["name"] == "small":
        spec["width"] = 8
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        method = build(nets.encoder(size=data.size, **spec))
    each = max(len(data.train) // batch, 1)
    recipe = Recipe(
        epochs=max(1, round(steps / each)), batch=batch, optimizer="adamw", lr=2e-3, weight_decay=0.01,
        steps_per_epoch=3 if smoke else 0,
    )  # fmt: skip
    return pretrain(method, data, recipe=recipe, seed=seed, device=device).method


def experiment(
    shortcut: Shortcut, seed: int = 0, variants: Sequence[str] | None = None, device: str = "auto"
) -> Iterator[dict]:
    """A row per variant: pretext, control and probe accuracy, the random encoder's probe beside them.

    variants: names of those to run (default: all).
    """
    device = str(pick_device(device))
    known = [variant.name for variant in shortcut.variants]
    if unknown := [name for name in variants or [] if name not in known]:
        raise UserError(
            f"shortcut {shortcut.name} has no variant {unknown[0]!r}: choose from {', '.join(known)}"
        )
    limit = 64 if recipes.profile() == "smoke" else None
    known_probes: dict[str, float] = {}

    def random_probe(encoder: Encoder, probe: Data) -> float:
        """Of the same architecture on the same data, measured once."""
        key = json.dumps([encoder.spec, probe.name], sort_keys=True)
        if key not in known_probes:
            known_probes[key] = linear(encoder, probe, seed, device)
        return known_probes[key]

    for variant in shortcut.variants:
        if variants and variant.name not in variants:
            continue
        start = time.perf_counter()
        world = first((variant.world or shortcut.world)(seed), limit)
        probe = first(shortcut.probe(), limit) if shortcut.probe else world
        judged = {"seed": seed, "batch": shortcut.batch, "batch_statistics": shortcut.batch_statistics}
        method = train(variant.build, shortcut, variant, world, shortcut.steps, seed, device)
        row = {
            "shortcut": shortcut.name,
            "variant": variant.name,
            "kind": variant.kind,
            "pretext_accuracy": heldout_accuracy(method, world.test, **judged),
            "control_accuracy": None,
            "chance": shortcut.chance,
            "control_chance": shortcut.control_chance or shortcut.chance,
            "probe_accuracy": linear(method.kept, probe, seed, device),
            "random_probe": random_probe(nets.random_like(method.kept, seed), probe),
        }
        treat = shortcut.treat or getattr(method, "treated", None)
        if treat is not None:  # the probe on images that look like those of the pretext task
            row["treated_probe"] = linear(method.kept, treated(probe, treat, seed), seed, device)
        make = variant.control or shortcut.control
        if make is not None:
            data = first(make(seed), limit)
            blind = train(variant.build, shortcut, variant, data, shortcut.control_steps, seed, device)
            row["control_accuracy"] = heldout_accuracy(blind, data.test, **judged)
            for name, other in shortcut.extra.items():
                row[f"{name}_accuracy"] = heldout_accuracy(blind, first(other(seed), limit).test, **judged)
        if shortcut.closed is not None:
            shortcut.closed(method)
            row["closed_accuracy"] = heldout_accuracy(method, world.test, **judged)
        yield {**row, "seed": seed, "seconds": time.perf_counter() - start, "device": device}


def linear(encoder: Encoder, data: Data, seed: int, device: str) -> float:
    return evaluate.linear(encoder, data, seed=seed, device=device, beside_random=False).value


def first(data: Data, limit: int | None) -> Data:
    if limit is None:
        return data
    return Data(data.name, *(part[:limit] for part in (data.train, data.val, data.test)))


def treated(data: Data, treat: Callable[[Tensor], Tensor], seed: int) -> Data:
    """The data with all images treated as those of a task are; what is random in it comes from `seed`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return mapped(data, f"{data.name}, treated", treat)
