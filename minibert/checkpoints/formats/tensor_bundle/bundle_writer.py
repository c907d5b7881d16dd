"""Writing a bundle that TensorFlow's `tf.train.load_checkpoint` reads: one data file, and an index of one block."""

from pathlib import Path

import numpy as np

from minibert.atomic_write import write_atomically
from minibert.checkpoints.formats.crc import crc32c
from minibert.checkpoints.formats.tensor_bundle.bundle_reader import SUFFIX
from minibert.checkpoints.formats.tensor_bundle.entries import DTYPES
from minibert.checkpoints.formats.tensor_bundle.table import FOOTER, MAGIC, masked
from minibert.checkpoints.formats.tensor_sources import Tensors, check_dtypes, flat_values, write_values
from minibert.errors import CheckpointError

NUMBERS = {dtype.name: number for number, dtype in DTYPES.items()}
HEADER = b"\x08\x01\x1a\x02\x08\x01"
"""BundleHeaderProto: one shard, little-endian, written as version 1."""

BETWEEN_RESTARTS = 16
"""As in LevelDB: how many entries there are from one with its whole key to the next."""


def write_tensor_bundle(prefix: Path, tensors: Tensors) -> list[Path]:
    """Write tensors as `prefix.index` and `prefix.data-00000-of-00001`, and give the two paths.

    One tensor at a time is in memory. The index comes last: a bundle without one is none.

    Raises CheckpointError for a dtype that TensorFlow lacks, a name that is no name, or where nothing can be written.
    """
    index, data = prefix.with_name(prefix.name + SUFFIX), prefix.with_name(f"{prefix.name}.data-00000-of-00001")
    check_dtypes(index, tensors, NUMBERS)
    for name in tensors:
        if not name or "\x00" in name:
            raise CheckpointError(f"{index} cannot hold a tensor with the name {name!r}; expected text without a NUL")
    entries = {b"": HEADER}
    with write_atomically(data, error=CheckpointError) as file:
        offset = 0
        for name in sorted(tensors, key=str.encode):
            values = flat_values(name, tensors[name])
            write_values(file, values)
            entries[name.encode()] = _entry(tensors[name].shape, values, offset)
            offset += values.nbytes
    with write_atomically(index, error=CheckpointError) as file:
        file.write(_table(entries))
    return [index, data]


def _entry(shape: tuple[int, ...], values: np.ndarray, offset: int) -> bytes:
    """A BundleEntryProto."""
    axes = b"".join(_field(2, _integer(1, length)) for length in shape)
    checksum = masked(crc32c(values.view(np.uint8))).to_bytes(4, "little")
    place = _integer(4, offset) + _integer(5, values.nbytes)
    return _integer(1, NUMBERS[values.dtype.name]) + _field(2, axes) + place + _variable_length(6 << 3 | 5) + checksum


def _integer(number: int, value: int) -> bytes:
    """A field with an integer, left out where it is zero."""
    return _variable_length(number << 3) + _variable_length(value) if value else b""


def _field(number: int, content: bytes) -> bytes:
    return _variable_length(number << 3 | 2) + _variable_length(len(content)) + content


def _variable_length(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _table(entries: dict[bytes, bytes]) -> bytes:
    """A table of one block, which `entries` are in the order of."""
    table = bytearray()
    blocks = _add_block(table, list(entries.items()))
    nothing = _add_block(table, [])
    index = _add_block(table, [(list(entries)[-1], blocks)])
    handles = nothing + index
    return bytes(table) + handles + bytes(FOOTER - 8 - len(handles)) + MAGIC.to_bytes(8, "little")


def _add_block(table: bytearray, entries: list[tuple[bytes, bytes]]) -> bytes:
    """Append a block, and give its handle."""
    block, restarts, before = bytearray(), [], b""
    for place, (key, value) in enumerate(entries):
        shared = 0
        if place % BETWEEN_RESTARTS == 0:
            restarts.append(len(block))
        else:
            while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                shared += 1
        block += _variable_length(shared) + _variable_length(len(key) - shared) + _variable_length(len(value))
        block += key[shared:] + value
        before = key
    for number in [*(restarts or [0]), len(restarts or [0])]:
        block += number.to_bytes(4, "little")
    handle = _variable_length(len(table)) + _variable_length(len(block))
    table += block + b"\x00"
    table += masked(crc32c(bytes(block) + b"\x00")).to_bytes(4, "little")
    return handle
