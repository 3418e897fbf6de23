"""Image files decoded by several processes at once, into memory that they share with this one.

That memory is mapped before they are forked, so that a small /dev/shm (64 MB in most containers) is no limit. Each
has a pipe of its own, which ends when it dies. Where processes cannot be forked, pixels come through the pipes.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import numpy as np
import torch
from torch import Tensor

from sslcourse.data.decode import BadImage, check, read_rgb
from sslcourse.errors import UserError, warn_once

TASK = 2 << 20  # bytes of pixels that a worker decodes at a time: what is under way stays below some 32 MB
FILES = 256  # of a task, at most
AHEAD = 2  # tasks that each worker is given before its first is fetched
GREY = 127  # stands for a file that breaks during streaming under skip_corrupt

Bad = list[tuple[int, str]]  # (position in the rows asked for, why that file does not load)


class Decoder:
    """Some rows of `files` at a time, as pixels (n, 3, S, S) uint8; `only_check`: no pixels, (n, 0)."""

    def __init__(self, files: Sequence[str], size: int, only_check: bool = False):
        self.files, self.size, self.only_check = files, size, only_check
        self.shape = (0,) if only_check else (3, size, size)
        self.rows = FILES if only_check else max(1, min(FILES, TASK // (3 * size**2)))  # of one task

    def read(self, rows: Sequence[int], pixels: np.ndarray) -> Bad:
        """Write those files' pixels into `pixels` (n, 3, S, S), grey where a file is bad."""
        bad: Bad = []
        for position, row in enumerate(rows):
            path = self.files[row]
            try:
                if self.only_check:
                    check(path)
                else:
                    pixels[position] = read_rgb(path, self.size).transpose(2, 0, 1)  # (S, S, 3) -> (3, S, S)
            except BadImage as reason:
                bad.append((position, str(reason)))
                pixels[position] = GREY
        return bad


def worker_count() -> int:
    """`$SSLCOURSE_WORKERS`; else this process's share of the cores, at most 8. 0: this process decodes."""
    asked = os.environ.get("SSLCOURSE_WORKERS", "").strip()
    if asked and not (asked.isascii() and asked.isdigit()):
        raise UserError(f"SSLCOURSE_WORKERS is {asked!r}: give the number of processes that decode, from 0")
    if asked:
        return int(asked)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1)), 8))


def decoded(
    decoder: Decoder, order: Tensor, batch_size: int, pin: bool = False, workers: int | None = None
) -> Iterator[tuple[Tensor, Bad]]:
    """Pixels (B, 3, S, S) uint8, pinned if asked, and bad files of `order` (N,), batch by batch.

    workers: how many processes decode; default: `worker_count()`, but none for a short order. The pixels are the
    same whatever their number. Raises UserError when one dies.
    """
    if workers is None:
        workers = worker_count() if len(order) > 2 * FILES else 0
    tasks = (task.tolist() for rows in order.split(batch_size) for task in rows.split(decoder.rows))
    answers = _by_workers(decoder, tasks, min(workers, -(-len(order) // decoder.rows)))
    for rows in order.split(batch_size):
        images = torch.empty((len(rows), *decoder.shape), dtype=torch.uint8, pin_memory=pin)
        bad: Bad = []
        for start in range(0, len(rows), decoder.rows):
            pixels, bad_here = next(answers)
            images[start : start + len(pixels)] = torch.from_numpy(pixels)
            bad += [(start + position, reason) for position, reason in bad_here]
        yield images, bad


def _by_itself(decoder: Decoder, tasks: Iterable[list[int]]) -> Iterator[tuple[np.ndarray, Bad]]:
    pixels = np.empty((decoder.rows, *decoder.shape), dtype=np.uint8)
    for rows in tasks:
        bad = decoder.read(rows, pixels[: len(rows)])
        yield pixels[: len(rows)], bad


def _by_workers(
    decoder: Decoder, tasks: Iterator[list[int]], workers: int
) -> Iterator[tuple[np.ndarray, Bad]]:
    """Task by task, in order; the pixels are valid until the next is asked for.

    Worker w has the tasks w, w + workers, w + 2 workers, ..., of which `AHEAD` at a time are under way.
    """
    crew: list[tuple[BaseProcess, Connection]] = []
    try:
        shared = _start(crew, decoder, workers) if workers else None
        if not crew:
            yield from _by_itself(decoder, tasks)
            return
        lengths: deque[int] = deque()  # of the tasks under way

        def give(number: int, rows: list[int]) -> None:
            lengths.append(len(rows))
            _talk(crew[number % len(crew)], (number // len(crew) % AHEAD, rows))

        for number, rows in enumerate(islice(tasks, AHEAD * len(crew))):
            give(number, rows)
        for number in count():
            if not lengths:
                return
            member, slot = number % len(crew), number // len(crew) % AHEAD
            bad, pixels = _talk(crew[member])
            yield (shared[member, slot, : lengths.popleft()] if pixels is None else pixels), bad
            for rows in islice(tasks, 1):
                give(number + AHEAD * len(crew), rows)
    finally:
        for process, ours in crew:
            ours.close()
            process.kill()
            process.join()


def _start(crew: list[tuple[BaseProcess, Connection]], decoder: Decoder, workers: int) -> np.ndarray | None:
    """Add as many workers to `crew` as can be started. Returns their memory (workers, AHEAD, rows, 3, S, S)."""
    forked = sys.platform == "linux"  # elsewhere forks are not safe
    context = multiprocessing.get_context("fork" if forked else "spawn")
    shape, shared = (workers, AHEAD, decoder.rows, *decoder.shape), None
    try:
        if forked:
            memory = mmap.mmap(-1, max(1, int(np.prod(shape))))
            shared = np.frombuffer(memory, np.uint8, int(np.prod(shape))).reshape(shape)
        for number in range(workers):
            ours, theirs = context.Pipe()
            with theirs:
                inherited = [ours, *(other for _, other in crew)] if forked else []
                slots = shared[number] if forked else None
                process = context.Process(
                    target=_serve, args=(decoder, theirs, inherited, slots), daemon=True
                )
                try:
                    process.start()
                except BaseException:
                    ours.close()
                    raise
            crew.append((process, ours))
    except (OSError, AssertionError) as error:  # a limit of memory, processes or files; a daemon's daemon
        if not crew:
            warn_once(f"images are decoded without worker processes, for none could be started: {error}")
    return shared


def _serve(
    decoder: Decoder, theirs: Connection, inherited: list[Connection], slots: np.ndarray | None
) -> None:
    """What a worker does until its pipe ends. It holds no end of another's: so it ends with the training."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the training decides
    for connection in inherited:
        connection.close()
    while True:
        try:
            slot, rows = theirs.recv()
        except (EOFError, OSError):
            return
        pixels = (
            np.empty((len(rows), *decoder.shape), np.uint8) if slots is None else slots[slot, : len(rows)]
        )
        bad = decoder.read(rows, pixels)
        try:
            theirs.send((bad, pixels if slots is None else None))
        except OSError:
            return


def _talk(member: tuple[BaseProcess, Connection], task: tuple | None = None):
    """Give the worker a task, or else fetch its next answer. UserError if it has died."""
    process, ours = member
    try:
        return ours.recv() if task is None else ours.send(task)
    except (EOFError, OSError):
        process.join(5)
    status = process.exitcode or 0
    how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    raise UserError(
        f"a process that decodes images {how}, most often because memory ran out: give a container more (--memory,"
        " and for its /dev/shm --shm-size or --ipc=host), or decode without such processes: SSLCOURSE_WORKERS=0"
    )
