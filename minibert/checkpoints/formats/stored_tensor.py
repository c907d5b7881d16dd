"""`StoredTensor`: what every format makes of a tensor in a file, before it is read."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import ml_dtypes
import numpy as np

from minibert.checkpoints.formats.file_checksum import FileChecksum, read_bytes
from minibert.errors import CheckpointError

STORED_DTYPES: dict[str, np.dtype[Any]] = {
    "float64": np.dtype("<f8"),
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "int64": np.dtype("<i8"),
    "int32": np.dtype("<i4"),
    "int16": np.dtype("<i2"),
    "int8": np.dtype("i1"),
    "uint64": np.dtype("<u8"),
    "uint32": np.dtype("<u4"),
    "uint16": np.dtype("<u2"),
    "uint8": np.dtype("u1"),
    "bool": np.dtype("?"),
}
"""By the names that NumPy has for them: no format has others that minibert reads, and each has words of its own for them."""

MAX_AXES = 32
MAX_ELEMENTS = 1 << 60  # above it NumPy refuses even an array that a length of 0 makes empty


def new_array(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Memory for what a file holds; CheckpointError where there is not as much."""
    try:
        return np.empty(shape, dtype)
    except MemoryError:
        size = math.prod(shape) * dtype.itemsize
        raise CheckpointError(f"{path} cannot be read: there are no {size:,} bytes of memory left") from None


@runtime_checkable
class StoredTensor(Protocol):
    """One tensor of a checkpoint: where it is, what it is, and its values when they are asked for."""

    @property
    def path(self) -> Path:
        """The file that holds it, or its first part."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """As it is stored."""

    @property
    def shape(self) -> tuple[int, ...]:
        """As it is stored."""

    def read(self) -> np.ndarray:
        """The values, read-only where they are a view of the file. CheckpointError where the file's checksum does not hold."""


@dataclass(frozen=True)
class MappedTensor:
    """A tensor whose bytes lie in one file as they are: its first byte from the start of the file, and its strides.

    `check` is verified before the bytes are used: they are among those that it covers.
    """

    path: Path
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    strides: tuple[int, ...] | None = None
    """In elements, each from 0 up; None if the last axis moves fastest."""
    check: FileChecksum | None = None

    @property
    def is_plain(self) -> bool:
        """Whether its bytes are those of a contiguous array, and a checksum, if there is one, is of them alone."""
        end = self.offset + math.prod(self.shape) * self.dtype.itemsize
        return self.strides is None and (self.check is None or (self.check.begin, self.check.end) == (self.offset, end))

    def read(self) -> np.ndarray:
        """The tensor as a read-only view of the mapped file: its pages leave memory when the view does."""
        if self.check is not None:
            self.check()
        if 0 in self.shape:
            return np.empty(self.shape, self.dtype)
        if self.strides is None:
            return self._mapped(self.shape)
        last = sum((length - 1) * stride for length, stride in zip(self.shape, self.strides, strict=True))
        elements = self._mapped((last + 1,))
        return np.ndarray(self.shape, self.dtype, elements, strides=[stride * self.dtype.itemsize for stride in self.strides])

    def read_into(self, array: np.ndarray) -> None:
        """Fill a contiguous array of its shape and dtype, if it `is_plain`: faster than a copy of the mapped file."""
        value = read_bytes(
            self.path, self.offset, array.reshape(-1).view(np.uint8), None if self.check is None else self.check.checksum, 0
        )
        if self.check is not None:
            self.check.found(value)

    def _mapped(self, shape: tuple[int, ...]) -> np.ndarray:
        try:
            return np.memmap(self.path, self.dtype, mode="r", offset=self.offset, shape=shape).view(np.ndarray)
        except (OSError, ValueError) as problem:  # ValueError: the file is shorter by now
            reason = getattr(problem, "strerror", None) or f"{problem}; it may have changed since it was opened"
            raise CheckpointError(f"{self.path} cannot be read: {reason}") from None
