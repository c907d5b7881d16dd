"""Reads the frozen tables of `unicode_tables` into sets of code points and mappings between characters."""

import re
from bisect import bisect_right
from collections.abc import Callable


class CodePoints:
    """A set of code points held as ranges: `code_point in CodePoints("41-5A 61-7A")`."""

    def __init__(self, table: str) -> None:
        ranges = [[int(end, 16) for end in item.split("-")] for item in table.split()]
        self.ranges = [(item[0], item[-1]) for item in ranges]
        self._firsts = [first for first, _ in self.ranges]

    def __contains__(self, code_point: int) -> bool:
        place = bisect_right(self._firsts, code_point) - 1
        return place >= 0 and code_point <= self.ranges[place][1]

    @classmethod
    def union(cls, *tables: "CodePoints") -> "CodePoints":
        """The code points of all of them."""
        merged = cls("")
        for first, last in sorted(ends for table in tables for ends in table.ranges):
            if merged.ranges and first <= merged.ranges[-1][1] + 1:
                merged.ranges[-1] = (merged.ranges[-1][0], max(last, merged.ranges[-1][1]))
            else:
                merged.ranges.append((first, last))
        merged._firsts = [first for first, _ in merged.ranges]
        return merged

    def in_brackets(self) -> str:
        """The set as it stands between the square brackets of a regular expression."""
        return "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in self.ranges)


class CharacterTable(dict[int, str]):
    """A table for `str.translate` that asks a function for the replacement of a character when it is first met.

    Answers for code points from `keep_below` on are not kept.
    """

    def __init__(self, replacement: Callable[[str], str], keep_below: int = 0x800) -> None:
        super().__init__()
        self._replacement = replacement
        self._keep_below = keep_below

    def __missing__(self, code_point: int) -> str:
        replacement = self._replacement(chr(code_point))
        # Text that runs through all of Unicode must not fill the memory.
        if code_point < self._keep_below:
            self[code_point] = replacement
        return replacement


def read_case_table(table: str) -> dict[int, str]:
    """The mapping of a table with rows `first-last:step:difference`, for `str.translate`."""
    mapping: dict[int, str] = {}
    for row in table.split():
        ends, step, difference = row.split(":")
        first, last = int(ends.split("-")[0], 16), int(ends.split("-")[-1], 16)
        for code_point in range(first, last + 1, int(step)):
            mapping[code_point] = chr(code_point + int(difference, 16))
    return mapping
