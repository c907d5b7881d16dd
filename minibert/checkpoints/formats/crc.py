"""CRC-32 (zlib's) and CRC-32C (Castagnoli, RFC 3720) by NumPy, at gigabytes a second.

A CRC is the remainder of the message, a polynomial over GF(2) whose first bit has the highest power of x, divided by a polynomial
P of degree 32. Every multiple of P leaves the same remainder, and some multiples have few terms:

    y^130360 + y^24749 + 1 = 0 (mod P of CRC-32), where y = x^8 is the place of one byte
    y^5685 + y^1362 + y^426 + 1 = y^27108 + y^1936 + y^400 + 1 = 0 (mod P of CRC-32C)

So a whole row of bytes is taken 130,360 places down at once: it is added (XOR) to the next row as it is, and a second time moved
by 24,749 places. Squaring the equation, which over GF(2) doubles each power and nothing else, gives longer rows, for which NumPy
is called less often. The terms were found by looking for powers whose sum is 1 among the first hundred thousands.
"""

import itertools
import threading
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
CRC32C = (Multiple(27108, (1936, 400, 0)), Multiple(5685, (1362, 426, 0)))

# Two rows of the longest stay in a core's own cache; those that follow are for what is left, and for short messages.
LONG_CRC32 = CRC32.squared(2)
FOLDS_CRC32C = (CRC32C[0].squared(5), CRC32C[0].squared(2), *CRC32C)

CASTAGNOLI = 0x82F63B78
"""The polynomial of CRC-32C, its bits in reverse, as those of all words here: the lowest has the highest power of x."""

ONES = 0xFFFFFFFF
"""What both CRCs begin with: it is added to the first four bytes of a message, and once more to the remainder."""

_MEMORY = threading.local()

SIDE = 64
"""The end of a message is divided in a square of so many rows of so many words; what the shortest fold leaves fits in it."""


def crc32(data: bytes | memoryview | np.ndarray, value: int = 0) -> int:
    """zlib's checksum of some bytes that follow others, of which `value` is the checksum; twice as fast as zlib for long ones."""
    message = np.frombuffer(data, np.uint8)
    if len(message) < 2 * LONG_CRC32.length:
        return zlib.crc32(message.data, value)
    return zlib.crc32(_folded(message, LONG_CRC32, value ^ ONES).data, ONES)


def crc32c(data: bytes | memoryview | np.ndarray, value: int = 0) -> int:
    """The checksum of TensorFlow's checkpoints, of some bytes that follow others, of which `value` is the checksum."""
    message, begins_with = np.frombuffer(data, np.uint8), value ^ ONES
    for multiple in FOLDS_CRC32C:
        if len(message) >= 2 * multiple.length:
            message, begins_with = _folded(message, multiple, begins_with).copy(), 0
    # A word of zeros behind the message holds what it begins with, where it is shorter than that; zeros before it do nothing.
    zeros = -(len(message) + 4) % (4 * SIDE)
    padded = np.zeros(zeros + len(message) + 4, np.uint8)
    padded[zeros:-4] = message
    padded[zeros : zeros + 4] ^= _bytes_of(begins_with)
    return _remainder(padded.view("<u4").reshape(-1, SIDE)) ^ ONES


def _folded(message: UInt8[np.ndarray, " bytes"], multiple: Multiple, begins_with: int) -> UInt8[np.ndarray, " length"]:
    """The last row of a message of two rows or more, when each row before it has been added to the next.

    It lies in memory that the next call in this thread writes over.
    """
    length, begin = multiple.length, len(message) % multiple.length
    ones = _bytes_of(begins_with)
    row, result = _rows_in_memory(length)
    row[: length - begin] = 0
    row[length - begin :] = message[:begin]
    row[length - begin : length - begin + 4] ^= ones[:begin]
    # The two arrays take turns, so their parts are cut out once for each turn.
    turns = itertools.cycle([(row, result, _moved(row, result, multiple)), (result, row, _moved(result, row, multiple))])
    for at, (row, result, moved) in zip(range(begin, len(message), length), turns, strict=False):
        np.bitwise_xor(message[at : at + length], row, out=result)
        for part, added in moved:
            np.bitwise_xor(part, added, out=part)
        if at < 4:
            result[: 4 - at] ^= ones[at:]
    return result


def _rows_in_memory(length: int) -> UInt8[np.ndarray, "2 length"]:
    """Two rows, in memory that each thread keeps: new memory would take longer to come by than a row takes to be added."""
    if not hasattr(_MEMORY, "bytes"):
        _MEMORY.bytes = np.empty(2 * max(LONG_CRC32.length, FOLDS_CRC32C[0].length), np.uint8)
    return np.reshape(_MEMORY.bytes[: 2 * length], (2, length))


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


def _remainder(words: UInt32[np.ndarray, "rows SIDE"]) -> int:
    """The remainder by CRC-32C's polynomial: every word in its place, first that of its row, then that of its column."""
    rows, columns = _places()
    row = np.bitwise_xor.reduce(_product(words, rows[len(rows) - len(words) :]), axis=0)
    return int(np.bitwise_xor.reduce(_product(row, columns)))


def _product(words: UInt32[np.ndarray, "*axes count"], tables: UInt32[np.ndarray, "factors 4 256"]) -> np.ndarray:
    """Each of the words times its factor, divided: factors are those of the first axis."""
    factor = np.arange(len(tables)).reshape(-1, *[1] * (words.ndim - 1))
    low, second, third, high = (tables[factor, byte, words >> 8 * byte & 0xFF] for byte in range(4))
    return low ^ second ^ third ^ high


@lru_cache(maxsize=1)
def _places() -> tuple[UInt32[np.ndarray, "SIDE 4 256"], UInt32[np.ndarray, "SIDE 4 256"]]:
    """For the rows and the columns of a square of words, the last at place 0: its place times each value of each byte."""
    one = np.arange(256, dtype=np.uint32) << np.array([[0], [8], [16], [24]], np.uint32)
    next_word = one
    for _ in range(32):  # times x
        next_word = np.where(next_word & 1, next_word >> 1 ^ np.uint32(CASTAGNOLI), next_word >> 1)
    columns = _powers(one, next_word)
    next_row = _times(columns[0], next_word)
    return _powers(one, next_row), columns


def _powers(one: UInt32[np.ndarray, "4 256"], factor: UInt32[np.ndarray, "4 256"]) -> UInt32[np.ndarray, "SIDE 4 256"]:
    powers = [one]
    while len(powers) < SIDE:
        powers.append(_times(powers[-1], factor))
    return np.stack(powers[::-1])


def _times(words: UInt32[np.ndarray, "4 256"], factor: UInt32[np.ndarray, "4 256"]) -> UInt32[np.ndarray, "4 256"]:
    return _product(words.reshape(1, -1), factor[None]).reshape(words.shape)
