"""Decompressing snappy's blocks (google/snappy, format_description.txt): literals, and copies of what came before."""

from minibert.checkpoints.formats.tensor_bundle.wire import Refuse, variable_length

MOST_FOR_A_BYTE = 64
"""No element makes more of a byte: a copy takes at least two bytes and gives 64 at most."""


def decompressed(data: bytes, refuse: Refuse) -> bytes:
    """The content of a block. Raises what `refuse` makes of a size that so short a block cannot have, and of bad elements."""
    size, begin = variable_length(data, 0, refuse)
    if size > MOST_FOR_A_BYTE * len(data):
        raise refuse(f"a compressed block of {len(data):,} bytes claims to hold {size:,}")
    output = bytearray()
    while begin < len(data):
        tag = data[begin]
        begin += 1
        if tag & 3 == 0:
            length = (tag >> 2) + 1
            if length > 60:
                extra = length - 60
                length = int.from_bytes(data[begin : begin + extra], "little") + 1
                begin += extra
            if length > len(data) - begin:
                raise refuse("a literal in a compressed block is cut short")
            output += data[begin : begin + length]
            begin += length
        else:
            extra = {1: 1, 2: 2, 3: 4}[tag & 3]
            offset = int.from_bytes(data[begin : begin + extra], "little")
            if tag & 3 == 1:
                length = (tag >> 2 & 7) + 4
                offset |= tag >> 5 << 8
            else:
                length = (tag >> 2) + 1
            begin += extra
            if begin > len(data) or not 0 < offset <= len(output):
                raise refuse("a copy in a compressed block reaches outside what came before it")
            start = len(output) - offset
            # A copy may reach into what it writes: then it repeats.
            repeated = output[start : start + length]
            output += (repeated * (length // len(repeated) + 1))[:length]
        if len(output) > size:
            break
    if len(output) != size:
        raise refuse(f"a compressed block claims to hold {size:,} bytes and does not")
    return bytes(output)
