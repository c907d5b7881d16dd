"""A memory of results that cannot outgrow its bounds."""

from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

LONGEST_KEPT = 32
"""Longer strings, in characters, are rarely met again and would take up the memory."""


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
