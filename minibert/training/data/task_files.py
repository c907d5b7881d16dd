"""Opening a task's file, and its lines as text: line ends that join rows or change within the file are told by their line."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from minibert.errors import InputError
from minibert.features.corpus.sources.lines import Line, numbered_lines, text_of, without_end
from minibert.features.corpus.sources.source import regular_size
from minibert.training.data.data_warning import DataWarning

MAX_TASK_FILE_BYTES = 4 << 30
"""All examples of a file are held in memory: ten times as much as the largest published ones need."""


def place_of(name: str, line: int) -> str:
    """Where an example stands, as messages name it: `train.tsv, line 1,017`."""
    return f"{name}, line {line:,}"


@contextmanager
def opened(path: str | Path) -> Iterator[IO[bytes]]:
    """The file, open for reading bytes; InputError for what is missing, no regular file, too large or not readable."""
    size = regular_size(str(path), otherwise="")
    if size > MAX_TASK_FILE_BYTES:
        raise InputError(f"{path} has {size:,} bytes; expected at most {MAX_TASK_FILE_BYTES:,}: take a part of its rows")
    try:
        with open(path, "rb") as file:
            yield file
    except OSError as problem:
        raise InputError(f"{path} cannot be read: {problem.strerror or problem}") from None


class LineEnds:
    """How the lines of a file end; a DataWarning, once, at the first that ends in another way than the file's first line."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._first: bool | None = None
        self._warned = False

    def see(self, line: Line) -> None:
        """Compares the end of `line`; the last line of a file may have none."""
        if self._warned or not line.data.endswith(b"\n"):
            return
        with_return = line.data.endswith(b"\r\n")
        if self._first is None:
            self._first = with_return
        elif self._first != with_return:
            self._warned = True
            ends = ("CRLF", "LF") if with_return else ("LF", "CRLF")
            warnings.warn(
                f"{place_of(self._name, line.number)}: it ends in {ends[0]}, those before in {ends[1]}; both are read as the end "
                "of a line, but was the file joined from two?",
                DataWarning,
                stacklevel=2,
            )


def text_lines(file: IO[bytes], name: str) -> Iterator[tuple[int, str]]:
    """The number of each line, from 1, and its text without its end, LF or CRLF; without the file's byte order mark.

    InputError, with the line, for what is not UTF-8, for NUL, for a line of over 64 MiB, and for a carriage return within a
    line: the line ends of old systems, which would join rows.
    """
    ends = LineEnds(name)
    for line in numbered_lines(file.readline, name):
        ends.see(line)
        text = without_end(text_of(line, name))
        if "\r" in text:
            raise carriage_return(name, line)
        yield line.number, text


def carriage_return(name: str, line: Line) -> InputError:
    """The error for a carriage return that ends no line."""
    return InputError(
        f"{place_of(name, line.number)}: it holds a carriage return, which ended lines on old systems and joins rows here; save "
        "the file with the line ends LF or CRLF"
    )
