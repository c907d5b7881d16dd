"""Tokens of texts -> rows of a batch: [CLS] and [SEP], padding (the input of figure 2 of the BERT paper).

All rows are first laid out one behind the other, so that NumPy handles the whole batch at once.
"""

from collections.abc import Sequence
from functools import cache
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Int32

from minibert.errors import TokenizerError

NO_WORD = -1
"""Stands in arrays of words for special tokens and padding, where lists have None."""

# Offsets within these bounds are made once, as one tuple each, for all lists that hold them.
SHARED_STARTS, SHARED_LENGTHS = 2048, 24


class Tokens(NamedTuple):
    """Some tokens of one text: ids, and where they were asked for the raw characters and the words of the tokens."""

    ids: Sequence[int] | Int32[np.ndarray, " tokens"]
    starts: Int32[np.ndarray, " tokens"] | None = None
    ends: Int32[np.ndarray, " tokens"] | None = None
    words: Int32[np.ndarray, " tokens"] | None = None

    def part(self, start: int, end: int) -> "Tokens":
        """The tokens from `start` up to `end`."""
        if start == 0 and end == len(self.ids):
            return self
        ids, starts, ends, words = self
        if starts is None or ends is None or words is None:
            return Tokens(ids[start:end])
        return Tokens(ids[start:end], starts[start:end], ends[start:end], words[start:end])


class Row(NamedTuple):
    """The tokens of a row's texts; `second` is None where there is one text only."""

    first: Tokens
    second: Tokens | None


class FlatRows(NamedTuple):
    """All rows one behind the other: how long each is, and for each key of the result the values of all their tokens."""

    lengths: Int[np.ndarray, " rows"]
    columns: dict[str, np.ndarray]


# What stands in each column where a row is filled up; [PAD] besides.
PADDING = {"token_type_ids": 0, "special_tokens_mask": 1, "attention_mask": 0, "offset_mapping": 0, "word_ids": NO_WORD}


def lay_out(rows: Sequence[Row], special_ids: tuple[int, int] | None, keys: Sequence[str]) -> FlatRows:
    """The rows with their special tokens: [CLS] first [SEP], or [CLS] first [SEP] second [SEP].

    `special_ids` are those of [CLS] and [SEP], or None for rows without them. The second text and its [SEP] have the
    token type 1. `keys` are those of the columns that are wanted besides `input_ids`.
    """
    texts = [tokens for row in rows for tokens in row if tokens is not None]
    first_lengths = np.fromiter((len(row.first.ids) for row in rows), np.int64, len(rows))
    second_lengths = np.fromiter((0 if row.second is None else len(row.second.ids) for row in rows), np.int64, len(rows))
    is_pair = np.fromiter((row.second is not None for row in rows), np.bool_, len(rows))
    if special_ids is not None:
        first_part, second_part = first_lengths + 2, second_lengths + is_pair
    else:
        first_part, second_part = first_lengths, second_lengths
    lengths = first_part + second_part
    ends = np.cumsum(lengths)
    starts = ends - lengths
    is_text = np.ones(ends[-1], np.bool_)
    ids = np.empty(len(is_text), np.int32)
    if special_ids is not None:
        separators = np.concatenate([starts + first_part - 1, ends[is_pair] - 1])
        ids[starts], ids[separators] = special_ids
        is_text[starts] = is_text[separators] = False
    ids[is_text] = _joined([text.ids for text in texts])
    columns = {"input_ids": ids}
    if "token_type_ids" in keys:
        columns["token_type_ids"] = _token_types(first_part, second_part)
    if "attention_mask" in keys:
        columns["attention_mask"] = np.ones(len(is_text), np.int32)
    if "special_tokens_mask" in keys:
        columns["special_tokens_mask"] = (~is_text).astype(np.int32)
    if "offset_mapping" in keys:
        columns["offset_mapping"] = np.zeros((len(is_text), 2), np.int32)
        columns["offset_mapping"][is_text, 0] = _joined([text.starts for text in texts])
        columns["offset_mapping"][is_text, 1] = _joined([text.ends for text in texts])
    if "word_ids" in keys:
        columns["word_ids"] = np.full(len(is_text), NO_WORD, np.int32)
        columns["word_ids"][is_text] = _joined([text.words for text in texts])
    return FlatRows(lengths, columns)


