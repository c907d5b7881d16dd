"""What all tasks have in common."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from minibert.training.rows import Rows


class Task(Protocol):
    """A task on files: reading, encoding, measuring, predicting. One object knows its labels, its tokenizer and its lengths."""

    name: str
    """`classify`, `regress`, `multilabel`, `pair`, `tag` or `qa`."""
    head: str
    """Of `minibert.model.heads.HEADS`."""
    num_labels: int | None
    """None for heads whose number of labels is fixed."""
    labels: tuple[str, ...]
    """Their names, in the order of the logits; empty where labels have none."""
    loss: str
    """Of `minibert.training.losses.LOSSES`."""
    best_by: str
    """The metric by which the best checkpoint is chosen; more is better."""

    def rows(self, examples: Sequence[Any]) -> Rows:
        """The examples as rows of ids with labels; a row's number tells nothing of its example, `logits` come in this order."""
        ...

    def metrics(self, examples: Sequence[Any], logits: Sequence[np.ndarray]) -> dict[str, float]:
        """What the logits are worth: of each row [num_labels], or [tokens, num_labels] without padding, as `rows` has them."""
        ...

    def predictions(self, examples: Sequence[Any], logits: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """For each example what `minibert predict` writes."""
        ...
