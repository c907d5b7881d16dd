"""Writing a result file so that it is there whole or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from minibert.errors import InputError, MinibertError


def check_not_read(output: Path, sources: Iterable[str | Path]) -> None:
    """InputError where a result would take the place of a file that it is made from."""
    for source in sources:
        if output.exists() and os.path.exists(source) and os.path.samefile(source, output):
            raise InputError(f"{output} is the file that is read; give another name to write to")


@contextlib.contextmanager
def write_atomically(path: Path, *, error: type[MinibertError] = InputError) -> Iterator[IO[bytes]]:
    """A binary file that becomes `path` when the block ends without an error; else `path` stays as it was.

    Raises `error` if the folder is absent, the disk full or the place not writable.
    """
    path = path.resolve()  # what a link points to is replaced, not the link
    if path.is_dir():
        raise error(f"{path} is a folder; give the name of a file to write")
    if path.exists() and not path.is_file():
        # A device or a pipe would be replaced by a file.
        raise error(f"{path} is no regular file; give the name of a file to write")
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            yield file
            file.flush()
            os.fsync(file.fileno())
        # A temporary file is private; the result gets the permissions that any new file has.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    except OSError as problem:
        raise error(f"{path} cannot be written: {problem.strerror or problem}; what was there is unchanged") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def sync_tree(folder: Path) -> None:
    """Bring every file below a folder, and the names in every folder, onto the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        elif path.is_dir():
            sync_folder(path)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder onto the disk, where the system lets a folder be opened."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
