"""Memories of results that cannot outgrow their bounds."""

from collections.abc import Callable
from sys import getsizeof
from threading import Lock
from typing import TypeVar

Result = TypeVar("Result")

LONGEST_KEPT = 24
"""Longer strings, in characters, are rarely met again and would take up the memory."""

ENTRY_BYTES = 120
"""What a remembered text takes in a dict, besides itself and its ids."""


class BoundedMemory(dict[str, Result]):
    """`memory[string]` is `compute(string)`, looked up where it is known already; with `entries` known it starts afresh.

    Single operations on a dict are safe across threads; what one thread forgets, another computes again.
    """

    def __init__(self, compute: Callable[[str], Result], entries: int) -> None:
        super().__init__()
        self._compute = compute
        self._entries = entries

    def __missing__(self, string: str) -> Result:
        result = self._compute(string)
        if len(string) <= LONGEST_KEPT:
            if len(self) >= self._entries:
                self.clear()
            self[string] = result
        return result


class TextMemory(dict[str, bytes]):
    """Texts with their ids, of `most_bytes` in all; where more are kept it starts afresh."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__()
        self._most_bytes = most_bytes
        self._bytes = 0
        self._lock = Lock()

    def keep(self, texts: dict[str, bytes]) -> None:
        """Remembers these texts too, unless another thread is at it."""
        size = sum(map(getsizeof, texts)) + sum(map(getsizeof, texts.values())) + ENTRY_BYTES * len(texts)
        # Never waited for: after a fork the lock may be held by a thread that does not exist any more.
        if not self._lock.acquire(blocking=False):
            return
        try:
            self._bytes += size
            if self._bytes > self._most_bytes:
                self.clear()
                self._bytes = size
            self.update(texts)
        finally:
            self._lock.release()
