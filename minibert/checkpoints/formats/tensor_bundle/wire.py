"""Bytes that are not trusted, read front to back: variable-length integers, and protobuf's fields.

Protobuf's wire format is a series of keys and values. A key is `number << 3 | kind`, and the kinds that a bundle uses are 0, a
variable-length integer, 1 and 5, eight and four bytes, and 2, a length and so many bytes.
"""

from collections.abc import Callable, Iterator

from minibert.errors import CheckpointError

Refuse = Callable[[str], CheckpointError]
"""Makes the error of a reason: it knows the file."""

LONGEST_INTEGER = 10


def variable_length(data: bytes, begin: int, refuse: Refuse) -> tuple[int, int]:
    """A variable-length integer below 2^64, and where it ends."""
    value = 0
    for place in range(LONGEST_INTEGER):
        if begin + place >= len(data):
            raise refuse("an integer is cut short")
        byte = data[begin + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            if value >> 64:
                raise refuse("an integer has more than 64 bits")
            return value, begin + place + 1
    raise refuse("an integer takes more than ten bytes")


def fields(data: bytes, refuse: Refuse) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message: each one's number, and an integer or bytes."""
    begin = 0
    while begin < len(data):
        key, begin = variable_length(data, begin, refuse)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, begin = variable_length(data, begin, refuse)
            yield number, value
            continue
        if kind == 2:
            length, begin = variable_length(data, begin, refuse)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise refuse(f"a field has the wire type {kind}")
        if length > len(data) - begin:
            raise refuse("a field is cut short")
        content = data[begin : begin + length]
        yield number, content if kind == 2 else int.from_bytes(content, "little")
        begin += length


def signed(value: int) -> int:
    """A 64-bit integer as protobuf's int64 has it."""
    return value - (1 << 64) if value >> 63 else value
