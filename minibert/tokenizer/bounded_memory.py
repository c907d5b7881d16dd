"""A memory of results that cannot outgrow its bounds."""

from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

ENTRIES_KEPT = 1 << 16
"""When so many results are known the memory starts afresh."""

LONGEST_KEPT = 40
"""Longer strings, in characters, are rarely met again and would take up the memory."""


class BoundedMemory(dict[str, Result]):
    """`memory[string]` is `compute(string)`, looked up where it is known already.

    Single operations on a dict are safe across threads; what one thread forgets, another computes again.
    """

    def __init__(self, compute: Callable[[str], Result]) -> None:
        super().__init__()
        self._compute = compute

    def __missing__(self, string: str) -> Result:
        result = self._compute(string)
        if len(string) <= LONGEST_KEPT:
            if len(self) >= ENTRIES_KEPT:
                self.clear()
            self[string] = result
        return result
