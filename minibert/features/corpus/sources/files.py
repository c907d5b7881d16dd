"""Files of texts, of any size, each read by what its name ends in: .jsonl, .csv, .tsv, .parquet, and else a text a line."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from minibert.checkpoints.integrity import sha256_of
from minibert.errors import InputError
from minibert.features.corpus.sources.parquet import read_parquet
from minibert.features.corpus.sources.readers import (
    Place,
    Reader,
    read_comma_separated,
    read_json_lines,
    read_tab_separated,
    read_text_lines,
)
from minibert.features.corpus.sources.source import regular_size
from minibert.printable import listed, printable

DEFAULT_COLUMN = "text"
JSON_LINES = (".jsonl", ".ndjson")
TABLES = (".csv", ".tsv", ".parquet")
READERS: dict[str, Reader] = {
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".csv": read_comma_separated,
    ".tsv": read_tab_separated,
}
"""By the suffix. What is neither here nor Parquet is read as text lines."""


class TextFiles:
    """The texts of one or more files, in the order in which they are given.

    Args:
        paths: regular files.
        field: the key of the text in every object of a .jsonl, `text` if not given.
        column: the column of the text in a .csv, .tsv or .parquet, `text` if not given.

    Raises InputError for no files, for one that is missing or no regular file, and for a field or column that no file can have.
    """

    def __init__(self, paths: Sequence[str], field: str | None = None, column: str | None = None) -> None:
        self.paths = list(paths)
        self.name = listed(self.paths)
        self.field, self.column = field, column
        suffixes = [_suffix(path) for path in self.paths]
        if not self.paths:
            raise InputError("there is no file to read; give one")
        if ".json" in suffixes:
            path = self.paths[suffixes.index(".json")]
            raise InputError(f"{path} ends in .json; expected a JSON object a line, in a file that ends in .jsonl")
        for option, value, readable in (("--field", field, JSON_LINES), ("--column", column, TABLES)):
            if value is not None and not any(suffix in readable for suffix in suffixes):
                raise InputError(f"{option} was given, but no file ends in {' or '.join(readable)}; leave it out")
        self.sizes = [regular_size(path) for path in self.paths]
        self._states = [_state(path) for path in self.paths]
        self._file, self._place = 0, Place()

    def fingerprint(self) -> Mapping[str, Any]:
        """Size and sha256 of every file, and where the texts are in them."""
        try:
            files = [
                {"path": printable(path), "bytes": size, "sha256": sha256_of(Path(path))}
                for path, size in zip(self.paths, self.sizes, strict=True)
            ]
        except OSError as problem:
            raise InputError(f"{problem.filename} cannot be read: {problem.strerror or problem}") from None
        columns = {_suffix(path): self._column(path) for path in self.paths if _suffix(path) in (*JSON_LINES, *TABLES)}
        return {"kind": "files", "files": files, "columns": columns}

    def texts(self, start: Mapping[str, Any] | None = None) -> Iterator[str]:
        """The texts behind `start`. Raises InputError where one cannot be read, and where there are none at all."""
        place = (0, Place()) if start is None else (start["file"], Place(start["byte"], start["line"]))
        rest = self._texts(*place)
        if start is None:
            first = next(rest, None)
            if first is None:
                raise InputError(f"{self.name} {'is' if len(self.paths) == 1 else 'are'} empty; expected texts")
            yield first
        yield from rest

    def position(self) -> Mapping[str, Any]:
        """The file, and the byte and line in it (of Parquet the row, under `byte`) behind the text that came last."""
        return {"file": self._file, "byte": self._place.byte, "line": self._place.line}

    def done(self) -> tuple[int, int | None]:
        """In bytes; a file of Parquet counts when it has been read."""
        within = 0 if _suffix(self.paths[self._file]) == ".parquet" else self._place.byte
        return sum(self.sizes[: self._file]) + within, sum(self.sizes)

    def check_unchanged(self) -> None:
        """Raises InputError for a file that has another size, time or place on the disk than at first."""
        for path, before in zip(self.paths, self._states, strict=True):
            if _state(path) != before:
                raise InputError(f"{path} changed while it was read; let it rest, then start anew with --restart")

    def _texts(self, number: int, place: Place) -> Iterator[str]:
        for index, path in enumerate(self.paths[number:], start=number):
            self._file, self._place, place = index, place, Place()
            if _suffix(path) == ".parquet":
                for text, row in read_parquet(path, self._column(path), self._place.byte):
                    self._place = Place(row, row + 1)
                    yield text
            else:
                yield from self._lines(path)

    def _lines(self, path: str) -> Iterator[str]:
        read = READERS.get(_suffix(path), read_text_lines)
        try:
            with open(path, "rb") as file:
                file.seek(self._place.byte)
                for text, behind in read(file, path, self._column(path), self._place):
                    self._place = behind
                    yield text
        except OSError as problem:
            raise InputError(f"{path} cannot be read: {problem.strerror or problem}") from None

    def _column(self, path: str) -> str:
        given = self.field if _suffix(path) in JSON_LINES else self.column
        return DEFAULT_COLUMN if given is None else given


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _state(path: str) -> tuple[int, int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return status.st_size, status.st_mtime_ns, status.st_ino
