"""Reading sentences with a tag for every word, in columns: CoNLL-2003, Wikigold, WNUT 17."""

import re
from collections.abc import Iterator
from pathlib import Path

from minibert.errors import InputError, shown
from minibert.printable import counted
from minibert.training.data.examples import TaggedSentence
from minibert.training.data.tag_schemes import TagLine, to_iob2
from minibert.training.data.task_files import opened, place_of, text_lines

DOCUMENT_START = "-DOCSTART-"
# No other space of Unicode parts fields: it may be a word of a tweet.
_BETWEEN_FIELDS = re.compile("[ \t]+")
_Line = tuple[int, list[str]]


def read_tagged(path: str | Path, *, token_column: int = 0, tag_column: int = -1, has_tags: bool = True) -> list[TaggedSentence]:
    """The sentences of a file that has a word a line, with its tag, and an empty line behind each sentence.

    Args:
        path: a regular file of UTF-8; a byte order mark at its start is left out.
        token_column, tag_column: where the word and its tag are, from 0, or from the last one, which is -1. Spaces and tabs part
            the columns.
        has_tags: False for a file whose tags are to be predicted; it may have other columns.

    Tags of entities come in the scheme IOB2, whether the file is written in IOB2 or IOB1. Lines of `-DOCSTART-` are left out.
    Raises InputError, naming the file and the line, for a line of other columns than the first, and for tags of no scheme.
    """
    name = str(path)
    with opened(path) as file:
        sentences = list(_sentences(text_lines(file, name)))
    if not sentences:
        raise InputError(f"{name} has no sentence; expected a word a line and an empty line behind each sentence")
    token_place, tag_place = _places(sentences[0][0], name, token_column, tag_column, has_tags)
    _check_columns(sentences, name)
    words = [tuple(fields[token_place] for _, fields in sentence) for sentence in sentences]
    tags: list[tuple[str, ...] | None] = [None] * len(sentences)
    if has_tags:
        tags = [*to_iob2([[TagLine(line, fields[tag_place]) for line, fields in each] for each in sentences], name)]
    places = [place_of(name, sentence[0][0]) for sentence in sentences]
    return [TaggedSentence(*each) for each in zip(places, words, tags, strict=True)]


def _sentences(lines: Iterator[tuple[int, str]]) -> Iterator[list[_Line]]:
    sentence: list[_Line] = []
    for line, text in lines:
        fields = _BETWEEN_FIELDS.split(text.strip(" \t"))
        if fields[0] in ("", DOCUMENT_START):
            if sentence:
                yield sentence
            sentence = []
        else:
            sentence.append((line, fields))
    if sentence:
        yield sentence


def _places(first: _Line, name: str, token_column: int, tag_column: int, has_tags: bool) -> tuple[int, int]:
    """Both columns counted from 0."""
    line, fields = first
    places = []
    for role, column in (("token_column", token_column), ("tag_column", tag_column))[: 2 if has_tags else 1]:
        if type(column) is not int:
            raise InputError(f"{role} is {shown(column)}; expected a whole number: columns count from 0, or back from -1")
        if not -len(fields) <= column < len(fields):
            raise InputError(
                f"{place_of(name, line)}: it has {counted(len(fields), 'column')} and {role} is {column:,}; expected one of 0 to "
                f"{len(fields) - 1}, or of -{len(fields)} to -1"
            )
        places.append(column % len(fields))
    if len(set(places)) < len(places):
        if len(fields) == 1:
            raise InputError(f"{place_of(name, line)}: it has 1 column; expected a word and its tag, parted by space or tab")
        raise InputError(
            f"{place_of(name, line)}: token_column and tag_column are both column {places[0]} of {len(fields)}; expected a word "
            "and its tag a line, parted by a space or a tab"
        )
    return places[0], places[-1]


def _check_columns(sentences: list[list[_Line]], name: str) -> None:
    first_line, first_fields = sentences[0][0]
    for sentence in sentences:
        for line, fields in sentence:
            if len(fields) != len(first_fields):
                raise InputError(
                    f"{place_of(name, line)}: it has {counted(len(fields), 'column')}, line {first_line:,} has "
                    f"{len(first_fields):,}; expected as many: spaces and tabs part columns, and a word has none"
                )
