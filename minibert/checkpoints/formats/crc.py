"""CRC-32C (Castagnoli, RFC 3720) and CRC-32 (zlib's) by NumPy, at gigabytes a second.

A CRC is the remainder of the message, a polynomial over GF(2) whose first bit has the highest power of x, divided by a polynomial
P of degree 32. Every multiple of P leaves the same remainder, and some multiples have four terms only:

    y^6777 + y^484 + y^100 + 1 = 0 (mod P of CRC-32C), where y = x^32 is the place of one 32-bit word

So whole runs of words are divided at once: they are added (XOR) to the words 6777 - 484, 6777 - 100 and 6777 places further on.
Squaring the equation, which over GF(2) doubles each power and nothing else, gives longer runs. What remains is halved by products
with powers of y, from tables of 256 entries for each byte of a word. The four terms were found by looking for powers whose sum
is 1 among the first nine thousand.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt32

SLAB = 1 << 18
"""How many words are copied at a time: the message itself is not written to, and a copy of 1 MB stays in a core's own cache."""

LARGEST_SQUARING = 3
"""Runs are at most 2^3 times as long as the shortest."""


class Divisor(NamedTuple):
    """A polynomial of degree 32 and the powers of y in a multiple of it, beside 1.

    The bits of the polynomial are in reverse, as those of all words here: the lowest has the highest power of x.
    """

    polynomial: int
    powers: tuple[int, int, int]


CRC32C = Divisor(0x82F63B78, (6777, 484, 100))
CRC32 = Divisor(0xEDB88320, (4018, 2091, 1837))


def crc(data: bytes | memoryview | np.ndarray, divisor: Divisor = CRC32C) -> int:
    """The checksum of some bytes, which begins with ones and is inverted at the end, as both CRCs are used."""
    message = np.frombuffer(data, np.uint8)
    # Zeros before a message leave its remainder as it is, and make its words whole. Four bytes more hold what it begins with.
    zeros = -len(message) % 4
    head = np.zeros(8, np.uint8)
    if len(message) < 8:
        head = np.zeros(16, np.uint8)
        head[12 - len(message) : 12] = message
        head[12 - len(message) : 16 - len(message)] ^= 0xFF
        return _remainder(head.view("<u4"), divisor) ^ 0xFFFFFFFF
    head[zeros:] = message[: 8 - zeros]
    head[zeros : zeros + 4] ^= 0xFF
    words = head.view("<u4")
    for begin in range(8 - zeros, len(message), 4 * SLAB):
        slab = message[begin : begin + 4 * SLAB].view("<u4")
        words = _divided(np.concatenate([words, slab]), divisor)
    return int(_product(np.array([_remainder(words, divisor)], np.uint32), divisor, 1)[0]) ^ 0xFFFFFFFF


def _divided(words: UInt32[np.ndarray, " words"], divisor: Divisor) -> UInt32[np.ndarray, " rest"]:
    """What is left of a polynomial, of no more words than the four terms span; `words` are written over."""
    begin = 0
    for squaring in range(LARGEST_SQUARING, -1, -1):
        highest, second, third = (power << squaring for power in divisor.powers)
        while len(words) - begin > highest:
            length = min(highest - second, len(words) - begin - highest)
            run = words[begin : begin + length]
            for place in (highest - second, highest - third, highest):
                words[begin + place : begin + place + length] ^= run
            begin += length
    return words[begin:]


def _remainder(words: UInt32[np.ndarray, " words"], divisor: Divisor) -> int:
    """The remainder of a polynomial of any number of words: the upper half times a power of y is added to the lower one."""
    while len(words) > 1:
        half = len(words) // 2
        upper = _product(words[: len(words) - half], divisor, half)
        upper[len(upper) - half :] ^= words[len(words) - half :]
        words = upper
    return int(words[0])


def _product(words: UInt32[np.ndarray, " words"], divisor: Divisor, power: int) -> UInt32[np.ndarray, " words"]:
    """Each word times a power of y, divided."""
    low, second, third, high = _tables(divisor, power)
    return low[words & 0xFF] ^ second[words >> 8 & 0xFF] ^ third[words >> 16 & 0xFF] ^ high[words >> 24]


@lru_cache(maxsize=1024)
def _tables(divisor: Divisor, power: int) -> UInt32[np.ndarray, "4 256"]:
    """A power of y times each value of each byte of a word."""
    factor = _power_of_y(divisor, power)
    tables = np.zeros((4, 256), np.uint32)
    for bit in range(32):
        tables[bit // 8, np.arange(256) >> bit % 8 & 1 == 1] ^= np.uint32(_times(1 << bit, factor, divisor))
    return tables


def _power_of_y(divisor: Divisor, power: int) -> int:
    result, square = 1 << 31, divisor.polynomial  # 1, and y = x^32, which is what P has beside it
    while power:
        if power & 1:
            result = _times(result, square, divisor)
        square = _times(square, square, divisor)
        power >>= 1
    return result


def _times(left: int, right: int, divisor: Divisor) -> int:
    """The product of two words, divided."""
    result = 0
    for bit in range(31, -1, -1):
        if left >> bit & 1:
            result ^= right
        right = right >> 1 ^ (divisor.polynomial if right & 1 else 0)
    return result
