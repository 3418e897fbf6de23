"""pretrain: the only training. It knows the Method protocol and nothing about any method."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from sslcourse.data.images import Data, ImageSet, pick_device
from sslcourse.errors import UserError
from sslcourse.memory import keep_freed_memory
from sslcourse.methods import METHODS
from sslcourse.methods.method import Method
from sslcourse.training import recipes
from sslcourse.training.fabric import make_fabric
from sslcourse.training.loop import Loop, private_randomness
from sslcourse.training.recipes import Recipe
from sslcourse.training.run import (
    Run,
    build,
    is_whole,
    later_fields,
    read_state,
    refuse_unwritable,
)
from sslcourse.training.teacher import find_teacher


@contextmanager
def gentle_interrupt(loop: Loop) -> Iterator[None]:
    """The first Ctrl-C ends after the current step, saved; the second (or any of several processes) at once."""
    if loop.fabric.world_size > 1:
        yield
        return

    def handle(signum, frame):
        if loop.interrupted:
            raise KeyboardInterrupt
        loop.interrupted = True

    try:
        previous = signal.signal(signal.SIGINT, handle)
    except ValueError:  # not the main thread: leave signals alone
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def refuse_mismatch(method: str | Method, data: Data) -> None:
    """One line if a method that learns from clips gets images, or the reverse, or was built for another size."""
    method = METHODS.get(method) if isinstance(method, str) else method  # an unknown name: `build` will say
    clips = isinstance(data.train, ImageSet) and data.train.images.ndim == 5  # a streamed set is images
    size = getattr(method, "size", None)
    if isinstance(size, int) and size != data.size:
        raise UserError(
            f"{method.name} was built for images of {size} px and {data.name} has {data.size}: give size={data.size}"
        )
    if method is None or method.clips == clips:
        return
    if method.clips:
        raise UserError(
            f"{method.name} learns from clips (N, T, 3, H, W) and {data.name} is images: use toybox-video"
        )
    raise UserError(f"{method.name} learns from images (N, 3, H, W) and {data.name} is clips: use toybox")


def pretrain(
    method: str | Method,
    data: Data,
    *,
    teacher: Run | str | Path | None = None,
    recipe: Recipe | None = None,
    epochs: int | None = None,
    out: str | Path | None = None,
    resume: bool = True,
    extend: bool = False,
    seed: int = 0,
    device: str = "auto",
    precision: str = "32",
    on_epoch: Callable[[Run], dict] | None = None,
) -> Run:
    """Train a method on `data.train` and return the run.

    method: a name of METHODS, or a Method that is already built. teacher: the finished run that a second stage learns
    from, or its folder; the run keeps what it needs of it, and goes on without it. recipe: what to train with
    (default: `recipes.recipe`); epochs: override its number of epochs. out: folder of the run; if it holds an unfinished
    one with the same configuration, training goes on where it was saved (`resume=False` starts afresh).
    extend: go on from the end of the finished run in `out`, up to `epochs` in all, with a new schedule (extend.py).
    device: "auto", "cpu", "cuda", "mps". precision: "32", "bf16", "fp16" (mixed), "64". on_epoch(run) -> dict
    joins the history; it may draw random numbers without changing the training. Under torchrun every
    process calls this and all act as one. Raises UserError for bad input, Diverged for a loss that is
    not finite; on Ctrl-C saves, then raises KeyboardInterrupt.
    """
    if not len(data.train):
        raise UserError(f"{data.name} has no training images")
    refuse_mismatch(method, data)
    recipe = recipe or recipes.recipe(method if isinstance(method, str) else method.name, data.name)
    recipe = replace(recipe, epochs=epochs) if epochs is not None else recipe
    out = Path(out) if out is not None else None
    if extend and (out is None or not resume):
        raise UserError("--extend goes on with the run in --out and cannot be with --fresh")
    state = read_state(out) if out is not None and resume else None
    if extend and state is None:
        raise UserError(f"{out} holds no run to extend: train it first, without --extend")
    # a run from before the recipe had a field goes on as it began
    older = later_fields(state[1]["config"]) if state else {}
    recipe = replace(recipe, **older)
    if recipe.epochs < 1:
        raise UserError(f"epochs = {recipe.epochs}: train for at least 1")
    if not 0 <= recipe.lr < math.inf:
        raise UserError(f"lr = {recipe.lr}: give a positive number")
    fabric = make_fabric(pick_device(device), precision)
    keep_freed_memory()
    with private_randomness(fabric.device):
        learned, told = find_teacher(method, teacher, state[1]["config"] if state else None, out)
        torch.manual_seed(seed)
        if isinstance(method, str):
            method = build(method, data, recipe, learned)
        if isinstance(data.train, ImageSet) and data.train.device != fabric.device:
            data = replace(data, train=data.train.to(fabric.device))
        loop = Loop(method, data, recipe, out, seed, fabric)
        run = loop.run = Run(method, {**loop.config(data.name, precision), **told}, loop.history)
        for name in older:
            del run.config["recipe"][name]
        torch.manual_seed(seed + 1_000_003 * (fabric.global_rank + 1))
        if state is not None:
            loop.resume(*state, extend)
        unfinished = loop.step < loop.steps * recipe.epochs
        if out is not None and fabric.global_rank == 0:
            if unfinished:
                refuse_unwritable(out)
            elif not is_whole(out, json.loads(json.dumps(run.config))):
                run.save(out)  # the state alone tells them all
        if state is None:
            method.prepare(data)
        with gentle_interrupt(loop):
            while loop.step < loop.steps * recipe.epochs:
                loop.epoch()
                loop.end_epoch(on_epoch, run)
                loop.save()
                if loop.interrupted and loop.step < loop.steps * recipe.epochs:
                    raise KeyboardInterrupt
        method.progress = 1.0
        method.eval()
    return run
