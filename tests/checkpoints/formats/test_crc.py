"""The checksums: published values, zlib, and a definition that a reader believes."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert.checkpoints.formats.crc import CASTAGNOLI, CRC32, CRC32C, Multiple, crc32, crc32c

# RFC 3720, appendix B.4, and the check value of the catalogue of CRCs.
PUBLISHED = {
    bytes(32): 0x8A9136AA,
    b"\xff" * 32: 0x62A8AB43,
    bytes(range(32)): 0x46DD794E,
    bytes(range(31, -1, -1)): 0x113FDB5C,
    b"123456789": 0xE3069283,
    b"": 0,
}
ZLIB = 0xEDB88320
"""The polynomial of CRC-32, its bits in reverse."""


def bit_by_bit(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (CASTAGNOLI if value & 1 else 0)
    return value ^ 0xFFFFFFFF


@pytest.mark.parametrize("data", PUBLISHED)
def test_published_values(data: bytes):
    assert crc32c(data) == PUBLISHED[data]


@given(st.binary(max_size=80))
def test_short_messages_have_the_value_of_the_definition(data: bytes):
    assert crc32c(data) == bit_by_bit(data)
    assert crc32(data) == zlib.crc32(data)


def around_rows_of(multiple: Multiple, squared: int) -> list[int]:
    length = multiple.squared(squared).length
    return [rows * length + more for rows in (1, 2, 3) for more in (-5, -1, 0, 1, 3, 4, 9, length // 2)]


@pytest.mark.parametrize("length", [*around_rows_of(CRC32, 2), 5_000_001])
def test_long_messages_have_the_value_of_zlib(length: int):
    data = np.random.default_rng(length).bytes(length)
    assert crc32(data) == zlib.crc32(data)
    assert crc32(data, 0x12345678) == zlib.crc32(data, 0x12345678)


@pytest.mark.parametrize(
    "length", [*around_rows_of(CRC32C[1], 0), *around_rows_of(CRC32C[0], 0)[::3], CRC32C[0].squared(2).length * 2 + 1]
)
def test_long_messages_have_the_value_of_the_definition(length: int):
    data = np.random.default_rng(length).bytes(length)
    assert crc32c(data) == bit_by_bit(data)


@pytest.mark.parametrize("length", around_rows_of(CRC32C[0], 5))
def test_a_message_and_its_checksum_leave_the_same_remainder_whatever_the_message(length: int):
    """The residue of CRC-32C, from the catalogue of CRCs, inverted as the checksum is."""
    data = np.random.default_rng(length).bytes(length)
    assert crc32c(data + crc32c(data).to_bytes(4, "little")) == 0x48674BC7


@pytest.mark.parametrize(("multiple", "polynomial"), [(CRC32, ZLIB), *((multiple, CASTAGNOLI) for multiple in CRC32C)])
def test_the_few_terms_are_a_multiple_of_the_polynomial(multiple: Multiple, polynomial: int):
    """x to the power 8 times each, added up bit by bit."""
    total = 0
    for power in (multiple.length, *multiple.shifts):
        value = 1 << 31
        for _ in range(8 * power):
            value = value >> 1 ^ (polynomial if value & 1 else 0)
        total ^= value
    assert total == 0


def test_the_message_is_left_as_it_is():
    data = np.random.default_rng(0).integers(0, 256, 4_000_001, np.uint8)
    before = data.copy()
    crc32(data)
    crc32c(data)
    np.testing.assert_array_equal(data, before)


def test_a_message_that_begins_anywhere_in_memory():
    data = np.random.default_rng(0).integers(0, 256, 2_000_000, np.uint8)
    for begin in range(1, 9):
        assert crc32(data[begin:]) == zlib.crc32(data[begin:].tobytes())
        assert crc32c(data[begin:]) == crc32c(data[begin:].tobytes())
