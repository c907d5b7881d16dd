"""Static word vectors, one a word whatever stands around it: read from GloVe's text files, or taken from under a BERT.

The format is that of Pennington et al. 2014 (GloVe) and of word2vec's text files: a word and its numbers on each line, separated
by spaces. word2vec and fastText begin with a line `count width`. Files are sorted by how frequent their words are.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from minibert.checkpoints.formats.opening import opened
from minibert.errors import InputError, shown
from minibert.features.corpus.sources.lines import Line, numbered_lines, text_of, without_end
from minibert.model.bert import Bert
from minibert.tokenizer import Tokenizer

MOST_WORDS = 400_000
"""As many as GloVe's smaller files have."""
WIDEST = 65_536
LONGEST_VECTOR_LINE = 1 << 22
"""In bytes. A line of 300 numbers has 3,000; one of the widest vectors fits."""
LONGEST_NUMBER = 64
"""In characters; Python takes quadratic time for a number of millions of digits."""
_HEADER = re.compile(r"[0-9]{1,12} [0-9]{1,12}")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_NUMBERS = re.compile(r"[-+.0-9eE ]+")


@dataclass(frozen=True)
class WordVectors:
    """Words and their vectors. Raises InputError for a word that comes twice, and for another number of words than of vectors."""

    words: tuple[str, ...]
    table: Float32[np.ndarray, "words width"]
    """A row a word, in the order of `words`."""

    def __post_init__(self) -> None:
        if len(self.words) != self.table.shape[0] or not self.words:
            raise InputError(f"there are {len(self.words):,} words and {self.table.shape[0]:,} vectors; expected a vector a word")
        if len(set(self.words)) != len(self.words):
            raise InputError("a word comes twice among the words of the vectors; expected one vector a word")

    def __len__(self) -> int:
        return len(self.words)

    @property
    def width(self) -> int:
        """How many numbers a vector has."""
        return int(self.table.shape[1])


def read_word_vectors(path: str | Path, wanted: Collection[str] | None = None, most: int = MOST_WORDS) -> WordVectors:
    """The vectors in a text file, of the first `most` words that are wanted; memory is taken for these alone.

    Args:
        path: a regular file in UTF-8. A word may itself hold spaces, as some of glove.840B do: the last `width` fields of a line
            are its numbers. The first line says the width: as `count width`, or by its own numbers.
        wanted: the words to keep; all if None.
        most: how many vectors at most. Reading ends there.

    Of a word that comes twice the first vector counts. The numbers of words that are not wanted are not looked at.

    Raises InputError, by file and line, for what is no such file: bytes that are not UTF-8, no word, another count of numbers
    than on the first line, no finite numbers of float32, a line or a file that is cut short; and where no wanted word is in it.
    """
    if type(most) is not int or most < 1:
        raise InputError(f"most is {shown(most)}; expected a whole number from 1 up")
    if isinstance(wanted, str):
        raise InputError(f"wanted is the string {shown(wanted)}; expected a set or a list of words")
    file_path = Path(path)
    try:
        return _read(file_path, None if wanted is None else frozenset(wanted), most)
    except MemoryError:
        raise InputError(f"{file_path} has more vectors than memory is left for; give a smaller most=, or wanted=") from None


def input_embeddings(bert: Bert, tokenizer: Tokenizer) -> WordVectors:
    """The table from which BERT itself starts, as static vectors of word pieces: what its layers add is then missing.

    Raises InputError for a tokenizer with more tokens than the table has rows.
    """
    tokens = tokenizer.vocabulary.tokens
    table = np.asarray(bert.embeddings.word[...]).astype(np.float32)
    if len(tokens) > len(table):
        raise InputError(f"the tokenizer has {len(tokens):,} tokens, the model {len(table):,}; give those of one checkpoint")
    return WordVectors(tokens, table[: len(tokens)])


class _Header(NamedTuple):
    """What the first line says: how wide vectors are, and of how many the file claims to consist."""

    width: int
    vectors: int | None


