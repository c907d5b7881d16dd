"""The rows of a .tsv, .csv or .jsonl: of each its line, and as they stand there its text, second text and label.

A .tsv is read as GLUE publishes them: tabs part the fields, every line is a row, and a quote is a character like others. A .csv
is read by RFC 4180: fields with commas, quotes or line ends in them stand in quotes.
"""

import csv
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, NamedTuple

from minibert.errors import InputError, shown
from minibert.features.corpus.sources.lines import Line, numbered_lines, text_of, without_end
from minibert.features.corpus.sources.source import LONGEST_LINE
from minibert.printable import counted, listed
from minibert.strict_json import parse_json
from minibert.training.data.columns import Columns, choose, looks_like_header
from minibert.training.data.task_files import LineEnds, carriage_return, place_of, text_lines

Rows = Iterator[tuple[int, list[str]]]


class Record(NamedTuple):
    """A row: strings, or of JSONL any value of JSON; None for what is not wanted."""

    line: int
    """Its first, from 1."""
    text: Any
    text_pair: Any
    label: Any


class Table(NamedTuple):
    """The rows of a file, to be read once while it is open."""

    label_name: str | None
    """What the header or the keys call the label; None without a header, or a label."""
    records: Iterator[Record]


def tab_separated(file: IO[bytes], name: str, columns: Columns, wants_label: bool) -> Table:
    """The rows of a .tsv. Raises InputError, with the line, for a row of other fields than the header or the first row has."""
    reason = "tabs part the fields of this file and quotes are characters like others"
    return _table(_lines_of_tabs(file, name), name, columns, wants_label, reason)


def comma_separated(file: IO[bytes], name: str, columns: Columns, wants_label: bool) -> Table:
    """The rows of a .csv. Raises InputError as `tab_separated` does, and for quotes that are not closed."""
    reason = "a field with a comma or a line end in it needs quotes"
    return _table(_rows_of_commas(file, name), name, columns, wants_label, reason)


def json_lines(file: IO[bytes], name: str, columns: Columns, wants_label: bool) -> Table:
    """The objects of a .jsonl, one a line; the first says which keys of KNOWN_NAMES there are.

    Raises InputError, with the line, for what is no strict JSON, no object, or has not all keys.
    """
    if any(isinstance(column, int) for column in (columns.text, columns.text_pair, columns.label)):
        raise InputError(f"{name} is JSONL and a column is given by its number; give the key of its objects")
    objects = _objects(file, name)
    first = next(objects, None)
    if first is None:
        raise InputError(f"{name} is empty; expected a JSON object a line")
    names = list(first[1])
    chosen = choose(columns, names, len(names), wants_label, place_of(name, first[0]))
    keys = [None if place is None else names[place] for place in chosen]
    records = (_record_of_keys(line, value, keys, name) for line, value in itertools.chain([first], objects))
    return Table(keys[2], records)


def _table(rows: Rows, name: str, columns: Columns, wants_label: bool, reason: str) -> Table:
    first = next(rows, None)
    if first is None:
        raise InputError(f"{name} is empty; expected {'a header and rows' if columns.has_header else 'rows'}")
    line, fields = first
    where = place_of(name, line)
    names = [each.strip() for each in fields] if columns.has_header else None
    chosen = choose(columns, names, len(fields), wants_label, where)
    if names is None and wants_label and looks_like_header(chosen, fields):
        there = listed([shown(each) for each in fields])
        raise InputError(f"{where}: it seems to be a header, {there}; expected none: say that the file has one (has_header=True)")
    checked = _checked(first, rows, name, columns.has_header, reason)
    records = (Record(line, *(None if place is None else row[place] for place in chosen)) for line, row in checked)
    return Table(None if names is None or chosen.label is None else names[chosen.label], records)


