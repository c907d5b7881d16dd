"""The checksums: published values, zlib, and a definition that a reader believes."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert.checkpoints.formats.crc import CRC32, CRC32C, SLAB, Divisor, crc

# RFC 3720, appendix B.4, and the check value of the catalogue of CRCs.
PUBLISHED = {
    bytes(32): 0x8A9136AA,
    b"\xff" * 32: 0x62A8AB43,
    bytes(range(32)): 0x46DD794E,
    bytes(range(31, -1, -1)): 0x113FDB5C,
    b"123456789": 0xE3069283,
    b"": 0,
}


def bit_by_bit(data: bytes, divisor: Divisor) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (divisor.polynomial if value & 1 else 0)
    return value ^ 0xFFFFFFFF


@pytest.mark.parametrize("data", PUBLISHED)
def test_published_values(data: bytes):
    assert crc(data) == PUBLISHED[data]


@given(st.binary(max_size=80))
def test_short_messages_have_the_value_of_the_definition(data: bytes):
    assert crc(data) == bit_by_bit(data, CRC32C)
    assert crc(data, CRC32) == zlib.crc32(data)


AROUND_THE_TERMS = [4 * power + more for power in (484, 6777, 13554, 27108, 54216, 2091, 4018) for more in (-5, 0, 3, 4, 9)]


@pytest.mark.parametrize("length", [*AROUND_THE_TERMS, 4 * SLAB - 1, 4 * SLAB + 8, 4 * SLAB + 9, 8 * SLAB + 7, 5_000_001])
def test_long_messages_have_the_value_of_zlib_for_its_divisor(length: int):
    data = np.random.default_rng(length).bytes(length)
    assert crc(data, CRC32) == zlib.crc32(data)


@pytest.mark.parametrize("length", [4 * 6777 + 1, 100_003])
def test_long_messages_have_the_value_of_the_definition(length: int):
    data = np.random.default_rng(length).bytes(length)
    assert crc(data) == bit_by_bit(data, CRC32C)


@pytest.mark.parametrize("divisor", [CRC32C, CRC32])
def test_the_four_terms_are_a_multiple_of_the_polynomial(divisor: Divisor):
    """x to the power 32 times each, added up bit by bit."""
    total = 0
    for power in (*divisor.powers, 0):
        value = 1 << 31
        for _ in range(32 * power):
            value = value >> 1 ^ (divisor.polynomial if value & 1 else 0)
        total ^= value
    assert total == 0


def test_the_message_is_left_as_it_is():
    data = np.random.default_rng(0).integers(0, 256, 100_001, np.uint8)
    before = data.copy()
    crc(data)
    np.testing.assert_array_equal(data, before)


def test_a_message_that_begins_anywhere_in_memory():
    data = np.random.default_rng(0).integers(0, 256, 100_000, np.uint8)
    for begin in range(1, 9):
        assert crc(data[begin:], CRC32) == zlib.crc32(data[begin:].tobytes())
