"""Questions with their contexts as rows of ids: `[CLS] question [SEP] window of the context [SEP]`.

Devlin et al. 2018, section 4.2; google-research/bert, run_squad.py, convert_examples_to_features.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int32, Int64

from minibert.tokenizer import Tokenizer
from minibert.training.tasks.windows import most_context, windows_over

QUESTIONS_AT_A_TIME = 256
"""So many are lists of numbers, which take several times the memory of arrays, at the same time."""


class Context(NamedTuple):
    """A context as tokens."""

    input_ids: Int32[np.ndarray, " tokens"]
    offsets: Int32[np.ndarray, "tokens 2"]
    """The first character that each token is from, and the one behind its last."""

    def tokens_of(self, start: int, end: int) -> tuple[int, int] | None:
        """The first and the last token of the characters from `start` up to `end`; None where these make no token."""
        first = int(np.searchsorted(self.offsets[:, 1], start, side="right"))
        last = int(np.searchsorted(self.offsets[:, 0], end, side="left")) - 1
        return (first, last) if first <= last else None


class QuestionRow(NamedTuple):
    """A question with a window of its context."""

    question: int
    """Its number."""
    is_cut: bool
    """Whether the question is longer than it may be."""
    input_ids: Int32[np.ndarray, " tokens"]
    token_type_ids: Int32[np.ndarray, " tokens"]
    context: Context
    window: tuple[int, int]
    """The context's tokens that are in this row: the first one, and the one behind the last."""
    first_place: int
    """Where in the row the window begins."""
    owns: Bool[np.ndarray, " window"]
    """Which tokens of the window have most context in this one."""


def question_rows(
    tokenizer: Tokenizer,
    questions: Sequence[str],
    contexts: Sequence[str],
    max_length: int,
    max_question_length: int,
    stride: int,
) -> Iterator[QuestionRow]:
    """The rows of all questions in their order, at least one each; windows share `stride` tokens of the context."""
    for start in range(0, len(questions), QUESTIONS_AT_A_TIME):
        some_contexts = contexts[start : start + QUESTIONS_AT_A_TIME]
        encoded = _encoded(tokenizer, some_contexts)
        question_ids = tokenizer(
            questions[start : start + QUESTIONS_AT_A_TIME],
            add_special_tokens=False,
            truncation="only_first",
            # One more, so that those that are too long show.
            max_length=max_question_length + 1,
            truncation_side="right",
            padding=False,
            return_token_type_ids=False,
            return_attention_mask=False,
            return_tensors=None,
        )["input_ids"]
        for number, (ids, context) in enumerate(zip(question_ids, some_contexts, strict=True), start=start):
            is_cut = len(ids) > max_question_length
            head = np.array([tokenizer.cls_token_id, *ids[:max_question_length], tokenizer.sep_token_id], np.int32)
            yield from _rows_of(number, is_cut, head, encoded[context], tokenizer.sep_token_id, max_length, stride)


def _rows_of(
    question: int,
    is_cut: bool,
    head: Int32[np.ndarray, " tokens"],
    context: Context,
    separator_id: int,
    max_length: int,
    stride: int,
) -> Iterator[QuestionRow]:
    length = len(context.input_ids)
    windows = windows_over(np.ones(length, np.int64), max_length - len(head) - 1, stride)
    owners: Int64[np.ndarray, " tokens"] = most_context(windows, length)
    for number, (start, end) in enumerate(windows):
        ids = np.concatenate([head, context.input_ids[start:end], np.array([separator_id], np.int32)])
        types = (np.arange(len(ids)) >= len(head)).astype(np.int32)
        owns = owners[start:end] == number
        yield QuestionRow(question, is_cut, ids, types, context, (start, end), len(head), owns)


def _encoded(tokenizer: Tokenizer, contexts: Sequence[str]) -> dict[str, Context]:
    """Every context by its text, once, though several questions are asked about it."""
    different = list(dict.fromkeys(contexts))
    encoded = tokenizer(
        different,
        add_special_tokens=False,
        padding=False,
        return_offsets_mapping=True,
        return_token_type_ids=False,
        return_attention_mask=False,
        return_tensors=None,
    )
    return {
        context: Context(np.array(ids, np.int32), np.array(offsets, np.int32).reshape(-1, 2))
        for context, ids, offsets in zip(different, encoded["input_ids"], encoded["offset_mapping"], strict=True)
    }
