"""`StoredTensor`: what every format makes of a tensor in a file, before it is read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import ml_dtypes
import numpy as np

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

    `check` is called before the bytes are used, and raises where they are not what was written.
    """

    path: Path
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    strides: tuple[int, ...] | None = None
    """In elements, each from 0 up; None if the last axis moves fastest."""
    check: Callable[[], None] | None = None

    def read(self) -> np.ndarray:
        """The tensor as a read-only view of the mapped file: its pages leave memory when the view does."""
        if self.check is not None:
            self.check()
        if 0 in self.shape:
            return np.empty(self.shape, self.dtype)
        if self.strides is None:
            return np.memmap(self.path, self.dtype, mode="r", offset=self.offset, shape=self.shape).view(np.ndarray)
        last = sum((length - 1) * stride for length, stride in zip(self.shape, self.strides, strict=True))
        elements = np.memmap(self.path, self.dtype, mode="r", offset=self.offset, shape=(last + 1,)).view(np.ndarray)
        return np.ndarray(self.shape, self.dtype, elements, strides=[stride * self.dtype.itemsize for stride in self.strides])
