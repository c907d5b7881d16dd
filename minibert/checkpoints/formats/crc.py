"""CRC-32 (zlib's) and CRC-32C (Castagnoli, RFC 3720) by NumPy, at gigabytes a second.

A CRC is the remainder of the message, a polynomial over GF(2) whose first bit has the highest power of x, divided by a polynomial
P of degree 32. Every multiple of P leaves the same remainder, and some multiples have few terms:

    y^130360 + y^24749 + 1 = 0 (mod P of CRC-32), where y = x^8 is the place of one byte
    y^27108 + y^1936 + y^400 + 1 = 0 (mod P of CRC-32C)

So a whole row of bytes is taken 130,360 places down at once: it is added (XOR) to the next row as it is, and a second time moved
by 24,749 places. Squaring the equation, which over GF(2) doubles each power and nothing else, gives longer rows. The terms were
found by looking for powers whose sum is 1 among the first hundred thousands.
"""

import itertools
import zlib
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8, UInt32


class Multiple(NamedTuple):
    """A multiple of a polynomial P: y^length and the sum of y^shift over all `shifts` have the same remainder."""

    length: int
    shifts: tuple[int, ...]
    """The highest is at most half of `length`; the last is 0."""

    def squared(self, times: int) -> "Multiple":
        """The equation squared so often: every power is doubled each time."""
        return Multiple(self.length << times, tuple(shift << times for shift in self.shifts))


CRC32 = Multiple(130360, (24749, 0))
CRC32C = Multiple(27108, (1936, 400, 0))

# Two rows of such a length stay in a core's own cache.
_LONG_CRC32 = CRC32.squared(2)
_LONG_CRC32C = CRC32C.squared(4)

CASTAGNOLI = 0x82F63B78
"""The polynomial of CRC-32C, its bits in reverse, as those of all words here: the lowest has the highest power of x."""

ONES = 0xFFFFFFFF
"""What both CRCs begin with: it is added to the first four bytes of a message, and once more to the remainder."""


def crc32(data: bytes | memoryview | np.ndarray, value: int = 0) -> int:
    """zlib's checksum of some bytes that follow others, of which `value` is the checksum; twice as fast as zlib for long ones."""
    message = np.frombuffer(data, np.uint8)
    if len(message) < 2 * _LONG_CRC32.length:
        return zlib.crc32(message.data, value)
    return zlib.crc32(_folded(message, _LONG_CRC32, value ^ ONES).data, ONES)


def crc32c(data: bytes | memoryview | np.ndarray) -> int:
    """The checksum of TensorFlow's checkpoints."""
    message, begins_with = np.frombuffer(data, np.uint8), ONES
    for multiple in (_LONG_CRC32C, CRC32C):
        if len(message) >= 2 * multiple.length:
            message, begins_with = _folded(message, multiple, begins_with), 0
    # A word of zeros behind the message holds what it begins with, where it is shorter than that; zeros before it do nothing.
    zeros = -len(message) % 4
    words = np.zeros(zeros + len(message) + 4, np.uint8)
    words[zeros:-4] = message
    words[zeros : zeros + 4] ^= _bytes_of(begins_with)
    return _remainder(words.view("<u4")) ^ ONES


def _folded(message: UInt8[np.ndarray, " bytes"], multiple: Multiple, begins_with: int) -> UInt8[np.ndarray, " length"]:
    """The last row of a message of two rows or more, when each row before it has been added to the next."""
    length = multiple.length
    begin = length + len(message) % length
    head = message[:begin].copy()
    head[:4] ^= _bytes_of(begins_with)
    row, result = np.zeros(length, np.uint8), np.empty(length, np.uint8)
    row[2 * length - begin :] = head[: begin - length]
    rows = itertools.chain([head[begin - length :]], (message[at : at + length] for at in range(begin, len(message), length)))
    # The two arrays take turns, so their parts are cut out once for each turn.
    turns = itertools.cycle([(row, result, _moved(row, result, multiple)), (result, row, _moved(result, row, multiple))])
    for following, (row, result, moved) in zip(rows, turns, strict=False):
        np.bitwise_xor(following, row, out=result)
        for part, added in moved:
            np.bitwise_xor(part, added, out=part)
    return result


def _moved(
    row: UInt8[np.ndarray, " length"], result: UInt8[np.ndarray, " length"], multiple: Multiple
) -> list[tuple[UInt8[np.ndarray, " part"], UInt8[np.ndarray, " part"]]]:
    """Which parts of `row` are added to which of `result`, beside the whole to the whole."""
    length, parts = multiple.length, []
    for shift in multiple.shifts[:-1]:
        parts.append((result[: length - shift], row[shift:]))
        # What is moved out of the row comes down a row length in its turn.
        parts += [(result[length - shift - again : length - again], row[:shift]) for again in multiple.shifts]
    return parts


def _bytes_of(word: int) -> UInt8[np.ndarray, " 4"]:
    return np.array([word], "<u4").view(np.uint8)


def _remainder(words: UInt32[np.ndarray, " words"]) -> int:
    """The remainder by CRC-32C's polynomial: the upper half times a power of y is added to the lower one, again and again."""
    while len(words) > 1:
        half = len(words) // 2
        upper = words[: len(words) - half]
        low, second, third, high = _tables(half)
        upper = low[upper & 0xFF] ^ second[upper >> 8 & 0xFF] ^ third[upper >> 16 & 0xFF] ^ high[upper >> 24]
        upper[len(upper) - half :] ^= words[len(words) - half :]
        words = upper
    return int(words[0])


@lru_cache(maxsize=1024)
def _tables(words: int) -> UInt32[np.ndarray, "4 256"]:
    """The place so many words up times each value of each byte of a word."""
    factor = _power_of_word(words)
    tables = np.zeros((4, 256), np.uint32)
    for bit in range(32):
        tables[bit // 8, np.arange(256) >> bit % 8 & 1 == 1] ^= np.uint32(_times(1 << bit, factor))
    return tables


def _power_of_word(power: int) -> int:
    result, square = 1 << 31, CASTAGNOLI  # 1, and x^32, which is what P has beside it
    while power:
        if power & 1:
            result = _times(result, square)
        square = _times(square, square)
        power >>= 1
    return result


def _times(left: int, right: int) -> int:
    """The product of two words, divided."""
    result = 0
    for bit in range(31, -1, -1):
        if left >> bit & 1:
            result ^= right
        right = right >> 1 ^ (CASTAGNOLI if right & 1 else 0)
    return result
