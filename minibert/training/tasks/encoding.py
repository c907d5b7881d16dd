"""Texts as ids, cut where they are longer than a row."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minibert.tokenizer import Tokenizer

TEXTS_AT_A_TIME = 1024
"""So many texts are lists of numbers, which take several times the memory of arrays, at the same time."""


class EncodedTexts(NamedTuple):
    """A row for every text."""

    input_ids: list[np.ndarray]
    """int32 [tokens] each."""
    token_type_ids: list[np.ndarray]
    """int32 [tokens] each."""
    cut: int
    """How many texts, or pairs of texts, are longer than their row."""


def encoded_texts(tokenizer: Tokenizer, texts: Sequence[str], seconds: Sequence[str] | None, max_length: int) -> EncodedTexts:
    """Texts, or pairs of them, as rows of at most `max_length` tokens; of a pair the longer one is cut first."""
    input_ids: list[np.ndarray] = []
    token_type_ids: list[np.ndarray] = []
    cut = 0
    for start in range(0, len(texts), TEXTS_AT_A_TIME):
        end = start + TEXTS_AT_A_TIME
        first, second = texts[start:end], None if seconds is None else seconds[start:end]
        ids, types = _lists(tokenizer, first, second, max_length)
        input_ids += [np.array(row, np.int32) for row in ids]
        token_type_ids += (
            [np.zeros(len(row), np.int32) for row in ids] if types is None else [np.array(row, np.int32) for row in types]
        )
        # Whether a full row is all of its text shows when it may have one token more.
        full = [number for number, row in enumerate(ids) if len(row) == max_length]
        if full:
            longer, _ = _lists(
                tokenizer,
                [first[number] for number in full],
                None if second is None else [second[number] for number in full],
                max_length + 1,
            )
            cut += sum(len(row) > max_length for row in longer)
    return EncodedTexts(input_ids, token_type_ids, cut)


def _lists(
    tokenizer: Tokenizer, texts: Sequence[str], seconds: Sequence[str] | None, max_length: int
) -> tuple[list[list[int]], list[list[int]] | None]:
    """The ids of every row, and for pairs their token types."""
    encoded = tokenizer(
        texts,
        seconds,
        truncation="longest_first",
        max_length=max_length,
        padding=False,
        return_tensors=None,
        return_attention_mask=False,
        return_token_type_ids=seconds is not None,
    )
    return encoded["input_ids"], encoded.get("token_type_ids")
