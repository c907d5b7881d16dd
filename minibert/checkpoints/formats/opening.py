"""`opened`: a file that somebody else made, and one sentence for all that keeps it from being read."""

import contextlib
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from minibert.errors import CheckpointError, MinibertError

MAX_FILE_BYTES = 1 << 33
"""8 GB. BERT-large takes 1.3, with its optimiser's slots 4; a sparse file can claim to be of any size."""


def check_size(path: Path, size: int, error: type[MinibertError]) -> None:
    """Raise `error` for a file that no model of this kind fills."""
    if size > MAX_FILE_BYTES:
        raise error(f"{path} has {size:,} bytes; at most {MAX_FILE_BYTES:,} are read")


@contextlib.contextmanager
def opened(path: Path, kind: str, *, error: type[MinibertError] = CheckpointError) -> Iterator[tuple[BinaryIO, int]]:
    """A regular file, open for reading, and its size in bytes; `kind` is what errors say that it was expected to be.

    Raises `error` for a file that is not there, is a folder, a pipe, a device or enormous, or cannot be read, now or inside the
    block.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise error(f"{path} is not a regular file; expected {kind}")
        check_size(path, status.st_size, error)
        with path.open("rb") as file:
            yield file, status.st_size
    except FileNotFoundError:
        raise error(f"{path} does not exist; expected {kind}") from None
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the path
        raise error(f"{path} cannot be read: {getattr(problem, 'strerror', None) or problem}") from None
