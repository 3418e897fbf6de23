"""The loop: epochs, steps, learning rates, and the state of a training, saved and resumed."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import NoReturn

import torch
import torch.distributed as dist
from lightly.utils.scheduler import cosine_warmup_schedule
from lightning_fabric import Fabric
from torch import Tensor

from sslcourse.data.images import Data
from sslcourse.data.splits import needed
from sslcourse.errors import Diverged, UserError
from sslcourse.methods import METHODS
from sslcourse.methods.method import Method
from sslcourse.progress import progress
from sslcourse.training import checkpoint
from sslcourse.training.extend import stretches
from sslcourse.training.optimiser import make_optimizer
from sslcourse.training.processes import with_global_batch_norm
from sslcourse.training.recipes import Recipe
from sslcourse.training.run import (
    Run,
    read_history,
)

SAVE_SECONDS = 300.0  # long epochs are also saved this often


@contextmanager
def private_randomness(device: torch.device) -> Iterator[None]:
    """Whatever is drawn inside leaves every global generator as it was."""
    state = checkpoint.random_state(device)
    try:
        yield
    finally:
        checkpoint.restore_random(*state, device)


def data_order(n: int, seed: int, epoch: int) -> Tensor:
    """The order of the rows in an epoch: a function of seed and epoch alone."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))


