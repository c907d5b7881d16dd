"""Texts of others within Markdown as the Hub and GitHub render it: they are shown and never become markup."""

import re
from collections.abc import Sequence

from minibert.printable import printable

LONGEST = 200
"""Characters of a text that are shown."""
# Anywhere in a line; and what begins a list at its start, - or + or 1. or 1).
_MARKUP = re.compile(r"[\\`*_{}\[\]<>|~$&#!]|^[-+]|(?<=\d)[.)](?=\s|$)")
# What ends a span of code, a cell of a table, or is escaped differently within the two.
_NOT_IN_CODE = re.compile(r"[`|\\]")


def as_code(text: str) -> str:
    """A text on one line as it is, in a fixed-width font where Markdown can have it there; safe within a table too."""
    line = _one_line(text)
    return f"`{line}`" if line and not _NOT_IN_CODE.search(line) else as_plain(text)


def as_plain(text: str) -> str:
    """A text on one line, with numeric references for signs that could be markup; safe within a table too."""
    return _MARKUP.sub(lambda match: f"&#{ord(match[0])};", _one_line(text)) or "(empty)"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers_from: int = 1) -> str:
    """A table of cells that are Markdown already; columns from `numbers_from` on stand to the right."""
    line = ["---:" if column >= numbers_from else "---" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, line, *rows))


def _one_line(text: str) -> str:
    line = " ".join(printable(text).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
