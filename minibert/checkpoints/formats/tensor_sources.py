"""`TensorSource`: what the writers of checkpoints take for each tensor, so that one at a time need be in memory."""

from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Protocol, runtime_checkable

import numpy as np

from minibert.errors import CheckpointError, shown


@runtime_checkable
class TensorSource(Protocol):
    """A tensor that is read when its turn to be written comes. Every StoredTensor is one."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values that `read` gives."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the values that `read` gives."""

    def read(self) -> np.ndarray:
        """The values, in any memory order."""


Tensors = Mapping[str, np.ndarray | TensorSource]
"""What is to be written, by name."""


def check_dtypes(path: Path, tensors: Tensors, known: Mapping[str, object]) -> None:
    """Raise CheckpointError for a tensor whose dtype's name, as NumPy says it, is not among the `known` ones."""
    for name, source in tensors.items():
        if source.dtype.name not in known:
            raise CheckpointError(
                f"{path} cannot hold tensor {shown(name)} of dtype {source.dtype}; cast it to one of {', '.join(known)}"
            )


def flat_values(name: str, source: np.ndarray | TensorSource) -> np.ndarray:
    """The source's values as a flat, contiguous, little-endian array: a copy only where they are not so already.

    Raises CheckpointError where they cannot be read, or are not of the shape and dtype that the source says.
    """
    if isinstance(source, np.ndarray):
        values = source
    else:
        try:
            values = source.read()
        except OSError as problem:
            # Or it would be told as a failure to write.
            raise CheckpointError(f"tensor {shown(name)} cannot be read: {problem.strerror or problem}") from None
    if values.shape != source.shape or values.dtype.name != source.dtype.name:
        raise CheckpointError(
            f"tensor {shown(name)} was said to be {source.dtype.name} {list(source.shape)}, "
            f"but reads as {values.dtype.name} {list(values.shape)}; nothing was written"
        )
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).reshape(-1)


def write_values(file: IO[bytes], values: np.ndarray) -> None:
    """Write the bytes of a flat, contiguous array, without a copy of them."""
    # As bytes, because bfloat16 has no buffer of its own.
    file.write(values.view(np.uint8).data)
