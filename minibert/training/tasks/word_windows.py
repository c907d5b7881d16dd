"""Sentences as rows of ids, each word looked at once: at its first piece, in the row where it has most context."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, Int64

from minibert.tokenizer import Tokenizer
from minibert.training.tasks.windows import most_context, windows_over

SENTENCES_AT_A_TIME = 256
"""So many are lists of numbers, which take several times the memory of arrays, at the same time."""


class WordRow(NamedTuple):
    """A sentence, or a window of whole words over it, and which of its tokens are whose."""

    sentence: int
    """Its number."""
    input_ids: Int32[np.ndarray, " tokens"]
    """With [CLS] and [SEP]."""
    places: Int64[np.ndarray, " words"]
    """The token of each word that is looked at in this row: the first of its pieces."""
    words: Int64[np.ndarray, " words"]
    """Which words of the sentence these are."""


def word_rows(tokenizer: Tokenizer, sentences: Sequence[Sequence[str]], max_length: int, stride: int) -> Iterator[WordRow]:
    """The rows of all sentences in their order, at least one each; a word that becomes no token is in none of them.

    A sentence longer than `max_length` tokens is divided; windows share words of up to `stride` pieces. Of a word that is longer
    than a row by itself the first pieces stand for it.
    """
    room = max_length - 2
    for start in range(0, len(sentences), SENTENCES_AT_A_TIME):
        encoded = tokenizer(
            sentences[start : start + SENTENCES_AT_A_TIME],
            is_split_into_words=True,
            add_special_tokens=False,
            padding=False,
            return_word_ids=True,
            return_token_type_ids=False,
            return_attention_mask=False,
            return_tensors=None,
        )
        for number, (ids, word_ids) in enumerate(zip(encoded["input_ids"], encoded["word_ids"], strict=True), start=start):
            yield from _rows_of(tokenizer, number, np.array(ids, np.int32), np.array(word_ids, np.int64), room, stride)


def _rows_of(
    tokenizer: Tokenizer,
    sentence: int,
    ids: Int32[np.ndarray, " pieces"],
    word_ids: Int64[np.ndarray, " pieces"],
    room: int,
    stride: int,
) -> Iterator[WordRow]:
    """The rows of one sentence, of at most `room` of its pieces each."""
    firsts = _firsts(word_ids)
    if len(ids) <= room:
        # Nearly all sentences: no windows, in a third of the time.
        yield WordRow(sentence, _row(tokenizer, ids), firsts + 1, word_ids[firsts])
        return
    fits = np.arange(len(ids)) - np.repeat(firsts, np.diff(firsts, append=len(ids))) < room
    ids, word_ids = ids[fits], word_ids[fits]
    firsts = _firsts(word_ids)
    edges = np.append(firsts, len(ids))
    words = word_ids[firsts]
    windows = windows_over(np.diff(edges), room, stride)
    owners = most_context(windows, len(words))
    for window, (start, end) in enumerate(windows):
        own = start + np.flatnonzero(owners[start:end] == window)
        row = _row(tokenizer, ids[edges[start] : edges[end]])
        yield WordRow(sentence, row, firsts[own] - edges[start] + 1, words[own])


def _row(tokenizer: Tokenizer, ids: Int32[np.ndarray, " pieces"]) -> Int32[np.ndarray, " tokens"]:
    row = np.empty(len(ids) + 2, np.int32)
    row[0], row[1:-1], row[-1] = tokenizer.cls_token_id, ids, tokenizer.sep_token_id
    return row


def _firsts(word_ids: Int64[np.ndarray, " pieces"]) -> Int64[np.ndarray, " words"]:
    """The places of every word's first piece."""
    begins = np.ones(len(word_ids), bool)
    np.not_equal(word_ids[1:], word_ids[:-1], out=begins[1:])
    return begins.nonzero()[0]
