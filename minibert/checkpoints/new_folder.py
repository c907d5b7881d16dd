"""Writing a folder so that it is there whole or not at all."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from minibert.errors import CheckpointError


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `target` when the block ends without an error.

    Raises CheckpointError where `target` holds something already, or cannot be written.
    """
    work = None
    try:
        check_new(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
        yield work
        work.chmod(0o755)
        os.replace(work, target)
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the path
        reason = getattr(problem, "strerror", None) or problem
        raise CheckpointError(f"{target} cannot be written: {reason}; nothing of it is there") from None
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)


def check_new(target: Path) -> None:
    """CheckpointError for a file, and for a folder that holds something."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CheckpointError(f"{target} is there already and is no empty folder; give a new one")
