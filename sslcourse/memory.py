"""The allocator of the C library, told to keep what it has."""

import ctypes
import functools

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
