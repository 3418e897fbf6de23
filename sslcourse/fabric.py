"""Where a training runs and in which precision: one device, or the processes that torchrun started."""

from __future__ import annotations

import atexit
import os

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from lightning_fabric.strategies import DDPStrategy

from sslcourse.errors import UserError

PRECISIONS = {"32": "32-true", "64": "64-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


class Mixed(MixedPrecision):
    """Mixed precision inside the networks alone.

    Fabric's own would hand the images over in half precision, where views quantise colours and miscount pixels.
    """

    def convert_input(self, data):
        return data


def make_fabric(device: torch.device, precision: str) -> Fabric:
    """Fabric for one device, or for the processes that torchrun started."""
    if precision not in PRECISIONS:
        raise UserError(f"precision {precision!r} is unknown: choose {', '.join(PRECISIONS)}")
    if precision == "fp16" and device.type == "cpu":
        raise UserError("precision fp16 needs a GPU; on a CPU use 32 or bf16")
    world = int(os.environ.get("WORLD_SIZE", 1))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", world))
    # Every process keeps the same buffers by itself, because every loss and norm sees the global batch.
    strategy = DDPStrategy(broadcast_buffers=False, find_unused_parameters=True) if world > 1 else "auto"
    devices = [device.index or 0] if world == 1 and device.type == "cuda" else local
    name = PRECISIONS[precision]
    how = {"plugins": Mixed(name, device.type)} if name.endswith("mixed") else {"precision": name}
    fabric = Fabric(
        accelerator=device.type,
        strategy=strategy,
        devices=devices,
        num_nodes=max(world // local, 1),
        **how,
    )
    fabric.launch()
    if world > 1:
        atexit.register(leave_group)
    return fabric


def leave_group() -> None:
    """Before the interpreter ends: a process group that is still open may abort a process that is done."""
    if dist.is_initialized():
        dist.destroy_process_group()
