"""Rows of ids with their labels, and the batches that are made of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from minibert.training.losses import IGNORED

WIDTHS = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512)
"""Batches are as wide as their longest row, rounded up to one of these: each width takes a program of its own."""


@runtime_checkable
class BatchSource(Protocol):
    """What `fit` learns from: so many rows, and a batch of those of any numbers."""

    def __len__(self) -> int:
        """How many rows there are."""
        ...

    def batch(
        self,
        numbers: Sequence[int],
        size: int,
        *,
        pad_token_id: int = 0,
        widest: int | None = None,
        share: slice = slice(None),
    ) -> dict[str, Any]:
        """As `batch_of`; `labels` is an array, or one for each head by its name."""
        ...


@dataclass(frozen=True)
class Rows:
    """What a model learns from, or is asked: row by row its ids and its label. Long examples make several rows."""

    input_ids: list[np.ndarray]
    """int32 [tokens] each, without padding."""
    token_type_ids: list[np.ndarray]
    """int32 [tokens] each."""
    labels: list[np.ndarray]
    """Of each row int32 [] (a class), float32 [num_labels] (numbers; NaN for none), int32 [tokens], or int32 [2] (first and last
    token of an answer); IGNORED where there is none."""
    per_token: bool = False
    """Whether a label is of a token, so that it is padded with the tokens."""

    def __len__(self) -> int:
        return len(self.input_ids)

    def batch(
        self,
        numbers: Sequence[int],
        size: int,
        *,
        pad_token_id: int = 0,
        widest: int | None = None,
        share: slice = slice(None),
    ) -> dict[str, np.ndarray]:
        """As `batch_of`."""
        ids, types = ([column[number] for number in numbers] for column in (self.input_ids, self.token_type_ids))
        batch = padded(ids, types, size, pad_token_id=pad_token_id, widest=widest, share=share)
        rows, width = batch["input_ids"].shape
        first = self.labels[numbers[0]]
        absent = np.nan if np.issubdtype(first.dtype, np.floating) else IGNORED
        labels = np.full((rows, width) if self.per_token else (rows, *first.shape), absent, first.dtype)
        for place, number in enumerate(numbers[share]):
            of_row = self.labels[number]
            if self.per_token:
                labels[place, : len(of_row)] = of_row
            else:
                labels[place] = of_row
        return batch | {"labels": labels}


def batch_of(
    rows: BatchSource,
    numbers: Sequence[int],
    size: int,
    *,
    pad_token_id: int = 0,
    widest: int | None = None,
    share: slice = slice(None),
) -> dict[str, Any]:
    """The rows of these numbers as one batch of `size` rows: `input_ids`, `attention_mask`, `token_type_ids`, `labels`.

    Rows that are missing at the end are padding without a label, which no loss counts: every batch of a width is the same
    program. No batch is padded to more than `widest` tokens, as many as a model takes. Of the batch only the rows of `share` are
    made, as on one of several machines.
    """
    return rows.batch(numbers, size, pad_token_id=pad_token_id, widest=widest, share=share)


def widest_for(model: Any) -> int | None:
    """How many tokens a row may have for a model; None where that has no end."""
    return getattr(getattr(model, "config", None), "max_position_embeddings", None)


def padded(
    input_ids: Sequence[np.ndarray],
    token_type_ids: Sequence[np.ndarray],
    size: int,
    *,
    pad_token_id: int = 0,
    widest: int | None = None,
    share: slice = slice(None),
) -> dict[str, np.ndarray]:
    """What `batch_of` gives of rows of these ids and types, but for the labels."""
    width = _width(input_ids, widest)
    own = list(range(size))[share]
    batch = {name: np.zeros((len(own), width), np.int32) for name in ("input_ids", "attention_mask", "token_type_ids")}
    batch["input_ids"][:] = pad_token_id
    for place, row in enumerate(own):
        if row >= len(input_ids):
            # A row of padding alone would attend to nothing.
            batch["attention_mask"][place, 0] = 1
            continue
        ids = input_ids[row]
        batch["input_ids"][place, : len(ids)] = ids
        batch["attention_mask"][place, : len(ids)] = 1
        batch["token_type_ids"][place, : len(ids)] = token_type_ids[row]
    return batch


def _width(input_ids: Sequence[np.ndarray], widest: int | None = None) -> int:
    longest = max(map(len, input_ids))
    width = next((width for width in WIDTHS if width >= longest), longest)
    return width if widest is None else max(longest, min(width, widest))
