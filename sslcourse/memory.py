"""Memory: the allocator of the C library, told to keep what it has, and how much a computation takes."""

import ctypes
import functools
import weakref
from collections.abc import Callable

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


@functools.cache
def keep_freed_memory() -> bool:
    """Reuse freed blocks below 32 MB instead of giving them back to the kernel; True where that is possible.

    Every batch frees and asks again for the same large tensors. By default glibc returns them and gets fresh
    pages, whose first touch costs more than many of the computations on them. The process's memory then stays
    at its peak. Only glibc (Linux) has the setting.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, 2**25) and mallopt(M_TRIM_THRESHOLD, 2**30))


def peak_bytes(function: Callable[..., object], *given) -> int:
    """The most bytes of tensors, made while `function(*given)` runs, that live at the same time.

    Counted from the sizes of what every operation returns, so it holds for device="meta" too, where tensors have
    a shape but no memory and nothing is computed. What an operation uses inside itself is not seen.
    """
    with _Count() as count:
        function(*given)
    return count.peak


class _Count(TorchDispatchMode):
    """Adds every new storage, and takes it away when it dies."""

    def __init__(self):
        super().__init__()
        self.sizes: dict[int, int] = {}
        self.now = self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = {x.untyped_storage()._cdata for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        made = func(*args, **(kwargs or {}))
        for x in tree_leaves(made):
            if not isinstance(x, Tensor):
                continue
            storage = x.untyped_storage()
            if (key := storage._cdata) not in self.sizes and key not in given:
                self.sizes[key] = storage.nbytes()
                self.now += storage.nbytes()
                weakref.finalize(storage, self._dies, key)
        self.peak = max(self.peak, self.now)
        return made

    def _dies(self, key: int) -> None:
        self.now -= self.sizes.pop(key)
