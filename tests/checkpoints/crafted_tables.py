"""Indices of TensorFlow's checkpoints made by hand, with checksums that hold, so that a test can make each part of them wrong."""

import math

from minibert.checkpoints.formats.crc import crc32c
from minibert.checkpoints.formats.tensor_bundle.table import FOOTER, MAGIC, masked

HEADER = b"\x08\x01\x1a\x02\x08\x01"
"""BundleHeaderProto: one shard, written as version 1."""


def varint(value: int) -> bytes:
    """An integer in seven bits a byte; a negative one as the 64 bits of its complement."""
    value &= (1 << 64) - 1
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def field(number: int, content: bytes | int) -> bytes:
    """A field of protobuf, left out where it is the number 0."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content) if content else b""
    return varint(number << 3 | 2) + varint(len(content)) + content


def tensor(*shape: int, offset: int = 0, data: bytes | None = None, slices: bytes = b"") -> bytes:
    """A BundleEntryProto of float32, of zeros unless told otherwise; `data` is None where there is no way to write so many."""
    checksum = b"\x35" + masked(crc32c(data)).to_bytes(4, "little") if data is not None else b""
    place = field(4, offset) + field(5, 0 if slices else 4 * math.prod(shape))
    return field(1, 1) + field(2, b"".join(field(2, field(1, length)) for length in shape)) + place + checksum + slices


def item(key: bytes, value: bytes, *, shared: int = 0, own: int | None = None, length: int | None = None) -> bytes:
    """An entry of a block."""
    lengths = (shared, len(key) if own is None else own, len(value) if length is None else length)
    return b"".join(map(varint, lengths)) + key + value


def block(*items: bytes, restarts: tuple[int, ...] = (0,), count: int | None = None) -> bytes:
    numbers = (*restarts, len(restarts) if count is None else count)
    return b"".join(items) + b"".join(number.to_bytes(4, "little") for number in numbers)


def index_of(
    *blocks: bytes,
    kind: int = 0,
    handles: tuple[bytes, ...] | None = None,
    first_handle: bytes | None = None,
    last_handle: bytes | None = None,
) -> bytes:
    """An index file of these blocks, compressed in a way `kind`; its handles are where they are unless told otherwise."""
    data, places = b"", []
    for content, way in [*((content, kind) for content in blocks), (block(), 0)]:
        places.append(varint(len(data)) + varint(len(content)))
        data += content + bytes([way]) + masked(crc32c(content + bytes([way]))).to_bytes(4, "little")
    found = places[:-1] if handles is None else handles
    listed = block(*(item(b"%04d" % place, handle) for place, handle in enumerate(found)))
    last = varint(len(data)) + varint(len(listed)) if last_handle is None else last_handle
    data += listed + b"\x00" + masked(crc32c(listed + b"\x00")).to_bytes(4, "little")
    footer = (places[-1] if first_handle is None else first_handle) + last
    return data + footer + bytes(FOOTER - 8 - len(footer)) + MAGIC.to_bytes(8, "little")


def literal(data: bytes) -> bytes:
    """Bytes as snappy has them where it finds nothing that repeats."""
    if len(data) <= 60:
        return bytes([len(data) - 1 << 2]) + data
    return bytes([61 << 2]) + (len(data) - 1).to_bytes(2, "little") + data
