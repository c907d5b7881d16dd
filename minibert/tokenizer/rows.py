"""Tokens of texts -> rows of a batch: [CLS] and [SEP], padding (the input of figure 2 of the BERT paper).

Every column of the result is filled for all rows at once: the rows lie one behind the other, padded or not.
"""

from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32, Int64

from minibert.errors import TokenizerError
from minibert.tokenizer.token_table import TokenTable, edges_between, ranges
from minibert.tokenizer.truncation import RowParts

NO_WORD = -1
"""Stands in arrays of words for special tokens and padding, where lists have None."""

# Offsets within these bounds are made once, as one tuple each, for all lists that hold them.
SHARED_STARTS, SHARED_LENGTHS = 8192, 16


class Rows(NamedTuple):
    """What the rows of a batch are made of.

    `special_ids` are those of [CLS] and [SEP], or None for rows without them: [CLS] first [SEP], or
    [CLS] first [SEP] second [SEP], where the second text and its [SEP] have the token type 1.
    """

    parts: RowParts
    first: TokenTable
    second: TokenTable | None
    special_ids: tuple[int, int] | None

    @property
    def first_lengths(self) -> Int64[np.ndarray, " rows"]:
        """How many tokens of a row have the token type 0."""
        return self.parts.first[:, 1] - self.parts.first[:, 0] + (2 if self.special_ids else 0)

    @property
    def lengths(self) -> Int64[np.ndarray, " rows"]:
        """How many tokens each row has, special tokens included."""
        if self.parts.second is None:
            return self.first_lengths
        return self.first_lengths + self.parts.second[:, 1] - self.parts.second[:, 0] + (1 if self.special_ids else 0)


def common_width(
    lengths: Int64[np.ndarray, " rows"], samples: Int64[np.ndarray, " rows"], max_length: int | None, multiple: int
) -> int:
    """The width of a padded batch: the longest row, or `max_length` where it is given, rounded up to a multiple.

    Raises TokenizerError for a row over `max_length`, naming its text by `samples`.
    """
    longest = int(lengths.max())
    if max_length is not None:
        if longest > max_length:
            raise TokenizerError(
                f"text[{samples[lengths.argmax()]}] has {longest} tokens, over the {max_length} that are padded to; add "
                "truncation=True or use a larger max_length"
            )
        longest = max_length
    return -(-longest // multiple) * multiple


def lay_out(rows: Rows, keys: list[str], width: int | None, side: str, pad_token_id: int) -> dict[str, np.ndarray]:
    """The columns `input_ids` and `keys`, int32 [tokens], offsets [tokens, 2], of all rows one behind the other.

    With a `width` every row is filled up to it on the `side` "right" or "left".
    """
    lengths, first_lengths = rows.lengths, rows.first_lengths
    if width is None:
        row_starts = edges_between(lengths)[:-1]
        size = int(lengths.sum())
    else:
        row_starts = np.arange(len(lengths)) * width + (width - lengths if side == "left" else 0)
        size = len(lengths) * width
    ids = np.full(size, pad_token_id, np.int32)
    columns = {"input_ids": ids}
    if rows.special_ids is not None:
        ids[row_starts], ids[row_starts + first_lengths - 1] = rows.special_ids
        if rows.second is not None:
            ids[row_starts + lengths - 1] = rows.special_ids[1]
    if "token_type_ids" in keys:
        columns["token_type_ids"] = np.zeros(size, np.int32)
        if rows.second is not None:
            columns["token_type_ids"][ranges(row_starts + first_lengths, lengths - first_lengths)] = 1
    if "attention_mask" in keys:
        columns["attention_mask"] = np.full(size, width is None, np.int32)
        if width is not None:
            columns["attention_mask"][ranges(row_starts, lengths)] = 1
    if "special_tokens_mask" in keys:
        columns["special_tokens_mask"] = np.ones(size, np.int32)
    if "offset_mapping" in keys:
        columns["offset_mapping"] = np.zeros((size, 2), np.int32)
    if "word_ids" in keys:
        columns["word_ids"] = np.full(size, NO_WORD, np.int32)

    texts = [(rows.first, rows.parts.first, row_starts + (1 if rows.special_ids else 0))]
    if rows.second is not None and rows.parts.second is not None:
        texts.append((rows.second, rows.parts.second, row_starts + first_lengths))
    for table, parts, starts in texts:
        counts = parts[:, 1] - parts[:, 0]
        places = ranges(starts, counts)
        tokens = ranges(table.edges[rows.parts.samples] + parts[:, 0], counts)
        for key in columns.keys() & table.columns.keys():
            columns[key][places] = table.columns[key][tokens]
        if "special_tokens_mask" in keys:
            columns["special_tokens_mask"][places] = 0
    return columns


def lists(columns: dict[str, np.ndarray], lengths: Int64[np.ndarray, " rows"]) -> dict[str, list[list[Any]]]:
    """The rows of these lengths as lists: of offsets tuples, of words None for special tokens and padding."""
    edges = edges_between(lengths).tolist()
    result: dict[str, list[list[Any]]] = {}
    for key, column in columns.items():
        if key == "offset_mapping":
            values = _offset_tuples(column)
        elif key == "word_ids":
            values = column.astype(object)
            values[column == NO_WORD] = None
        else:
            values = column
        result[key] = [values[start:end].tolist() for start, end in pairwise(edges)]
    return result


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
    pairs = ((start, start + length) for start in range(SHARED_STARTS) for length in range(SHARED_LENGTHS))
    return np.fromiter(pairs, object, SHARED_STARTS * SHARED_LENGTHS)
