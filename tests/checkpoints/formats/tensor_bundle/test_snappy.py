"""Blocks of snappy, written by hand after the format's description."""

import pytest
from crafted_tables import literal, varint

from minibert.checkpoints.formats.tensor_bundle.snappy import decompressed
from minibert.errors import CheckpointError

LONG = bytes(range(200)) * 2


@pytest.mark.parametrize(
    ("block", "content"),
    [
        (b"\x00", b""),
        (b"\x03" + literal(b"abc"), b"abc"),
        (varint(400) + literal(LONG), LONG),
        (b"\x0a" + literal(b"ab") + bytes([1 | 4 << 2, 2]), b"ab" * 5),  # 8 bytes from 2 back: into what it writes
        (b"\x07" + literal(b"abcd") + bytes([2 | 2 << 2, 4, 0]), b"abcdabc"),
        (b"\x07" + literal(b"abcd") + bytes([3 | 2 << 2, 3, 0, 0, 0]), b"abcdbcd"),
        (varint(404) + literal(LONG) + bytes([1 | 400 >> 8 << 5, 400 & 255]), LONG + LONG[:4]),
    ],
)
def test_literals_and_copies(block: bytes, content: bytes):
    assert decompressed(block, CheckpointError) == content


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (varint(1 << 32) + literal(b"abc"), "claims to hold 4,294,967,296"),
        (b"\x05" + literal(b"abc"), "claims to hold 5 bytes and does not"),
        (b"\x02" + literal(b"abc"), "claims to hold 2 bytes and does not"),
        (b"\x03\x10abc", "literal in a compressed block is cut short"),
        (b"\x0a" + literal(b"ab") + bytes([1 | 4 << 2, 3]), "reaches outside what came before"),
        (b"\x0a" + literal(b"ab") + bytes([1 | 4 << 2, 0]), "reaches outside what came before"),
        (b"\x0a" + literal(b"ab") + bytes([2 | 4 << 2, 2]), "reaches outside what came before"),
        (b"\xff" * 11, "more than ten bytes"),
        (b"\x80", "cut short"),
        (b"", "cut short"),
    ],
)
def test_bad_blocks_are_refused(block: bytes, message: str):
    with pytest.raises(CheckpointError, match=message):
        decompressed(block, CheckpointError)
