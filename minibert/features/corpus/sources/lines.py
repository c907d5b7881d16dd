"""Lines of bytes, and what they are as text: the ground of text files, JSONL, CSV and standard input."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from minibert.errors import InputError
from minibert.features.corpus.sources.source import LONGEST_LINE

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line with its end, where it begins in the file (in bytes), and its number, from 1."""

    data: bytes
    place: int
    number: int


def numbered_lines(read_line: Callable[[int], bytes], name: str, place: int = 0, number: int = 1) -> Iterator[Line]:
    """The lines that `read_line`, told how many bytes it may bring, gives; the first of them at `place`, with that number.

    Lines end at LF alone, for what else Python takes for a line's end may belong to a text. InputError for one that is too long.
    """
    for data in iter(partial(read_line, LONGEST_LINE + 1), b""):
        if len(data) > LONGEST_LINE:
            raise InputError(f"line {number:,} of {name} has over {LONGEST_LINE:,} bytes; expected a text a line")
        yield Line(data, place, number)
        place += len(data)
        number += 1


def text_of(line: Line, name: str) -> str:
    """The text of a line, with its end; a byte order mark at the start of the file is left out.

    InputError, with the line and the byte, for what is not UTF-8 and for NUL, which only binary files have.
    """
    if line.place == 0 and line.data.startswith(BYTE_ORDER_MARK):
        line = Line(line.data.removeprefix(BYTE_ORDER_MARK), len(BYTE_ORDER_MARK), line.number)
    if b"\0" in line.data:
        where = f"byte {line.place + line.data.index(0):,}, in line {line.number:,}"
        raise InputError(f"{name} holds a NUL at {where}: it is a binary file, or UTF-16; give text in UTF-8")
    return decoded(line, name)


def decoded(line: Line, name: str) -> str:
    """All characters of a line, with its end; InputError, with the line and the byte, for what is not UTF-8."""
    try:
        return line.data.decode("utf-8")
    except UnicodeDecodeError as problem:
        where = f"byte {line.place + problem.start:,}, in line {line.number:,}"
        raise InputError(f"{name} is not UTF-8 at {where}; convert it to UTF-8 first") from None


def without_end(text: str) -> str:
    """The text without its LF, and without a CR before it."""
    return text.removesuffix("\n").removesuffix("\r")
