"""Rows of ids with their labels, and the batches that are made of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minibert.training.losses import IGNORED

WIDTHS = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512)
"""Batches are as wide as their longest row, rounded up to one of these: each width takes a program of its own."""


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


def width_of(rows: Rows, numbers: Sequence[int]) -> int:
    """How wide a batch of these rows is."""
    longest = max(len(rows.input_ids[number]) for number in numbers)
    return next((width for width in WIDTHS if width >= longest), longest)


def batch_of(
    rows: Rows, numbers: Sequence[int], size: int, *, pad_token_id: int = 0, share: slice = slice(None)
) -> dict[str, np.ndarray]:
    """The rows of these numbers as one batch of `size` rows: `input_ids`, `attention_mask`, `token_type_ids`, `labels`.

    Rows that are missing at the end are padding without a label, which no loss counts: every batch of a width is the same
    program. Of the batch only the rows of `share` are made, as on one of several machines.
    """
    width = width_of(rows, numbers)
    own = list(range(size))[share]
    batch = {name: np.zeros((len(own), width), np.int32) for name in ("input_ids", "attention_mask", "token_type_ids")}
    batch["input_ids"][:] = pad_token_id
    first = rows.labels[numbers[0]]
    absent = np.nan if np.issubdtype(first.dtype, np.floating) else IGNORED
    labels = np.full((len(own), width) if rows.per_token else (len(own), *first.shape), absent, first.dtype)
    for place, row in enumerate(own):
        if row >= len(numbers):
            # A row of padding alone would attend to nothing.
            batch["attention_mask"][place, 0] = 1
            continue
        ids = rows.input_ids[numbers[row]]
        batch["input_ids"][place, : len(ids)] = ids
        batch["attention_mask"][place, : len(ids)] = 1
        batch["token_type_ids"][place, : len(ids)] = rows.token_type_ids[numbers[row]]
        if rows.per_token:
            labels[place, : len(ids)] = rows.labels[numbers[row]]
        else:
            labels[place] = rows.labels[numbers[row]]
    return batch | {"labels": labels}
