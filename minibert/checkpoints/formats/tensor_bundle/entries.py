"""What a bundle's index says: its header, and for each tensor dtype, shape, shard, place and checksum.

The messages are those of TensorFlow's tensor_bundle.proto, tensor_shape.proto, tensor_slice.proto and types.proto. A variable
that was partitioned has an entry without data, which lists its slices; each slice has an entry of its own under a key in the
encoding of ordered_code.h.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from minibert.checkpoints.formats.stored_tensor import MAX_AXES, MAX_ELEMENTS, STORED_DTYPES
from minibert.checkpoints.formats.tensor_bundle.wire import Refuse, fields, signed

DTYPES: dict[int, np.dtype[Any]] = {
    1: STORED_DTYPES["float32"],
    2: STORED_DTYPES["float64"],
    3: STORED_DTYPES["int32"],
    4: STORED_DTYPES["uint8"],
    5: STORED_DTYPES["int16"],
    6: STORED_DTYPES["int8"],
    9: STORED_DTYPES["int64"],
    10: STORED_DTYPES["bool"],
    14: STORED_DTYPES["bfloat16"],
    17: STORED_DTYPES["uint16"],
    19: STORED_DTYPES["float16"],
    22: STORED_DTYPES["uint32"],
    23: STORED_DTYPES["uint64"],
}
"""By their numbers in TensorFlow's types.proto."""

TEXT = 7
MOST_SHARDS = 1000


@dataclass(frozen=True)
class Slice:
    """A part of a tensor: where it begins on each axis, and how far it goes."""

    starts: tuple[int, ...]
    lengths: tuple[int, ...]
    key: bytes


@dataclass(frozen=True)
class Entry:
    """One tensor, or one slice of one, of an index. `dtype` is None for text, which no parameter is."""

    dtype: np.dtype[Any] | None
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int
    slices: tuple[Slice, ...]


def number_of_shards(header: bytes, refuse: Refuse) -> int:
    """What BundleHeaderProto says; refused are big-endian data, and versions that a reader of the first one may not read."""
    shards = 0
    for number, value in fields(header, refuse):
        if number == 1 and isinstance(value, int):
            shards = value
        elif number == 2 and value != 0:
            raise refuse("its numbers are big-endian; save it again on a little-endian machine")
        elif number == 3 and isinstance(value, bytes):
            for field, version in fields(value, refuse):
                if field == 2 and isinstance(version, int) and version > 1:
                    raise refuse(f"it is for readers of version {version}, and version 1 is known")
    if not 0 < shards <= MOST_SHARDS:
        raise refuse(f"it has {shards:,} shards; expected 1 to {MOST_SHARDS}")
    return shards


def entry_of(name: str, data: bytes, refuse: Refuse) -> Entry:
    """A BundleEntryProto, with its slices if it has any."""
    number_of_dtype = shard = offset = size = checksum = 0
    shape: tuple[int, ...] = ()
    parts: list[bytes] = []
    for number, value in fields(data, refuse):
        if number == 1 and isinstance(value, int):
            number_of_dtype = value
        elif number == 2 and isinstance(value, bytes):
            shape = _shape(name, value, refuse)
        elif number == 3 and isinstance(value, int):
            shard = signed(value)
        elif number == 4 and isinstance(value, int):
            offset = signed(value)
        elif number == 5 and isinstance(value, int):
            size = signed(value)
        elif number == 6 and isinstance(value, int):
            checksum = value
        elif number == 7 and isinstance(value, bytes):
            parts.append(value)
        else:
            raise refuse(f"the entry of {name} has a field {number} that is not known")
    if number_of_dtype not in DTYPES and number_of_dtype != TEXT:
        raise refuse(f"tensor {name} has a dtype with the number {number_of_dtype}; known are those of real numbers")
    dtype = DTYPES.get(number_of_dtype)
    slices = tuple(_slice(name, part, shape, refuse) for part in parts)
    needed = math.prod(shape) * dtype.itemsize if dtype is not None and not slices else size
    if size != needed:
        raise refuse(f"tensor {name} takes {size:,} bytes, but its dtype and shape {list(shape)} need {needed:,}")
    return Entry(dtype, shape, shard, offset, size, checksum, slices)


def _shape(name: str, data: bytes, refuse: Refuse) -> tuple[int, ...]:
    shape = []
    for number, dimension in fields(data, refuse):
        if number != 2 or not isinstance(dimension, bytes):
            raise refuse(f"the shape of {name} is not known")
        lengths = [signed(value) for field, value in fields(dimension, refuse) if field == 1 and isinstance(value, int)]
        shape.append(lengths[-1] if lengths else 0)
    if len(shape) > MAX_AXES or min(shape, default=0) < 0 or math.prod(length or 1 for length in shape) >= MAX_ELEMENTS:
        raise refuse(
            f"tensor {name} has shape {str(shape)[:80]}; expected at most {MAX_AXES} lengths from 0 up that memory holds"
        )
    return tuple(shape)


def _slice(name: str, data: bytes, shape: tuple[int, ...], refuse: Refuse) -> Slice:
    extents = [value for number, value in fields(data, refuse) if number == 1 and isinstance(value, bytes)]
    if len(extents) != len(shape):
        raise refuse(f"a slice of {name} has {len(extents)} axes, and the tensor {len(shape)}")
    starts, lengths, written = [], [], []
    for extent, whole in zip(extents, shape, strict=True):
        found = {number: signed(value) for number, value in fields(extent, refuse) if isinstance(value, int)}
        start, length = found.get(1, 0), found.get(2)
        # An extent without a length is the whole axis, whose length is written as -1.
        written.append((start, -1 if length is None else length))
        length = whole if length is None else length
        if start < 0 or length < 0 or start + length > whole:
            raise refuse(f"a slice of {name} goes from {start} over {length} places of an axis of {whole}")
        starts.append(start)
        lengths.append(length)
    return Slice(tuple(starts), tuple(lengths), _key_of_slice(name, written))


def _key_of_slice(name: str, extents: list[tuple[int, int]]) -> bytes:
    key = _ordered(0) + name.encode() + b"\x00\x01" + _ordered(len(extents))
    return key + b"".join(_ordered_signed(number) for extent in extents for number in extent)


def _ordered(number: int) -> bytes:
    length = (number.bit_length() + 7) // 8
    return bytes([length]) + number.to_bytes(length, "big")


def _ordered_signed(number: int) -> bytes:
    """Seven bits of the number in each byte, and before them as many ones as there are bytes, inverted where it is negative."""
    length = (~number if number < 0 else number).bit_length() // 7 + 1
    return ((number & (1 << 8 * length) - 1) ^ ((1 << length) - 1) << 7 * length).to_bytes(length, "big")