def common_width(lengths: Int[np.ndarray, " rows"], samples: Sequence[int], max_length: int | None, multiple: int) -> int:
    """The width of a padded batch: the longest row, or `max_length` where it is given, rounded up to a multiple.

    Raises TokenizerError for a row over `max_length`, naming its text by `samples`.
    """
    longest = int(lengths.max())
    if max_length is not None:
        if longest > max_length:
            raise TokenizerError(
                f"text[{samples[int(lengths.argmax())]}] has {longest} tokens, over the {max_length} that are padded to; add "
                "truncation=True or use a larger max_length"
            )
        longest = max_length
    return -(-longest // multiple) * multiple


def padded_arrays(rows: FlatRows, width: int, side: str, pad_token_id: int) -> dict[str, np.ndarray]:
    """The rows as int32 arrays [rows, width], offsets [rows, width, 2], filled up on the "right" or "left"."""
    place = np.arange(width)
    lengths = rows.lengths[:, None]
    filled: Bool[np.ndarray, "rows width"] = place < lengths if side == "right" else place >= width - lengths
    arrays: dict[str, np.ndarray] = {}
    for key, column in rows.columns.items():
        array = np.full((*filled.shape, *column.shape[1:]), PADDING.get(key, pad_token_id), np.int32)
        array[filled] = column
        arrays[key] = array
    return arrays


def lists(rows: FlatRows, width: int | None, side: str, pad_token_id: int) -> dict[str, list[list[Any]]]:
    """The rows as lists: of offsets tuples, of words None for special tokens; with a `width` filled up to it."""
    edges = list(pairwise([0, *np.cumsum(rows.lengths).tolist()]))
    result: dict[str, list[list[Any]]] = {}
    for key, column in rows.columns.items():
        padding: object = PADDING.get(key, pad_token_id)
        if key == "word_ids":
            words = [None if word == NO_WORD else word for word in column.tolist()]
            result[key], padding = [words[start:end] for start, end in edges], None
        elif key == "offset_mapping":
            tuples = _offset_tuples(column)
            result[key], padding = [tuples[start:end].tolist() for start, end in edges], (0, 0)
        else:
            result[key] = [column[start:end].tolist() for start, end in edges]
        if width is not None:
            for row in result[key]:
                filling = [padding] * (width - len(row))
                row[:] = row + filling if side == "right" else filling + row
    return result


def _joined(columns: Sequence[Any]) -> Int32[np.ndarray, " tokens"]:
    if all(isinstance(column, np.ndarray) for column in columns):
        return np.concatenate(columns)
    return np.fromiter(chain.from_iterable(columns), np.int32)


def _token_types(first_part: np.ndarray, second_part: np.ndarray) -> Int32[np.ndarray, " tokens"]:
    counts = np.stack([first_part, second_part], axis=1).ravel()
    return np.repeat(np.tile(np.array([0, 1], np.int32), len(first_part)), counts)


def _offset_tuples(offsets: Int32[np.ndarray, "tokens 2"]) -> np.ndarray:
    """An array of tuples, as objects."""
    starts, ends = offsets[:, 0].astype(np.int64), offsets[:, 1].astype(np.int64)
    lengths = ends - starts
    shared = (starts < SHARED_STARTS) & (lengths < SHARED_LENGTHS)
    tuples = _shared_offsets()[np.where(shared, starts * SHARED_LENGTHS + lengths, 0)]
    others = np.flatnonzero(~shared)
    tuples[others] = np.fromiter(zip(starts[others].tolist(), ends[others].tolist(), strict=True), object, len(others))
    return tuples


@cache
def _shared_offsets() -> np.ndarray:
    # Millions of small tuples cost memory, and time of the garbage collector, for each of them is visited again and again.
    table = np.empty(SHARED_STARTS * SHARED_LENGTHS, object)
    table[:] = [(start, start + length) for start in range(SHARED_STARTS) for length in range(SHARED_LENGTHS)]
    return table
