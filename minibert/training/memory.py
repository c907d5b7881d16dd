"""What a training process asks of the allocator of memory."""

import ctypes
import sys

# malloc.h of the GNU C library.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
MOST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let this process keep the memory that a step frees for the next one; False where its C library is another than GNU's.

    XLA asks for the memory of all of a step's intermediate values at once, hundreds of megabytes, which by default come from the
    system and go back to it, page by page, at every step: about a tenth of a step's time on a CPU. To be called before JAX
    computes anything, for threads that have begun to allocate go on as they did. It holds until the process ends, which may then
    need a quarter more memory.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    # Only the first of several arenas can grow by so much.
    return all([mallopt(M_ARENA_MAX, 1), mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, MOST)])
