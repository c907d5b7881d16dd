"""Text lines, JSONL, CSV and TSV: from an open file and a place in it, the texts and the place behind each.

A reader is a function `(file, name, column, start) -> (text, place, number)…` of a binary file at byte `start.place`, in front
of line `start.number`. What it yields with a text is the place where the next one begins.
"""

import csv
from collections.abc import Callable, Iterator
from typing import IO, Any, NamedTuple

from minibert.errors import InputError, shown
from minibert.features.corpus.sources.lines import Line, numbered_lines, text_of, without_end
from minibert.features.corpus.sources.source import LONGEST_LINE
from minibert.printable import listed
from minibert.strict_json import parse_json


class Place(NamedTuple):
    """Where a text begins: in bytes, and as the number of its line."""

    byte: int = 0
    line: int = 1


Reader = Callable[[IO[bytes], str, str, Place], Iterator[tuple[str, Place]]]


def read_text_lines(file: IO[bytes], name: str, column: str, start: Place) -> Iterator[tuple[str, Place]]:
    """A text a line."""
    for line in numbered_lines(file.readline, name, *start):
        yield without_end(text_of(line, name)), _behind(line)


def read_json_lines(file: IO[bytes], name: str, column: str, start: Place) -> Iterator[tuple[str, Place]]:
    """The strings under the key `column` of a JSON object a line."""
    for line in numbered_lines(file.readline, name, *start):
        where = f"line {line.number:,} of {name}"
        data = line.data.removesuffix(b"\n")
        if not data.strip():
            raise InputError(f"{where} is empty; expected a JSON object a line")
        value = parse_json(data, where, error=InputError)
        if not isinstance(value, dict):
            raise InputError(f"{where} is {_kind(value)}; expected a JSON object with the field {shown(column)}")
        if column not in value:
            fields = listed([shown(key) for key in value]) or "none"
            raise InputError(f"{where} has no field {shown(column)}; its fields are {fields}; name one by --field")
        yield checked_text(value[column], f"the field {shown(column)} in {where}"), _behind(line)


def read_comma_separated(file: IO[bytes], name: str, column: str, start: Place) -> Iterator[tuple[str, Place]]:
    """The fields of a column of a CSV file with a header; a quoted field may go over several lines."""
    return _read_table(file, name, column, start, ",")


def read_tab_separated(file: IO[bytes], name: str, column: str, start: Place) -> Iterator[tuple[str, Place]]:
    """The same with tabs between the fields."""
    return _read_table(file, name, column, start, "\t")


def checked_text(value: Any, where: str) -> str:
    """The value if it is a string, else InputError."""
    if not isinstance(value, str):
        raise InputError(f"{where} is {_kind(value)}; expected a string")
    return value


def _read_table(file: IO[bytes], name: str, column: str, start: Place, delimiter: str) -> Iterator[tuple[str, Place]]:
    # The module's own limit, of the whole process, is 128 KB.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))
    file.seek(0)
    header_rows = _rows(file, name, Place(), delimiter)
    header, behind_header = next(header_rows, ([], Place()))
    if not header:
        raise InputError(f"{name} has no header; expected the names of the columns in its first line")
    if header.count(column) != 1:
        found = "no column" if column not in header else "several columns"
        columns = listed([shown(title) for title in header], most=20)
        raise InputError(f"{name} has {found} {shown(column)}; its columns are {columns}; name one by --column")
    if start.byte > 0:
        file.seek(start.byte)
    index, before = header.index(column), start if start.byte > 0 else behind_header
    for row, behind in _rows(file, name, start, delimiter) if start.byte > 0 else header_rows:
        # A blank line is none of the table's rows, as every reader of CSV has it.
        if row and len(row) != len(header):
            raise InputError(
                f"the row at line {before.line:,} of {name} has {len(row)} fields, its header {len(header)}; expected as many; "
                "a field with a delimiter or a line end in it needs quotes"
            )
        before = behind
        if row:
            yield row[index], behind


def _rows(file: IO[bytes], name: str, start: Place, delimiter: str) -> Iterator[tuple[list[str], Place]]:
    """The rows of a table from `start` on; the csv module takes no more lines than the row needs."""
    last = Line(b"", start.byte, start.line - 1)
    first = start

    def texts() -> Iterator[str]:
        nonlocal last
        for line in numbered_lines(file.readline, name, *start):
            last = line
            if line.place + len(line.data) - first.byte > LONGEST_LINE:
                raise InputError(
                    f"the row at line {first.line:,} of {name} has over {LONGEST_LINE:,} bytes; is a quote in it never closed?"
                )
            yield text_of(line, name)

    rows = csv.reader(texts(), delimiter=delimiter, strict=True)
    while True:
        try:
            row = next(rows, None)
        except csv.Error as problem:
            raise InputError(
                f"the row at line {first.line:,} of {name} cannot be read: {problem}, at line {last.number:,}; expected fields "
                'with " around what holds delimiters or line ends, and " doubled inside'
            ) from None
        if row is None:
            return
        first = _behind(last)
        yield row, first


def _behind(line: Line) -> Place:
    return Place(line.place + len(line.data), line.number + 1)


def _kind(value: Any) -> str:
    return "null" if value is None else f"of the type {type(value).__name__}"
