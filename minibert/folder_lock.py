"""A lock on a folder that dies with the process that holds it: two jobs never write into one folder at a time."""

import contextlib
import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, which has no such lock: there two writers are not told apart.
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = "lock"
LOCK_ATTEMPTS = 100


class LockedError(Exception):
    """Somebody else holds the lock; `holder` is the number of that process, or 0 where it is not known."""

    def __init__(self, holder: int) -> None:
        super().__init__(holder)
        self.holder = holder


def lock_folder(folder: Path) -> int:
    """Make the folder where it is absent and take its lock, which the system takes back when this process ends.

    Returns the descriptor that holds it, to be closed at the end. Raises LockedError where another process has it.
    """
    for attempt in range(LOCK_ATTEMPTS):
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder)
        try:
            descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            # Another process has just finished and removed the folder; or it is a link to nowhere.
            if attempt + 1 == LOCK_ATTEMPTS:
                raise
            continue
        if fcntl is None:
            return descriptor
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20)
            os.close(descriptor)
            raise LockedError(int(holder) if holder.isdigit() else 0) from None
        except OSError:
            return descriptor  # some network disks have no locks
        if is_lock_of(descriptor, folder):
            # For the message to others; a full disk need not keep us from going on.
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, str(os.getpid()).encode())
            return descriptor
        os.close(descriptor)  # the lock of a folder that was removed meanwhile
    raise LockedError(0)


def is_lock_of(descriptor: int, folder: Path) -> bool:
    """Whether what `lock_folder` returned is still the folder's lock: it may be gone, or another folder of its name there."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(folder / LOCK_FILE))
    except FileNotFoundError:
        return False


def has_been_locked(folder: Path) -> bool:
    """Whether there is a lock in the folder that `lock_folder` made, held or not, with nothing but a process's number in it."""
    lock = folder / LOCK_FILE
    with contextlib.suppress(OSError, ValueError):
        return lock.is_file() and ((holder := lock.read_text(encoding="ascii")) == "" or holder.isdigit())
    return False
