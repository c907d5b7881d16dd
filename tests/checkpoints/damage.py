"""What happens to files on their way: a byte changed, an end missing."""

from collections.abc import Iterator


def flipped(data: bytes, index: int, mask: int) -> bytes:
    """The bytes with some bits of one of them the other way round."""
    return data[:index] + bytes([data[index] ^ mask]) + data[index + 1 :]


def cut_at_each_hundredth(data: bytes) -> Iterator[bytes]:
    """The first 0 % of the bytes, the first 1 %, and so on to 99 %."""
    for hundredth in range(100):
        yield data[: len(data) * hundredth // 100]
