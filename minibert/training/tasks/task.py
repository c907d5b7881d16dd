"""What all tasks have in common."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from minibert.training.rows import Rows


@runtime_checkable
class Task(Protocol):
    """A task on examples: encoding, measuring, predicting. One object knows its labels, its tokenizer and its lengths."""

    @property
    def name(self) -> str:
        """`classify`, `regress`, `multilabel`, `pair`, `tag` or `qa`."""
        ...

    @property
    def head(self) -> str:
        """Of `minibert.model.heads.HEADS`."""
        ...

    @property
    def num_labels(self) -> int | None:
        """None for heads whose number of labels is fixed."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Their names, in the order of the logits; empty where labels have none."""
        ...

    @property
    def loss(self) -> str:
        """Of `minibert.training.losses.LOSSES`."""
        ...

    @property
    def best_by(self) -> str:
        """The metric by which the best checkpoint is chosen; more is better. Absent from `metrics` where it is undefined."""
        ...

    def rows(self, examples: Sequence[Any]) -> Rows:
        """The examples as rows of ids with labels; a row's number tells nothing of its example, `logits` come in this order."""
        ...

    def metrics(self, examples: Sequence[Any], logits: Sequence[np.ndarray]) -> dict[str, float]:
        """What the logits are worth: of each row [num_labels], or [tokens, num_labels] without padding, in the same order."""
        ...

    def predictions(self, examples: Sequence[Any], logits: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """For each example what `minibert predict` writes."""
        ...


@runtime_checkable
class DescribedTask(Task, Protocol):
    """A task that says besides what a model card and a stored model tell of it; all of ours do."""

    def counts(self, examples: Sequence[Any]) -> dict[str, int]:
        """How many examples there are, and of how many the rows do not hold all: what a model card says of the data."""
        ...

    def details(self, examples: Sequence[Any], logits: Sequence[np.ndarray]) -> dict[str, Any]:
        """What else a model card says of them, in values of JSON: a confusion matrix, the metrics of each type; or nothing."""
        ...

    def settings(self) -> dict[str, Any]:
        """What `task_from_settings` makes the same task of, in values of JSON."""
        ...
