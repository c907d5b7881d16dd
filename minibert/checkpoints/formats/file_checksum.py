"""The checksum of some bytes of a file, verified when they are used; what is never used is never read."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minibert.checkpoints.formats.opening import opened
from minibert.errors import CheckpointError

WINDOW_BYTES = 1 << 22
"""Read at a time: few enough to be in the processor's cache still when they are added up."""

_MEMORY = threading.local()


@dataclass
class FileChecksum:
    """What the bytes of a file from `begin` to `end` must add up to. It is verified once, by a call or by who reads the bytes."""

    path: Path
    begin: int
    end: int
    checksum: Callable[[Any, int], int]
    """Continues a checksum, at first 0, with more bytes."""
    expected: int
    whose: str
    """For the error: "tensor a", "member 'data/0'"."""
    _found: int | None = field(default=None, repr=False, compare=False)

    def __call__(self) -> None:
        """Raise CheckpointError unless the checksum holds. Threads may call at the same time; each may read the bytes then."""
        self.found(self._computed() if self._found is None else self._found)

    def _computed(self) -> int:
        # Read, not mapped: threads that map pages wait for each other. The memory is kept for the same reason.
        if not hasattr(_MEMORY, "window"):
            _MEMORY.window = np.empty(WINDOW_BYTES, np.uint8)
        value, begin = 0, self.begin
        while begin < self.end:
            window = _MEMORY.window[: self.end - begin]
            value = read_bytes(self.path, begin, window, self.checksum, value)
            begin += len(window)
        return value

    def found(self, value: int) -> None:
        """Raise CheckpointError unless `value`, the checksum of all the bytes, is the expected one."""
        self._found = value
        if value != self.expected:
            raise CheckpointError(f"{self.path} is damaged: the checksum of {self.whose} does not hold; fetch or copy it again")


def read_bytes(path: Path, begin: int, memory: np.ndarray, checksum: Callable[[Any, int], int] | None, value: int) -> int:
    """Fill `memory`, bytes, from `begin` on, and continue the checksum `value` with them. CheckpointError: it cannot be read."""
    with opened(path, "a checkpoint") as (file, _):
        file.seek(begin)
        at = 0
        while at < len(memory):
            piece = memory[at : at + WINDOW_BYTES]
            count = file.readinto(piece)  # type: ignore[attr-defined]
            if not count:
                raise ValueError(f"it ends at byte {begin + at:,}; it may have changed since it was opened")
            if checksum is not None:
                value = checksum(piece[:count], value)
            at += count
    return value
