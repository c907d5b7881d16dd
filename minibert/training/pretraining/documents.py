"""Text files as Google's code takes them: a sentence a line, an empty line between two documents, UTF-8.

A line is in memory at a time, so that files may have any size.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from minibert.checkpoints.integrity import sha256_of
from minibert.errors import InputError, shown
from minibert.features.corpus.sources.source import regular_size
from minibert.training.data.task_files import text_lines


class Sentence(NamedTuple):
    """A line with text in it."""

    document: int
    """Its document's number, counted from 0 over all files; a document ends with its file at the latest."""
    text: str
    """Without whitespace at its ends."""


def sentences(paths: Sequence[Path]) -> Iterator[Sentence]:
    """The sentences of all files, one after the other.

    Raises InputError, naming the file and where it can the line, for a file that cannot be read or has no sentence, for what is
    not UTF-8 or binary, for a carriage return within a line, and for a line of over 64 MiB.
    """
    document = -1
    for path in paths:
        is_within, is_empty = False, True
        try:
            with open(path, "rb") as file:
                for _, line in text_lines(file, str(path)):
                    text = line.strip()
                    if text:
                        document += not is_within
                        is_empty = False
                        yield Sentence(document, text)
                    is_within = bool(text)
        except OSError as problem:
            raise InputError(f"{path} cannot be read: {problem.strerror or problem}") from None
        if is_empty:
            raise InputError(f"{path} is empty; expected a sentence a line, and an empty line between two documents")


def checked_paths(files: Sequence[str | Path]) -> list[Path]:
    """The files as paths; InputError for none, for one that is there twice, and for what is no regular file."""
    if isinstance(files, str) or not isinstance(files, Sequence):
        raise InputError(f"files is {shown(files)}; expected a list of files")
    for file in files:
        if not isinstance(file, str | Path):
            raise InputError(f"a file is {shown(file)}; expected its name")
    if not len(files):
        raise InputError("there is no text to learn from; give a file at least")
    if "" in files:
        raise InputError("the name of a file is empty; give one for each file")
    paths = [Path(file) for file in files]
    seen: dict[tuple[int, int], Path] = {}
    for path in paths:
        regular_size(str(path), otherwise="")
        status = path.stat()
        # By its device and number, for a file may have several names.
        identity = (status.st_dev, status.st_ino)
        if identity in seen:
            first = seen[identity]
            again = "" if path == first else f", also as {shown(str(first))}"
            raise InputError(
                f"{shown(str(path))} is given twice{again}; give each file once, and passes=… to read all more often"
            )
        seen[identity] = path
    return paths


def facts_of_files(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """What tells each file from another one."""
    return [{"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)} for path in paths]