def _read(path: Path, wanted: frozenset[str] | None, most: int) -> WordVectors:
    words: dict[str, None] = {}
    numbers = bytearray()
    header, vectors = None, 0
    for line, text in _lines(path):
        if header is None:
            header = _header_of(text, f"{path}, line {line.number:,}")
            if header.vectors is not None:
                continue
        vectors += 1
        word, *fields = text.rsplit(" ", header.width)
        place = f"{path}, line {line.number:,}"
        _check_word(word, fields, header.width, place)
        if word in words or (wanted is not None and word not in wanted):
            continue
        numbers += _values(fields, place).tobytes()
        words[word] = None
        if len(words) == most:
            break
    else:
        if header is not None and header.vectors not in (None, vectors):
            raise InputError(
                f"{path} has {vectors:,} vectors, and its first line says {header.vectors:,}; expected as many: fetch it again"
            )
    if header is None:
        raise InputError(f"{path} is empty; expected a word and its numbers on each line")
    if not words:
        which = "" if wanted is None else f" of the {len(wanted):,} words that are wanted"
        raise InputError(f"{path} holds no vector{which}; expected those of the language, and the case, of the texts")
    return WordVectors(tuple(words), np.frombuffer(numbers, np.float32).reshape(len(words), header.width))


def _lines(path: Path) -> Iterator[tuple[Line, str]]:
    """Each line and its text, without its end and the spaces before it, which word2vec writes."""
    with opened(path, "a file of word vectors", error=InputError) as (file, _):
        for line in numbered_lines(lambda _: file.readline(LONGEST_VECTOR_LINE + 1), str(path)):
            if len(line.data) > LONGEST_VECTOR_LINE:
                raise InputError(
                    f"{path}, line {line.number:,} has over {LONGEST_VECTOR_LINE:,} bytes; expected a word and its numbers"
                )
            if not line.data.endswith(b"\n"):
                # A number that has lost its last digits is a number still.
                raise InputError(f"{path} ends within line {line.number:,}, without a line end; it is cut short: fetch it again")
            yield line, without_end(text_of(line, str(path))).rstrip(" ")


def _header_of(text: str, place: str) -> _Header:
    if _HEADER.fullmatch(text):
        vectors, width = map(int, text.split(" "))
        header = _Header(width, vectors)
    else:
        fields = text.split(" ")
        # Of this line's own word, if it has spaces, the rest is no number.
        is_text = [not _NUMBER.fullmatch(field) for field in fields[1:]]
        header = _Header(is_text[::-1].index(True) if any(is_text) else len(is_text), None)
    if not 1 <= header.width <= WIDEST:
        raise InputError(
            f"{place} is {shown(text)}; expected a word and 1 to {WIDEST:,} finite numbers behind it, separated by spaces, or "
            "the count of vectors and their width"
        )
    return header


def _check_word(word: str, fields: list[str], width: int, place: str) -> None:
    # Where there are too many numbers, the first of them look like the end of a word with spaces.
    has_more = any(_is_number(part) for part in word.split(" ")[1:]) if " " in word else False
    if not word or word.strip(" ") != word or len(fields) != width or has_more:
        raise InputError(f"{place} begins {shown(word[:100])}; expected a word and {width:,} numbers, as on the first line")


def _is_number(text: str) -> bool:
    """Whether Python reads it as one, NaN and infinity included."""
    try:
        float(text[:LONGEST_NUMBER])
    except ValueError:
        return False
    return True


def _values(fields: list[str], place: str) -> Float32[np.ndarray, " width"]:
    values = None
    # Python also takes 1_000, nan and the digits of other scripts.
    if _NUMBERS.fullmatch(" ".join(fields)) and max(map(len, fields)) <= LONGEST_NUMBER:
        try:
            with np.errstate(over="ignore"):
                values = np.array(list(map(float, fields)), np.float32)
        except ValueError:
            values = None
    if values is None or not np.isfinite(values).all():
        wrong = next((field for field in fields if not _is_finite(field)), fields[0])
        raise InputError(f"{place} has {shown(wrong)} among its numbers; expected {len(fields):,} finite ones of float32")
    return values


def _is_finite(field: str) -> bool:
    with np.errstate(over="ignore"):
        return len(field) <= LONGEST_NUMBER and bool(_NUMBER.fullmatch(field)) and bool(np.isfinite(np.float32(float(field))))
