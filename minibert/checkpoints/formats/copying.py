"""`copied`: tensors in memory of their own, at the speed of the file system."""

import math
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from minibert.checkpoints.formats.stored_tensor import MappedTensor, StoredTensor, new_array
from minibert.errors import CheckpointError

ALIGNMENT = 64
"""JAX on a CPU takes over an array that begins at a multiple of it, and copies any other."""
MOST_THREADS = 4


def reading_threads() -> ThreadPoolExecutor:
    """Threads for reading tensors: copies and checksums let each other run."""
    return ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1), "minibert-read")


def copied(tensors: Mapping[str, StoredTensor], dtype: np.dtype[Any] | None = None) -> dict[str, np.ndarray]:
    """Every tensor as a contiguous array that can be written to, in `dtype`, or as it is stored.

    They lie in one piece of memory, which the system hands out in larger pages and sooner than many small ones.
    CheckpointError: a damaged file, or values beyond the range of `dtype`.
    """
    dtypes = {name: tensor.dtype if dtype is None else dtype for name, tensor in tensors.items()}
    sizes = {name: math.prod(tensor.shape) * dtypes[name].itemsize for name, tensor in tensors.items()}
    path = next((tensor.path for tensor in tensors.values()), Path())
    whole = sum(size + -size % ALIGNMENT for size in sizes.values()) + ALIGNMENT
    memory = new_array(path, (whole,), np.dtype(np.uint8))
    at = -memory.ctypes.data % ALIGNMENT
    arrays: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        arrays[name] = memory[at : at + sizes[name]].view(dtypes[name]).reshape(tensor.shape)
        at += sizes[name] + -sizes[name] % ALIGNMENT
    with reading_threads() as threads:
        list(threads.map(lambda name: copy_into(arrays[name], tensors[name], name), arrays))
    return arrays


def narrow(values: np.ndarray, array: np.ndarray) -> None:
    """Fill `array`, of another dtype, with `values`; FloatingPointError where one of them would become infinite."""
    with np.errstate(over="raise"):
        array[...] = values
    # NumPy does not notice when it becomes bfloat16.
    if array.dtype.name == "bfloat16" and np.isinf(array).sum() > np.isinf(values).sum():
        raise FloatingPointError("overflow")


def copy_into(array: np.ndarray, tensor: StoredTensor, name: str) -> None:
    """Fill a contiguous array of the tensor's shape; CheckpointError as `copied` raises it."""
    if isinstance(tensor, MappedTensor) and tensor.is_plain and tensor.dtype == array.dtype:
        tensor.read_into(array)
        return
    values = tensor.read()
    try:
        narrow(values, array)
    except FloatingPointError:
        raise CheckpointError(
            f"{tensor.path}: {name} has values too large for param_dtype {array.dtype.name}; load it with a wider one"
        ) from None
