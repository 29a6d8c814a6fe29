"""Free memory of the C library: how much it retains, and when it returns the rest to the operating system."""

import os

#: Free memory at the end of the heap that is kept, and the size from which on a piece of memory is asked of the
#: operating system alone, and returned to it at once. By its own bounds (128 KiB at first) glibc maps and unmaps
#: memory with every large message, and each page of it costs a fault: 1.9 ms for 1 MiB, instead of 0.6.
KEPT_BYTES = 64 * 1024 * 1024
MAPPED_BYTES = 8 * 1024 * 1024

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
#: The allocator is left alone if the user sets one of these variables.
_SET_BY = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")


def retain_freed_memory() -> None:
    """Reuse memory that large messages have freed for later ones. Does nothing unless the C library is glibc."""
    import ctypes  # a start does without

    if any(name in os.environ for name in _SET_BY):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        return
    mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
    mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES)


def trim() -> None:
    """Return free memory to the operating system: glibc by itself does so at the end of its heap only.

    Takes about 10 ms for 100 MB. Does nothing unless the C library is glibc.
    """
    import ctypes

    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # not glibc
        return
