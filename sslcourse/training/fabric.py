"""Where a training runs and in which precision: one device, or the processes that torchrun started."""

from __future__ import annotations

import atexit
import os

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment, TorchElasticEnvironment
from lightning_fabric.strategies import DDPStrategy

from sslcourse.errors import UserError
from sslcourse.training.precision import PRECISIONS, Mixed

# What torchrun tells each process beside WORLD_SIZE
PLACE = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
# Variable -> the launcher that sets it, in each of as many tasks as it says
TASKS = {
    "SLURM_STEP_NUM_TASKS": "srun",
    "OMPI_COMM_WORLD_SIZE": "mpirun",
    "PMI_SIZE": "mpirun",
    "MV2_COMM_WORLD_SIZE": "mpirun",
    "JSM_NAMESPACE_SIZE": "jsrun",
}


def world_size() -> int:
    """How many processes train together: as many as torchrun says, else one.

    Raises UserError in one of several tasks of another launcher: each would train alone, into the same folder. In
    a bare allocation (salloc, or a script of sbatch) there is no task but this process.
    """
    said = os.environ.get("WORLD_SIZE", "")
    if said:
        if not said.isdecimal() or int(said) < 1:
            raise UserError(f"WORLD_SIZE = {said!r} is not a number of processes: unset it, or use torchrun")
        missing = [name for name in PLACE if name not in os.environ] if int(said) > 1 else []
        if missing:
            raise UserError(
                f"WORLD_SIZE = {said} and there is no {missing[0]}: start the processes with torchrun"
            )
        return int(said)
    tasks = {name: os.environ.get(name, "") for name in TASKS}
    # an older srun may name its tasks in SLURM_NTASKS alone; the script of sbatch has that and a number, too
    if "SLURM_PROCID" in os.environ and not tasks["SLURM_STEP_NUM_TASKS"]:
        if os.environ.get("ENVIRONMENT") != "BATCH":
            tasks["SLURM_STEP_NUM_TASKS"] = os.environ.get("SLURM_NTASKS", "")
    for name, count in tasks.items():
        if count.isdecimal() and int(count) > 1:
            raise UserError(
                f"{TASKS[name]} started {count} tasks, and each would train alone: one `torchrun --nproc-per-node N -m "
                "sslcourse pretrain ...` per node makes N processes one; for a run by itself start 1 task"
            )
    return 1


def make_fabric(device: torch.device, precision: str) -> Fabric:
    """Fabric for one device, or for the processes that torchrun started."""
    if precision not in PRECISIONS:
        raise UserError(f"precision {precision!r} is unknown: choose {', '.join(PRECISIONS)}")
    if precision == "fp16" and device.type == "cpu":
        raise UserError("precision fp16 needs a GPU; on a CPU use 32 or bf16")
    world = world_size()
    local = int(os.environ.get("LOCAL_WORLD_SIZE", world)) if world > 1 else 1  # processes of this node
    # Every process keeps the same buffers by itself, because every loss and norm sees the global batch.
    strategy = DDPStrategy(broadcast_buffers=False, find_unused_parameters=True) if world > 1 else "auto"
    devices = [device.index or 0] if world == 1 and device.type == "cuda" else local
    name = PRECISIONS[precision]
    # ours: Fabric would look for SLURM, LSF and MPI by itself, and take an allocation for a launcher
    environment = TorchElasticEnvironment() if world > 1 else LightningEnvironment()
    mixed = [Mixed(name, device.type)] if name.endswith("mixed") else []
    fabric = Fabric(
        accelerator=device.type,
        strategy=strategy,
        devices=devices,
        num_nodes=max(world // local, 1),
        plugins=[environment, *mixed],
        precision=None if mixed else name,
    )
    fabric.launch()
    if world > 1:
        atexit.register(leave_group)
    return fabric


def leave_group() -> None:
    """Before the interpreter ends: a process group that is still open may abort a process that is done."""
    if dist.is_initialized():
        dist.destroy_process_group()