class Loop:
    """The state of one training, and the means to save and resume it."""

    def __init__(
        self, method: Method, data: Data, recipe: Recipe, out: Path | None, seed: int, fabric: Fabric
    ):
        self.method, self.data, self.recipe = method, data, recipe
        self.out, self.seed, self.fabric = out, seed, fabric
        n, world = len(data.train), fabric.world_size
        self.batch = min(recipe.batch, n) // (
            world * recipe.accumulate
        )  # rows of one process and micro-batch
        if n < 2 * world * recipe.accumulate:
            raise UserError(too_few(data, 2 * world * recipe.accumulate))
        if self.batch < 2:
            raise UserError(
                f"batch {recipe.batch} of {n} images leaves {self.batch} for each process and micro-batch: use 2 or more"
            )
        self.rows = self.batch * world * recipe.accumulate  # of one step
        self.steps = n // self.rows  # per epoch
        if recipe.steps_per_epoch:
            self.steps = min(self.steps, recipe.steps_per_epoch)
        self.step = self.begin = 0  # steps taken; those before this stretch (see extend.py)
        self.warmup = recipe.warmup  # epochs, of this stretch
        self.history: list[dict] = []
        self.sums: dict[str, float] = {}  # of this epoch, so far
        self.seconds = 0.0  # of this epoch, so far
        self.pending: list[dict[str, Tensor]] = []  # logged on the device, not yet looked at
        self.interrupted = False
        if fabric.world_size > 1:
            with_global_batch_norm(method, fabric.device)
        method.to(fabric.device, memory_format=torch.channels_last)
        self.optimizer = make_optimizer(method, recipe)
        if recipe.compile:  # the networks alone: views change their shapes with what they draw
            for part in method.children():
                part.compile()
        self.module, self.optimizer = fabric.setup(method, self.optimizer)

    # ------------------------------------------------------------------ one epoch, one step

    def epoch(self) -> None:
        """The rest of the current epoch."""
        method, fabric = self.method, self.fabric
        number, done = divmod(self.step, self.steps)
        if done == 0:
            method.start_epoch(self.data)
        method.train()
        order = data_order(len(self.data.train), self.seed, number)[: self.steps * self.rows]
        mine = order.view(-1, fabric.world_size, self.batch)[
            done * self.recipe.accumulate :, fabric.global_rank
        ]
        batches = self.data.train.batches(self.batch, order=mine.reshape(-1), device=fabric.device)
        bar = progress(
            self.steps * self.rows,
            f"{method.name} {number + 1}/{self.recipe.epochs}",
            "img",
            done * self.rows,
        )
        if fabric.global_rank > 0:
            bar.disable = True
        start = saved = time.perf_counter()
        for _ in range(done, self.steps):
            self.one_step(batches)
            bar.update(self.rows)
            if len(self.pending) >= (16 if fabric.device.type == "cuda" else 1):
                self.look()
                bar.set_postfix(
                    loss=f"{self.sums['loss'] / ((self.step - 1) % self.steps + 1):.3f}", refresh=False
                )
            now = time.perf_counter()
            self.seconds += now - start
            start = now
            if self.step % self.steps == 0 or fabric.world_size > 1:
                continue  # the end of an epoch is saved with its history; processes agree only there
            if self.interrupted:
                self.save()
                raise KeyboardInterrupt
            if now - saved > SAVE_SECONDS:
                self.save()
                saved = now
        bar.close()
        self.check()
        self.seconds += time.perf_counter() - start

    def one_step(self, batches: Iterator) -> None:
        method, fabric, recipe = self.method, self.fabric, self.recipe
        method.progress = (self.step - self.begin) / (self.steps * recipe.epochs - self.begin)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base"] if group["constant_lr"] else self.learning_rate(group["base"])
            start, end = group["decay"]
            group["weight_decay"] = end + (start - end) * (1 + math.cos(math.pi * method.progress)) / 2
        for i in range(recipe.accumulate):
            images, index, labels = next(batches)
            if fabric.device.type == "cuda":
                images = images.contiguous(memory_format=torch.channels_last) if images.ndim == 4 else images
            with (
                fabric.no_backward_sync(self.module, i < recipe.accumulate - 1)
                if fabric.world_size > 1
                else nullcontext()
            ):
                logged = self.module(images, index=index, labels=labels if method.uses_labels else None)
                fabric.backward(logged["loss"] / recipe.accumulate)
            self.pending.append({name: value.detach() for name, value in logged.items()})
        fabric.strategy.precision.unscale_gradients(self.optimizer.optimizer)  # fp16 had scaled them
        method.before_step()
        if recipe.clip:
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), recipe.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            method.after_step()
        self.step += 1

    def learning_rate(self, base: float) -> float:
        total, warm = self.steps * self.recipe.epochs - self.begin, round(self.steps * self.warmup)
        if total - warm < 2:  # nothing to anneal: the cosine would begin where it ends, at 0
            return base
        return cosine_warmup_schedule(self.step - self.begin, total, base, 0.0, warm, base / (warm + 1), base)

    def look(self) -> None:
        """Fetch what was logged, stop at the first loss that is not finite."""
        first = self.step - len(self.pending) // self.recipe.accumulate
        for i, logged in enumerate(self.pending):
            values = {name: float(value) for name, value in logged.items()}
            if not math.isfinite(values["loss"]):
                self.stop(f"the loss is {values['loss']} at step {first + i // self.recipe.accumulate}")
            for name, value in values.items():
                self.sums[name] = self.sums.get(name, 0.0) + value / self.recipe.accumulate
        self.pending.clear()

    def check(self) -> None:
        """`look`, and the weights: a finite loss may have made them infinite."""
        self.look()
        if not checkpoint.all_finite(self.method.parameters()):
            self.stop(f"a weight is not finite after step {self.step - 1}")

    def stop(self, why: str) -> NoReturn:
        saved = self.out is not None and (self.out / "state.safetensors").exists()
        kept = f"; {self.out} keeps the last good checkpoint" if saved else ""
        raise Diverged(f"{why}{kept}; lower the learning rate or set clip in the recipe")

    def end_epoch(self, on_epoch: Callable[[Run], dict] | None, run: Run) -> None:
        means = {name: total / self.steps for name, total in self.sums.items()}
        if self.fabric.world_size > 1:
            means = {
                name: float(self.fabric.all_reduce(torch.tensor(value, device=self.fabric.device)))
                for name, value in means.items()
            }
        line = {
            "epoch": self.step // self.steps,
            "step": self.step,
            **means,
            "lr": self.optimizer.param_groups[0]["lr"],
            "seconds": round(self.seconds, 3),
            "images_per_second": round(self.steps * self.rows / self.seconds, 1),
        }
        self.history.append(line)
        self.sums, self.seconds = {}, 0.0
        if on_epoch is not None:
            with private_randomness(self.fabric.device):
                self.method.eval()
                line.update(on_epoch(run) or {})

    # ------------------------------------------------------------------ saving, resuming

    def config(self, data_name: str, precision: str) -> dict:
        method = self.method
        known = METHODS.get(method.name) is type(method)
        arguments, origin = method.arguments() if known else {}, self.data.origin
        return {
            "method": method.name if known else type(method).__name__,
            "arguments": arguments,
            "encoder": method.encoder.spec,
            "recipe": asdict(replace(self.recipe, measured="")),
            "data": data_name,  # as it was given
            **({"folder": origin.folder, "files": origin.fingerprint} if origin else {}),
            "size": self.data.size,
            "n_train": len(self.data.train),
            "seed": self.seed,
            "precision": precision,
            "processes": self.fabric.world_size,
        }

    def save(self) -> None:
        """The run's files, and `state.safetensors`, which alone resumes. Process 0 writes; all must call."""
        if self.out is None:
            return
        self.check()
        device = self.fabric.device
        state, others = checkpoint.random_state(device)
        states, all_others = [state], [others]
        if self.fabric.world_size > 1:
            states = list(self.fabric.all_gather(state.to(device)).cpu())
            all_others = [None] * self.fabric.world_size
            dist.all_gather_object(all_others, others)
        if self.fabric.global_rank == 0:
            tensors, numbers = checkpoint.optimizer_tensors(self.optimizer)
            tensors |= {f"model.{name}": value for name, value in self.method.state_dict().items()}
            tensors |= {f"random.{i}": value for i, value in enumerate(states)}
            if self.data.origin:
                tensors["files"] = torch.frombuffer(bytearray(self.data.origin.files), dtype=torch.uint8)
            scaler = getattr(self.fabric.strategy.precision, "scaler", None)
            metadata = {
                "step": self.step, "sums": self.sums, "seconds": self.seconds, "numbers": numbers, "random": all_others,
                "order": f"data_order(n, seed={self.seed}, epoch={self.step // self.steps})", "config": self.run.config,
                "scaler": scaler.state_dict() if scaler is not None else None, "history": self.history,
            }  # fmt: skip
            # last, so that a kill between two names leaves an older state, and what it has trained is done again
            self.run.save(self.out, {"state.safetensors": checkpoint.tensor_writer(tensors, metadata)})
        self.fabric.barrier()

    def resume(self, tensors: dict[str, Tensor], saved: dict, extend: bool) -> None:
        """Take up what `out` holds. A different configuration is refused by name."""
        finished = saved["step"] >= self.steps * saved["config"]["recipe"]["epochs"]
        asked, changed = json.loads(json.dumps(self.run.config)), ""
        if self.data.origin and "files" in tensors:  # an older run does not know them
            changed = self.data.origin.difference(tensors["files"].numpy().tobytes())
        told = stretches(saved["config"], asked, self.out, changed, finished=finished, extend=extend)
        *past, last = told
        if past:
            self.run.config["stretches"] = told
            self.begin, self.warmup = self.steps * sum(each["epochs"] for each in past), last["warmup"]
        device, rank = self.fabric.device, self.fabric.global_rank
        model = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
        checkpoint.load_into(self.method, model, self.out)
        checkpoint.restore_optimizer(self.optimizer, tensors, saved["numbers"])
        checkpoint.restore_random(tensors[f"random.{rank}"], saved["random"][rank], device)
        scaler = getattr(self.fabric.strategy.precision, "scaler", None)
        if scaler is not None and saved["scaler"]:
            scaler.load_state_dict(saved["scaler"])
        self.step, self.sums, self.seconds = saved["step"], saved["sums"], saved["seconds"]
        told = saved["history"] if "history" in saved else read_history(self.out)
        self.history[:] = [line for line in told if line["step"] <= self.step]


def too_few(data: Data, train: int) -> str:
    """Why `data` has not enough images, and how many would leave `train` for training."""
    origin, n = data.origin, len(data.train)
    held_out = sum(len(getattr(data, split)) for split in origin.held_out) if origin else 0
    if not held_out or origin.count != n + held_out:  # not all are used: --limit, or some do not load
        return f"{data.name} has {n} image(s) to train on: give at least {train}, 2 for each process and micro-batch"
    parts = " and ".join(origin.held_out)
    return (
        f"{data.name} has {origin.count} images, {held_out} of them held out for {parts}, which leaves {n}:"
        f" give at least {needed(train, len(origin.held_out))}, or {parts} folders of its own"
    )
