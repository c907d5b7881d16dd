"""A disk that forgets: what was done to files is logged, and folders are built as a power cut could have left them.

Files keep what they had at their last fsync; of later writes each sector of 512 bytes came to the disk or did not. Names keep
what they were when their folder was last synced; of later changes to names the first few came to the disk, in order.
"""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECTOR = 512


@dataclass
class File:
    """One inode: what is safe on the disk, and what the system still holds."""

    safe: bytes = b""
    now: bytes = b""


@dataclass
class Disk:
    """All that happened below a folder; `cuts` is a picture of the disk before every operation."""

    root: Path
    names: dict[str, File] = field(default_factory=dict)
    safe_names: dict[str, File] = field(default_factory=dict)
    pending: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    """Changes to names that no fsync of a folder has covered."""
    open_files: dict[int, File | str] = field(default_factory=dict)
    on_cut: Callable[["Disk"], None] = lambda disk: None

    def inside(self, path: Any) -> str | None:
        text = os.path.abspath(os.fspath(path))
        return text if text.startswith(f"{self.root}{os.sep}") or text == str(self.root) else None

    def change_names(self, kind: str, *paths: str) -> None:
        apply(self.names, kind, paths)
        self.pending.append((kind, paths, *([self.names[paths[0]]] if kind == "create" else [])))

    def sync_names(self, folder: str) -> None:
        """Syncing a folder brings all changes up to the last one in it, in their order, as journals do."""
        touching = [
            index for index, change in enumerate(self.pending) if any(os.path.dirname(path) == folder for path in change[1])
        ]
        for change in self.pending[: touching[-1] + 1] if touching else []:
            apply(self.safe_names, *change)
        self.pending = self.pending[touching[-1] + 1 :] if touching else self.pending

    def after_a_cut(self, chance: random.Random) -> dict[str, bytes]:
        """A state that the disk may be in if the power is cut now: paths and contents."""
        names = dict(self.safe_names)
        for change in self.pending[: chance.randint(0, len(self.pending))]:
            apply(names, *change)
        return {path: torn(file, chance) for path, file in names.items()}


def apply(names: dict[str, File], kind: str, paths: tuple[str, ...], file: File | None = None) -> None:
    if kind == "create":
        names[paths[0]] = names.get(paths[0]) or file or File()
    elif kind == "replace":
        moved = names.pop(paths[0], None)
        if moved is not None:
            names[paths[1]] = moved
    else:
        names.pop(paths[0], None)


def torn(file: File, chance: random.Random) -> bytes:
    """The safe content, and of what differs now some sectors; a file may have grown without what it grew by."""
    if file.safe == file.now or chance.random() < 0.3:
        return file.safe
    length = chance.choice((len(file.safe), len(file.now), chance.randint(*sorted((len(file.safe), len(file.now))))))
    result = bytearray(length)
    for start in range(0, length, SECTOR):
        source = file.now if chance.random() < 0.5 else file.safe
        part = source[start : min(start + SECTOR, length)]
        result[start : start + len(part)] = part
    return bytes(result)


@contextmanager
def watched(disk: Disk) -> Iterator[None]:
    """Log what is done below the disk's root through the module os, and let `on_cut` look before each operation."""
    real = {name: getattr(os, name) for name in ("open", "close", "write", "fsync", "replace", "ftruncate", "unlink")}

    def open_(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        name = disk.inside(path)
        if name is not None and not os.path.isdir(name) and flags & (os.O_WRONLY | os.O_RDWR):
            disk.on_cut(disk)
            if name not in disk.names:
                disk.change_names("create", name)
            if flags & os.O_TRUNC:
                disk.names[name].now = b""
        descriptor = real["open"](path, flags, *arguments, **named)
        if name is not None:
            disk.open_files[descriptor] = name if os.path.isdir(name) else disk.names[name]
        return descriptor

    def close(descriptor: int) -> None:
        disk.open_files.pop(descriptor, None)
        real["close"](descriptor)

    def write(descriptor: int, data: Any) -> int:
        file = disk.open_files.get(descriptor)
        if isinstance(file, File):
            disk.on_cut(disk)
            written = real["write"](descriptor, data)
            end = os.lseek(descriptor, 0, os.SEEK_CUR)
            place = end - written
            file.now = file.now[:place].ljust(place, b"\0") + bytes(data)[:written] + file.now[end:]
            return written
        return real["write"](descriptor, data)

    def fsync(descriptor: int) -> None:
        disk.on_cut(disk)
        real["fsync"](descriptor)
        file = disk.open_files.get(descriptor)
        if isinstance(file, File):
            file.safe = file.now
        elif file is not None:
            disk.sync_names(file)

    def ftruncate(descriptor: int, size: int) -> None:
        disk.on_cut(disk)
        real["ftruncate"](descriptor, size)
        file = disk.open_files[descriptor]
        assert isinstance(file, File)
        file.now = file.now[:size].ljust(size, b"\0")

    def replace(source: Any, target: Any) -> None:
        disk.on_cut(disk)
        real["replace"](source, target)
        disk.change_names("replace", os.path.abspath(source), os.path.abspath(target))

    def unlink(path: Any, **named: Any) -> None:
        disk.on_cut(disk)
        real["unlink"](path, **named)
        disk.change_names("unlink", os.path.abspath(path))

    ours = {
        "open": open_,
        "close": close,
        "write": write,
        "fsync": fsync,
        "replace": replace,
        "ftruncate": ftruncate,
        "unlink": unlink,
    }
    for name, function in ours.items():
        setattr(os, name, function)
    try:
        yield
    finally:
        for name, function in real.items():
            setattr(os, name, function)
