"""Ids of texts -> rows of a batch: truncation, [CLS] and [SEP], padding (the input of figure 2 of the BERT paper)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32

from minibert.errors import TokenizerError

TRUNCATIONS = ("longest_first", "only_first", "only_second")


@dataclass(frozen=True)
class Row:
    """One row of a batch before padding: ids and, for each, 0 for the first text or 1 for the second."""

    ids: list[int]
    token_types: list[int]


def truncated_lengths(first: int, second: int | None, budget: int, strategy: str) -> tuple[int, int]:
    """How many tokens two texts of `first` and `second` tokens keep, so that they are at most `budget` together.

    `second` is None where there is no second text. "longest_first" cuts the longer text down to the shorter one and
    then both to half the budget; when that is odd, the text that was not the longer one gets the smaller half.
    "only_first" and "only_second" cut one text, which has to keep at least one token. These are the rules of the
    `tokenizers` library's `truncate_encodings`; the original gives the extra token to the first text.

    Raises TokenizerError where the one text that may be cut cannot make room.
    """
    over = first + (second or 0) - budget
    if over <= 0:
        return first, second or 0
    if budget == 0:
        return 0, 0
    if strategy == "longest_first":
        if second is None:
            return budget, 0
        return _longest_first(first, second, budget)
    cut = first if strategy == "only_first" else second
    if cut is None:
        raise TokenizerError(
            "truncation='only_second' was asked for where there is no second text; give text_pairs, or truncation=True"
        )
    if cut <= over:
        raise TokenizerError(
            f"{over} tokens have to go, but truncation={strategy!r} may cut only a text of {cut}, which has to keep "
            "one; use truncation=True or a larger max_length"
        )
    return (cut - over, second or 0) if strategy == "only_first" else (first, cut - over)


def _longest_first(first: int, second: int, budget: int) -> tuple[int, int]:
    shorter = min(first, second)
    longer = max(shorter, budget - shorter)
    if shorter + longer > budget:
        shorter, longer = budget // 2, budget - budget // 2
    return (shorter, longer) if first <= second else (longer, shorter)


def truncate(
    first: list[int], second: list[int] | None, max_length: int, special_tokens: int, strategy: str, where: str
) -> tuple[list[int], list[int] | None]:
    """The ids of both texts, cut so that together with `special_tokens` more they are at most `max_length`.

    Raises TokenizerError, naming the row as `where`, for a length that does not hold the special tokens, and where
    `truncated_lengths` does.
    """
    if max_length < special_tokens:
        raise TokenizerError(f"{where}: max_length={max_length} does not hold the {special_tokens} special tokens of a row")
    second_length = None if second is None else len(second)
    try:
        keep_first, keep_second = truncated_lengths(len(first), second_length, max_length - special_tokens, strategy)
    except TokenizerError as problem:
        raise TokenizerError(f"{where}: {problem}") from None
    return first[:keep_first], None if second is None else second[:keep_second]


def special_token_count(second: list[int] | None) -> int:
    """How many special tokens `row` adds: [CLS] and one [SEP] for each text."""
    return 2 if second is None else 3


def row(first: list[int], second: list[int] | None, *, classification_id: int, separator_id: int) -> Row:
    """[CLS] first [SEP], or [CLS] first [SEP] second [SEP] with the token type 1 for the second text and its [SEP]."""
    ids = [classification_id, *first, separator_id]
    if second is None:
        return Row(ids, [0] * len(ids))
    return Row([*ids, *second, separator_id], [0] * len(ids) + [1] * (len(second) + 1))


def plain_row(first: list[int], second: list[int] | None) -> Row:
    """The texts one after the other, without special tokens."""
    second = second or []
    return Row(first + second, [0] * len(first) + [1] * len(second))


def common_width(rows: Sequence[Row], padding: str | None, max_length: int | None, multiple: int) -> int:
    """The width of the batch: that of the longest row, or `max_length`, rounded up to a multiple.

    Raises TokenizerError for a row longer than the `max_length` that is padded to, and, without padding, for unequal
    rows.
    """
    lengths = [len(row.ids) for row in rows]
    longest = max(lengths)
    if padding is None and min(lengths) != longest:
        raise TokenizerError(
            f"the rows have from {min(lengths)} to {longest} tokens, and padding=False makes an array of equal ones "
            "only; use padding='longest'"
        )
    if padding == "max_length" and max_length is not None:
        if longest > max_length:
            raise TokenizerError(
                f"texts[{lengths.index(longest)}] has {longest} tokens, over the {max_length} that are padded to; add "
                "truncation=True or use a larger max_length"
            )
        longest = max_length
    return -(-longest // multiple) * multiple


def pad(rows: Sequence[Row], width: int, padding_id: int) -> dict[str, Int32[np.ndarray, "batch tokens"]]:
    """The rows as arrays of `width` tokens: `padding_id` behind each row's end, where the attention mask is 0."""
    ids = np.full((len(rows), width), padding_id, dtype=np.int32)
    token_types = np.zeros((len(rows), width), dtype=np.int32)
    mask = np.zeros((len(rows), width), dtype=np.int32)
    for place, row in enumerate(rows):
        length = len(row.ids)
        ids[place, :length] = row.ids
        token_types[place, :length] = row.token_types
        mask[place, :length] = 1
    return {"input_ids": ids, "token_type_ids": token_types, "attention_mask": mask}
