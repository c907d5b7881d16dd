"""What reaches the disk, and in which order: appending, syncing, replacing.

Everything that a resume builds on goes through here: bytes count once `sync` returned, a name counts once `sync_folder`
returned for its folder. Errors are the system's own OSError; the callers know what to make of them.
"""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

from minibert.atomic_write import sync_folder

NEW = ".new"
"""What the name of a file ends in until it is whole."""


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write all of `data`: a disk that fills up takes a part of it first, and says so at the next call only."""
    rest = memoryview(data).cast("B") if len(data) else memoryview(b"")
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def append(path: Path, data: bytes | memoryview) -> None:
    """Append `data` to the file, which is made where it is absent, and bring it onto the disk."""
    _write_durably(path, os.O_CREAT | os.O_APPEND, data)


def overwrite_start(path: Path, data: bytes) -> None:
    """Put `data` over the first bytes of a file that is there, and bring it onto the disk."""
    _write_durably(path, 0, data)


def _write_durably(path: Path, flags: int, data: bytes | memoryview) -> None:
    descriptor = os.open(path, os.O_WRONLY | flags | getattr(os, "O_BINARY", 0), 0o666)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cut(path: Path, size: int) -> None:
    """Drop what is behind the first `size` bytes of the file."""
    descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_BINARY", 0))
    try:
        os.ftruncate(descriptor, size)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_content(path: Path, data: bytes) -> None:
    """Give the file new content: after a crash it has the old or the new, never a mixture."""
    new = path.with_name(path.name + NEW)
    with created(new) as file:
        file.write(data)
    move(new, path)


def move(source: Path, target: Path) -> None:
    """Rename within one disk, over what is there; durable when this returns."""
    os.replace(source, target)
    sync_folder(target.parent)
    if source.parent != target.parent:
        sync_folder(source.parent)


class NewFile(io.RawIOBase):
    """A new file, seekable and for writing only, without a buffer: after an error nothing is left that would be written later."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)

    def writable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]
        """Write all of `data`, unlike other raw files, and return its length in bytes."""
        view = memoryview(data)
        write_all(self.descriptor, view)
        return view.nbytes

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """The new place."""
        return os.lseek(self.descriptor, offset, whence)

    def tell(self) -> int:
        """The place."""
        return os.lseek(self.descriptor, 0, os.SEEK_CUR)

    def close(self) -> None:
        """Give the descriptor back, once."""
        if not self.closed:
            os.close(self.descriptor)
        super().close()


@contextlib.contextmanager
def created(path: Path) -> Iterator[NewFile]:
    """A new file, on the disk when the block ends without an error."""
    with NewFile(path) as file:
        yield file
        os.fsync(file.descriptor)


def remove_folder(folder: Path, last: tuple[str, ...] = ()) -> None:
    """Remove a folder of files; those named in `last` go last, in that order."""
    names = sorted(os.listdir(folder), key=lambda name: (last.index(name) + 1 if name in last else 0, name))
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(folder / name)
    os.rmdir(folder)