def _checked(first: tuple[int, list[str]], rest: Rows, name: str, has_header: bool, reason: str) -> Rows:
    """The rows behind the header, or all of them, if each has as many fields as the first and none is the header again."""
    first_line, fields = first
    for line, row in rest if has_header else itertools.chain([first], rest):
        if len(row) != len(fields):
            raise InputError(
                f"{place_of(name, line)}: it has {counted(len(row), 'field')}, line {first_line:,} has {len(fields):,}; expected "
                f"as many: {reason}"
            )
        if has_header and row == fields:
            raise InputError(f"{place_of(name, line)}: it is the header again; expected a row: join files without their headers")
        yield line, row


def _objects(file: IO[bytes], name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, text in _without_last_empty(text_lines(file, name)):
        where = place_of(name, line)
        if not text.strip():
            raise InputError(f"{where}: it is empty; expected a JSON object a line")
        value = parse_json(text.encode(), where, error=InputError)
        if not isinstance(value, dict):
            raise InputError(f"{where}: it is {shown(value)}; expected a JSON object a line")
        yield line, value


def _record_of_keys(line: int, value: dict[str, Any], keys: Sequence[str | None], name: str) -> Record:
    for key in keys:
        if key is not None and key not in value:
            there = listed([shown(each) for each in value]) or "none"
            raise InputError(
                f"{place_of(name, line)}: the key {shown(key)} is missing; its keys are {there}; expected it in every object"
            )
    return Record(line, *(None if key is None else value[key] for key in keys))


def _lines_of_tabs(file: IO[bytes], name: str) -> Rows:
    for line, text in _without_last_empty(text_lines(file, name)):
        yield line, text.split("\t")


def _without_last_empty(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """The lines without the empty ones that end a file, as editors leave them there."""
    first_empty: int | None = None
    for line, text in lines:
        if not text:
            first_empty = line if first_empty is None else first_empty
            continue
        if first_empty is not None:
            yield from ((each, "") for each in range(first_empty, line))
            first_empty = None
        yield line, text


def _rows_of_commas(file: IO[bytes], name: str) -> Rows:
    # The module's own limit, of the whole process, is 128 KB.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))
    lines, ends = _LinesOfRows(file, name), LineEnds(name)
    rows = csv.reader(lines, strict=True)
    while True:
        lines.begins = None
        try:
            row = next(rows, None)
        except csv.Error as problem:
            raise _broken_row(name, lines, problem) from None
        if row is None:
            return
        ends.see(lines.last)
        # A blank line is none of the table's rows, as every reader of CSV has it.
        if row and lines.begins is not None:
            yield lines.begins.number, row


class _LinesOfRows:
    """The lines that the csv module takes, no more than a row needs, and where the row began."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._lines, self._name = numbered_lines(file.readline, name), name
        self.begins: Line | None = None
        self.last = Line(b"", 0, 0)

    def __iter__(self) -> "_LinesOfRows":
        return self

    def __next__(self) -> str:
        self.last = next(self._lines)
        if self.begins is None:
            self.begins = self.last
        if self.last.place + len(self.last.data) - self.begins.place > LONGEST_LINE:
            raise InputError(
                f"{place_of(self._name, self.begins.number)}: this row has over {LONGEST_LINE:,} bytes; is a quote in it never "
                "closed?"
            )
        return text_of(self.last, self._name)


def _broken_row(name: str, lines: _LinesOfRows, problem: csv.Error) -> InputError:
    if "\r" in without_end(lines.last.data.decode("utf-8")):
        return carriage_return(name, lines.last)
    begins = lines.last if lines.begins is None else lines.begins
    if "unexpected end" in str(problem):
        return InputError(
            f'{place_of(name, begins.number)}: a quote is opened in this row and never closed; close it, or double "'
        )
    return InputError(
        f'{place_of(name, begins.number)}: this row cannot be read: {problem}; expected fields with " around what holds commas '
        'or line ends, and " doubled inside'
    )


TABLES: dict[str, Callable[[IO[bytes], str, Columns, bool], Table]] = {
    ".tsv": tab_separated,
    ".txt": tab_separated,
    ".csv": comma_separated,
    ".jsonl": json_lines,
    ".ndjson": json_lines,
}
"""By the suffix. MRPC as Microsoft published it is a .txt with tabs."""
