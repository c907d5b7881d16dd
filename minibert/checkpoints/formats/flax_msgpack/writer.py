"""Writing flax's msgpack files, byte for byte as `flax.serialization.msgpack_serialize` does, one tensor at a time.

`layout.py` says what is in the file.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from minibert.atomic_write import write_atomically
from minibert.checkpoints.formats.flax_msgpack import layout
from minibert.checkpoints.formats.stored_tensor import MAX_AXES, STORED_DTYPES
from minibert.checkpoints.formats.tensor_sources import Tensors, TensorSource, check_dtypes, flat_values, write_values
from minibert.errors import CheckpointError, shown

# The reader's limits, less what an array in chunks takes behind its name: `/chunks/0`, or its mark.
MAX_PARTS = layout.MAX_DEPTH - 2
MAX_NAME_BYTES = layout.MAX_NAME_BYTES - 30


class _Leaf(NamedTuple):
    name: str
    source: np.ndarray | TensorSource


def write_flax_msgpack(path: Path, tensors: Tensors) -> None:
    """Write `tensors`, whose names have "/" between their parts, as the nested maps of `flax_model.msgpack`.

    `flax.serialization.msgpack_restore` reads it. At most one tensor is in memory at a time; `path` is there whole or not at all.

    Raises CheckpointError for a name, shape or dtype that the format does not hold, for a tensor that cannot be read, and where
    nothing can be written.
    """
    check_dtypes(path, tensors, STORED_DTYPES)
    tree = _tree_of(path, tensors)
    with write_atomically(path, error=CheckpointError) as file:
        _write_map(file, tree)


def _tree_of(path: Path, tensors: Tensors) -> dict[str, Any]:
    """The nested maps, whose leaves are `_Leaf`."""

    def refuse(name: str, reason: str) -> CheckpointError:
        return CheckpointError(f"{path} cannot hold tensor {shown(name)}: {reason}; rename it")

    tree: dict[str, Any] = {}
    values = 1
    for name, source in tensors.items():
        parts = name.split("/")
        if "" in parts or layout.CHUNKED in parts or len(parts) > MAX_PARTS:
            raise refuse(name, f"expected 1 to {MAX_PARTS} parts with '/' between them, none empty or {shown(layout.CHUNKED)}")
        try:
            length = len(name.encode("utf-8"))
        except UnicodeEncodeError:
            raise refuse(name, "it holds half of a surrogate pair") from None
        if length > MAX_NAME_BYTES:
            raise refuse(name, f"its name has {length:,} bytes, of {MAX_NAME_BYTES} at most")
        if len(source.shape) > MAX_AXES:
            raise CheckpointError(f"{path} cannot hold tensor {shown(name)} of {len(source.shape)} axes, of {MAX_AXES} at most")
        branch = tree
        for part in parts[:-1]:
            values += part not in branch
            branch = branch.setdefault(part, {})
            if not isinstance(branch, dict):
                raise refuse(name, f"{shown(branch.name)} is a tensor too, and the one would lie inside the other")
        if parts[-1] in branch:
            raise refuse(name, "other tensors' names begin with it, and would lie inside it")
        branch[parts[-1]] = _Leaf(name, source)
        values += 1
    if values > layout.MAX_VALUES:
        raise CheckpointError(f"{path} cannot hold {len(tensors):,} tensors; minibert reads {layout.MAX_VALUES:,} values at most")
    axes = sum(len(source.shape) for source in tensors.values())
    if axes > layout.MAX_AXES_TOGETHER:
        raise CheckpointError(f"{path} cannot hold {axes:,} axes; minibert reads {layout.MAX_AXES_TOGETHER:,} at most")
    return tree


def _write_map(file: IO[bytes], tree: dict[str, Any]) -> None:
    file.write(_map_header(len(tree)))
    for key, value in tree.items():
        file.write(_text(key))
        if isinstance(value, _Leaf):
            _write_tensor(file, value)
        else:
            _write_map(file, value)


def _write_tensor(file: IO[bytes], leaf: _Leaf) -> None:
    values = flat_values(leaf.name, leaf.source)
    if values.nbytes <= layout.MAX_CHUNK_BYTES:
        _write_array(file, leaf.source.shape, values)
        return
    length = layout.MAX_CHUNK_BYTES // values.itemsize
    file.write(_map_header(3) + _text(layout.CHUNKED) + b"\xc3")
    file.write(_text("shape") + _map_header(len(leaf.source.shape)))
    for axis, extent in enumerate(leaf.source.shape):
        file.write(_text(str(axis)) + _whole_number(extent))
    file.write(_text("chunks") + _map_header(math.ceil(values.size / length)))
    for index, start in enumerate(range(0, values.size, length)):
        chunk = values[start : start + length]
        file.write(_text(str(index)))
        _write_array(file, chunk.shape, chunk)


def _write_array(file: IO[bytes], shape: Sequence[int], values: np.ndarray) -> None:
    head = _list_header(3) + _list_header(len(shape)) + b"".join(map(_whole_number, shape))
    head += _text(values.dtype.name) + _bytes_header(values.nbytes)
    file.write(_extension_header(len(head) + values.nbytes, layout.ARRAY_EXTENSION) + head)
    write_values(file, values)


def _map_header(count: int) -> bytes:
    return _small(0x80, 16, count) or _sized(count, {2: 0xDE, 4: 0xDF})


def _list_header(count: int) -> bytes:
    return _small(0x90, 16, count) or _sized(count, {2: 0xDC, 4: 0xDD})


def _text(text: str) -> bytes:
    data = text.encode("utf-8")
    return (_small(0xA0, 32, len(data)) or _sized(len(data), {1: 0xD9, 2: 0xDA, 4: 0xDB})) + data


def _bytes_header(length: int) -> bytes:
    return _sized(length, {1: 0xC4, 2: 0xC5, 4: 0xC6})


def _extension_header(length: int, extension: int) -> bytes:
    # Lengths of 1, 2, 4, 8 and 16 have a first byte each; no array takes fewer than 10 bytes.
    head = b"\xd8" if length == 16 else _sized(length, {1: 0xC7, 2: 0xC8, 4: 0xC9})
    return head + bytes([extension])


def _whole_number(number: int) -> bytes:
    return _small(0, 128, number) or _sized(number, {1: 0xCC, 2: 0xCD, 4: 0xCE, 8: 0xCF})


def _small(first: int, limit: int, number: int) -> bytes:
    """A number under the limit inside the first byte; else nothing."""
    return bytes([first + number]) if number < limit else b""


def _sized(number: int, first_bytes: dict[int, int]) -> bytes:
    """A number after the first byte that says how many bytes it has: the fewest that hold it."""
    width = next(width for width in first_bytes if number < 1 << (8 * width))
    return bytes([first_bytes[width]]) + number.to_bytes(width, "big")
