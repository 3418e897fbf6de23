"""The processes that decode images: same pixels whatever their number, no need of /dev/shm, and no silent end."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from sslcourse.data import workers
from sslcourse.data.folder import load_images
from sslcourse.errors import UserError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")


@pytest.fixture
def few_rows(monkeypatch):
    """Tasks of three images, so that small folders make many."""
    monkeypatch.setattr(workers, "TASK", 3 * 3 * 16**2)


def pictures(folder, count, size=16):
    folder.mkdir(exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (count, size, size, 3), dtype=np.uint8)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{i:03}.png")
    return folder


def streamed(folder, number, **options):
    found = load_images(folder, stream=True, **options)
    found.workers = number
    return found


@pytest.mark.filterwarnings("ignore:.*its image is grey")
def test_pixels_are_the_same_whatever_the_number_of_workers(tmp_path, few_rows):
    pictures(tmp_path, 40)
    sets = [streamed(tmp_path, number, skip_corrupt=True) for number in (0, 1, 2, 5)]
    (tmp_path / "007.png").write_text("broken since")
    order = torch.arange(39, -1, -1)
    for batch in (1, 7, 40):
        own, *others = ([*found.batches(batch, order)] for found in sets)
        assert len(own) == -(-40 // batch)
        for other in others:
            assert all(torch.equal(a, b) for x, y in zip(own, other, strict=True) for a, b in zip(x[:2], y[:2], strict=True))  # fmt: skip
    assert (own[0][0][39 - 7] == workers.GREY / 255).all()


def test_decoding_needs_no_shared_memory_of_the_container(tmp_path):
    """A limit on the size of files is one on those in /dev/shm: there, what is larger cannot be shared."""
    pictures(tmp_path / "images", 600, size=64)
    code = """
        import resource, sys
        from sslcourse.data.folder import load_images
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
        for stream in (False, True):
            found = load_images(sys.argv[1], stream=stream)
            found.workers = 2
            assert sum(len(rows) for _, rows, _ in found.batches(256)) == 600
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "images")]
    subprocess.run(command, check=True, timeout=60, env={**os.environ, "SSLCOURSE_WORKERS": "2"})


@pytest.mark.parametrize("in_thread", [False, True])
def test_a_worker_that_dies_ends_the_run_with_one_line(tmp_path, few_rows, in_thread):
    found, told = streamed(pictures(tmp_path, 40), 2), []

    def read():
        batches = found.batches(4)
        next(batches)
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
        try:
            list(batches)
        except UserError as error:
            told.append(str(error))

    if in_thread:
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    else:
        read()
    (line,) = told
    assert "killed by signal 9" in line and "\n" not in line
    assert all(word in line for word in ("/dev/shm", "--shm-size", "--ipc=host", "SSLCOURSE_WORKERS=0"))
    assert not multiprocessing.active_children()


def test_workers_end_with_whoever_stops_reading(tmp_path, few_rows):
    batches = streamed(pictures(tmp_path, 40), 2).batches(4)
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    batches.close()
    assert not multiprocessing.active_children()


def test_workers_end_with_a_training_that_is_killed(tmp_path):
    code = """
        import multiprocessing, os, signal, sys
        from sslcourse.data import workers
        from sslcourse.data.folder import load_images
        workers.TASK = 3 * 3 * 16**2
        found = load_images(sys.argv[1], stream=True)
        found.workers = 2
        batches = found.batches(4)
        next(batches)
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(pictures(tmp_path / "images", 40))]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, timeout=60)
    pids = told.stdout.split()
    assert told.returncode == -signal.SIGKILL and len(pids) == 2
    for _ in range(100):
        states = [open(f"/proc/{pid}/stat").read().split(") ")[1][0] for pid in pids if os.path.exists(f"/proc/{pid}/stat")]  # fmt: skip
        if set(states) <= {"Z"}:  # gone, or waiting for someone to take note
            return
        time.sleep(0.1)
    raise AssertionError("the workers outlive the training")


def test_the_number_of_workers_can_be_set(tmp_path, few_rows, monkeypatch):
    monkeypatch.setattr(workers, "FILES", 3)  # else such a folder has none
    pictures(tmp_path, 40)
    for number in (0, 1, 3):
        monkeypatch.setenv("SSLCOURSE_WORKERS", str(number))
        batches = load_images(tmp_path, stream=True).batches(4)
        next(batches)
        assert len(multiprocessing.active_children()) == number
        batches.close()
    for wrong in ("two", "-1", "1.5"):
        monkeypatch.setenv("SSLCOURSE_WORKERS", wrong)
        with pytest.raises(UserError, match=f"SSLCOURSE_WORKERS is '{wrong}'"):
            workers.worker_count()


def test_processes_of_one_machine_share_its_cores(monkeypatch):
    monkeypatch.delenv("SSLCOURSE_WORKERS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(6))
    counts = []
    for processes in (1, 2, 8):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        counts.append(workers.worker_count())
    assert counts == [6, 3, 1]


def test_where_no_process_can_be_started_this_one_decodes(tmp_path, few_rows, monkeypatch, capsys):
    found = streamed(pictures(tmp_path, 40), 2)
    expected = found.floats()

    def refuse(self):
        raise OSError(11, f"Resource temporarily unavailable, {tmp_path}")

    monkeypatch.setattr(multiprocessing.get_context("fork").Process, "start", refuse)
    assert torch.equal(found.floats(), expected) and torch.equal(found.floats(), expected)
    assert capsys.readouterr().err.count("warning: images are decoded without worker processes") == 1
