"""Texts as lists of ids that a model takes: cut, divided into windows, or refused where they are too long."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int32

from minibert.errors import LongTextError
from minibert.tokenizer import Tokenizer

ON_LONG = ("truncate", "window", "error")


class Pieces(NamedTuple):
    """What texts are computed as: one list of ids a text, or a few where it is long; a text's pieces follow each other."""

    ids: list[Int32[np.ndarray, " _"]]
    texts: list[int]
    """Which text each piece is of."""
    offsets: list[Int32[np.ndarray, "_ 2"]] | None
    """The characters of the text that each token is from, (0, 0) for [CLS] and [SEP]; None if not asked for."""
    word_ids: list[Int32[np.ndarray, " _"]] | None
    is_special: list[Bool[np.ndarray, " _"]] | None
    truncated: int
    """How many texts were cut."""


def pieces_of(
    tokenizer: Tokenizer,
    texts: Sequence[str],
    max_length: int,
    on_long: str,
    stride: int,
    *,
    first: int = 0,
    with_places: bool = False,
) -> Pieces:
    """The texts as ids, at most `max_length` a piece, [CLS] and [SEP] included; windows share `stride` tokens.

    Raises LongTextError for a text that is longer, if `on_long` is "error"; `first` is the index of the first of these texts.
    """
    window = on_long == "window"
    # One token more than fits tells which texts are too long; what lies behind it is not looked at.
    encoded = tokenizer(
        texts,
        truncation=True,
        max_length=max_length if window else max_length + 1,
        stride=stride if window else 0,
        return_overflowing_tokens=window,
        padding=False,
        return_tensors=None,
        return_token_type_ids=False,
        return_attention_mask=False,
        return_offsets_mapping=with_places,
        return_word_ids=with_places,
        return_special_tokens_mask=with_places,
    )
    long = [text for text, row in enumerate(encoded["input_ids"]) if len(row) > max_length]
    if long and on_long == "error":
        raise LongTextError(first + long[0], max_length)
    surplus = 1 if tokenizer.settings.truncation_side == "left" else max_length - 1

    def arrays(name: str) -> list[np.ndarray]:
        rows = encoded[name]
        for text in long:
            del rows[text][surplus]
        return [np.array(row, np.int32) for row in rows]

    if with_places:
        encoded["word_ids"] = [[-1 if word is None else word for word in row] for row in encoded["word_ids"]]
    return Pieces(
        arrays("input_ids"),
        list(encoded["overflow_to_sample_mapping"]) if window else list(range(len(texts))),
        [offsets.reshape(-1, 2) for offsets in arrays("offset_mapping")] if with_places else None,
        arrays("word_ids") if with_places else None,
        [special > 0 for special in arrays("special_tokens_mask")] if with_places else None,
        len(long),
    )


def joined_windows(lengths: Sequence[int], stride: int) -> list[slice]:
    """Which tokens of each window of a text make its tokens, every one once, from where it has most of the text around it.

    The first window gives [CLS], the last [SEP], and of the `stride` tokens that two share each gives the half it lies deeper in.
    """
    slices = []
    for window, length in enumerate(lengths):
        first, last = window == 0, window == len(lengths) - 1
        begin = 0 if first else 1 + stride // 2
        end = length if last else length - 1 - (stride - stride // 2)
        slices.append(slice(begin, end))
    return slices
