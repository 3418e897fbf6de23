"""Our code, not the library's detection, decides which processes train together."""

import pytest
import torch
from lightning_fabric import Fabric

from sslcourse.errors import UserError
from sslcourse.training.fabric import make_fabric

ALLOCATION = {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "2", "SLURM_JOB_NAME": "train"}
TASK = {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
LSF = {"LSB_JOBID": "1", "LSB_DJOB_RANKFILE": "/none", "JSM_NAMESPACE_LOCAL_RANK": "0"}
TORCHRUN = {
    "WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0",
    "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29400",
}  # fmt: skip


def fabric(monkeypatch, environment: dict[str, str]) -> Fabric:
    """For the CPU under that environment; no process group is opened."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Fabric, "launch", lambda self: None)
    return make_fabric(torch.device("cpu"), "32")


@pytest.mark.parametrize(
    "environment",
    [
        ALLOCATION,  # salloc
        ALLOCATION
        | TASK
        | {"ENVIRONMENT": "BATCH"},  # the script of sbatch is no task, though it has a number
        ALLOCATION | {"SLURM_NTASKS_PER_NODE": "2"},
        ALLOCATION | TASK | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_ID": "0"},  # srun --ntasks=1
        LSF | {"JSM_NAMESPACE_SIZE": "1"},
        {"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"},
        {"LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"},
        {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"},
    ],
)
def test_one_device_trains_as_anywhere(monkeypatch, environment):
    made = fabric(monkeypatch, environment)
    assert (made.world_size, made.global_rank, made.device.type) == (1, 0, "cpu")


@pytest.mark.parametrize("allocation", [{}, ALLOCATION, ALLOCATION | TASK | {"SLURM_STEP_NUM_TASKS": "2"}])
def test_what_torchrun_says_is_what_counts(monkeypatch, allocation):
    made = fabric(monkeypatch, allocation | TORCHRUN)
    assert (made.world_size, made.global_rank, made.local_rank, made.node_rank) == (2, 1, 1, 0)


@pytest.mark.parametrize(
    ("launcher", "environment"),
    [
        ("srun", ALLOCATION | TASK),
        ("srun", ALLOCATION | TASK | {"SLURM_PROCID": "1"}),
        ("srun", ALLOCATION | TASK | {"ENVIRONMENT": "BATCH", "SLURM_STEP_NUM_TASKS": "2"}),
        ("srun", TASK | {"SLURM_JOB_NAME": "bash", "SLURM_STEP_NUM_TASKS": "2"}),
        ("mpirun", {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"}),
        ("mpirun", {"PMI_SIZE": "2", "PMI_RANK": "1"}),
        ("jsrun", LSF | {"JSM_NAMESPACE_SIZE": "2"}),
    ],
)
def test_tasks_that_would_each_train_alone_are_told_of_torchrun(monkeypatch, launcher, environment):
    with pytest.raises(UserError, match=f"{launcher} started 2 .*torchrun") as caught:
        fabric(monkeypatch, environment)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, "WORLD_SIZE = 2 .*LOCAL_RANK"),
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE = 2 .* RANK"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE = 'two' is not a number"),
    ],
)  # fmt: skip
def test_a_world_without_places_in_it_is_told_of_torchrun(monkeypatch, environment, message):
    with pytest.raises(UserError, match=f"{message}.*torchrun"):
        fabric(monkeypatch, environment)
