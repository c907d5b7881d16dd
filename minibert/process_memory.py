"""What a process that computes for long asks of the allocator of memory."""

import ctypes
import os
import sys

# malloc.h of the GNU C library; −1 as the threshold means never.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX, NEVER = -1, -4, -8, -1
# sys/mman.h of Linux.
MADV_HUGEPAGE = 14


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, in huge pages; False where its C library is another than GNU's.

    XLA asks for the memory of all of a program's intermediate values at once, hundreds of megabytes in training, which by
    default come from the system and go back to it, page by page, at every call: about a tenth of a training step's time on a
    CPU. Where pages are the smallest that there are, 4 KB, another tenth goes into finding them.

    To be called before JAX computes anything, for threads that have begun to allocate go on as they did. It holds until the
    process ends, which may then need a quarter more memory. A system that has no huge pages to give leaves it at small ones.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        library = ctypes.CDLL(None)
        mallopt = library.mallopt
    except AttributeError:
        return False
    # Only the first of several arenas can grow by so much.
    kept = all([mallopt(M_ARENA_MAX, 1), mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, NEVER)])
    if kept:
        _grow_in_huge_pages(library)
    return kept


def _grow_in_huge_pages(library: ctypes.CDLL) -> None:
    """Let the arena grow by half the machine's memory at once: addresses only, whose memory comes where something is written."""
    malloc, free, madvise = library.malloc, library.free, library.madvise
    malloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    free.restype, free.argtypes = None, [ctypes.c_void_p]
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    page = os.sysconf("SC_PAGE_SIZE")
    size = page * os.sysconf("SC_PHYS_PAGES") // 2
    while not (start := malloc(size)):
        # A process may be allowed less than its machine has.
        size //= 2
        if size <= page:
            return
    first = start + page - start % page
    madvise(first, start + size - first, MADV_HUGEPAGE)
    free(start)
